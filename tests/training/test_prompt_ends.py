"""tf.data's autotuner, which holds up the end of an iteration, is off in all that is iterated over."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sconv
from sconv.datasets import Split
from sconv.datasets.pipeline.autotuning import without_autotuning
from sconv.datasets.pipeline.batches import TrainingStream, evaluation_batches
from sconv.datasets.pipeline.resizing import progressive
from sconv.training import keras_data, keras_internals

X = np.arange(64, dtype=np.float32).reshape(16, 4) / 64
Y = X.sum(axis=1, keepdims=True)
LOOPS = ("fit", "evaluate", "predict")


class Note(keras.callbacks.Callback):
    """Keeps the dataset that is iterated over, by the loop."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def note(self, loop):
        iterator = keras_internals.of_loop("epoch_iterator", [loop])
        self.found[loop] = keras_data.dataset_of(iterator)

    def on_train_batch_begin(self, batch, logs=None):
        self.note("fit")

    def on_test_batch_begin(self, batch, logs=None):
        self.note("evaluate")

    def on_predict_batch_begin(self, batch, logs=None):
        self.note("predict")

    def enabled(self):
        return {loop: dataset.options().autotune.enabled for loop, dataset in self.found.items()}


def compiled():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model


def batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).prefetch(tf.data.AUTOTUNE)


def everything(model, note):
    """All three loops on arrays."""
    model.fit(X, Y, verbose=0, validation_data=(X, Y), callbacks=[note])
    model.predict(X, verbose=0, callbacks=[note])
    return note.enabled()


def test_arrays_are_iterated_over_without_it_by_an_accelerated_model_alone():
    model = compiled()
    stock = set(vars(model))
    assert everything(model, Note()) == dict.fromkeys(LOOPS)
    sconv.accelerate(model)
    assert everything(model, Note()) == dict.fromkeys(LOOPS, False)
    sconv.accelerate(model)
    sconv.decelerate(model)
    assert everything(model, Note()) == dict.fromkeys(LOOPS)
    assert not any(name.startswith("make_") for name in set(vars(model)) - stock)


def test_an_evaluation_alone_and_the_one_of_a_part_within_a_fit():
    model, alone, within = compiled(), Note(), Note()
    sconv.accelerate(model)
    model.evaluate(X, Y, verbose=0, callbacks=[alone])
    assert alone.enabled() == {"evaluate": False}
    model.fit(X, Y, verbose=0, validation_split=0.5, steps_per_epoch=1, callbacks=[within])
    assert within.enabled() == {"evaluate": False, "fit": False}


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


@pytest.mark.parametrize("make", [lambda: (Sequence()[n] for n in range(4)), Sequence])
def test_what_makes_batches(make):
    model, note = compiled(), Note()
    sconv.accelerate(model)
    model.fit(make(), steps_per_epoch=2, shuffle=False, verbose=0, callbacks=[note])
    assert note.enabled() == {"fit": False}


def test_a_dataset_of_the_users_own_is_left_as_it_is():
    # Its maps would no longer be made parallel, nor would anything be fetched ahead.
    model, note, data = compiled(), Note(), batches()
    sconv.accelerate(model)
    model.fit(data, shuffle=False, verbose=0, callbacks=[note])
    assert note.found["fit"] is data
    assert note.enabled() == {"fit": None}


def test_another_model_within_a_fit():
    model, other, note = compiled(), compiled(), Note()
    sconv.accelerate(other)
    other.predict_on_batch(X)
    ask = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: (other.predict_on_batch(X), other.evaluate(X, Y, verbose=0)),
        on_train_begin=lambda *_: other.train_on_batch(X, Y),
    )
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[ask, note])
    assert note.enabled() == {"fit": None}


def test_a_fit_that_keras_did_not_write():
    class Own(keras.Sequential):
        def fit(self, x, y):
            epoch_iterator = zip(np.split(x, 4), np.split(y, 4), strict=True)
            return [self.train_on_batch(*batch) for batch in epoch_iterator]

        def make_train_function(self):
            self.asked = True
            return super().make_train_function()

    keras.utils.set_random_seed(0)
    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    sconv.accelerate(model)
    assert len(model.fit(X, Y)) == 4
    assert model.asked


def test_one_line_training_accelerates_so():
    model, note = compiled(), Note()
    sconv.fit_one_cycle(model, X, Y, epochs=1, batch_size=4, lr_max=0.1, verbose=0, callbacks=[note])
    assert note.enabled() == {"fit": False}


def test_not_of_a_model_that_is_left_as_it_is():
    model, note = compiled(), Note()
    sconv.fit_one_cycle(model, X, Y, epochs=1, batch_size=4, lr_max=0.1, verbose=0, callbacks=[note], accelerate=False)
    assert note.enabled() == {"fit": None}


def test_nothing_else_changes():
    def trained(accelerated):
        model = compiled()
        if accelerated:
            sconv.accelerate(model)
        shuffled = (
            tf.data.Dataset.from_tensor_slices((X, Y))
            .shuffle(16, seed=1)
            .map(lambda x, y: (x * 2, y), num_parallel_calls=tf.data.AUTOTUNE)
        )
        history = model.fit(shuffled.batch(5), epochs=3, shuffle=False, verbose=0).history["loss"]
        return history, model.fit(X, Y, batch_size=3, epochs=3, verbose=0).history["loss"], model.get_weights()

    for ours, stock in zip(trained(True), trained(False), strict=True):
        np.testing.assert_equal(ours, stock)


def test_a_maker_of_the_users_own_stays():
    model, asked = compiled(), []
    stock = model.make_train_function

    def own(force=False):
        asked.append(force)
        return stock(force)

    model.make_train_function = own
    sconv.accelerate(model)
    model.fit(X, Y, verbose=0)
    sconv.decelerate(model)
    assert asked == [False]
    assert model.make_train_function is own


def test_all_that_is_made_here_is_without_it():
    split = Split(np.zeros((8, 4, 4, 1), np.uint8), np.zeros(8, np.int64))
    plain = TrainingStream(split, 2, seed=0)
    growing = TrainingStream(split, 2, seed=0, resize=progressive([0.5, 1.0], 2))
    made = [plain.batches, plain.full_size, plain.rest(1), growing.batches, evaluation_batches(split, 4)]
    assert [each.options().autotune.enabled for each in made] == [False] * len(made)


def test_other_options_are_kept():
    options = tf.data.Options()
    options.deterministic = False
    options.threading.private_threadpool_size, options.autotune.ram_budget = 3, 10**8
    found = without_autotuning(tf.data.Dataset.range(3).with_options(options))
    assert (found.options().deterministic, found.options().threading.private_threadpool_size) == (False, 3)
    assert (found.options().autotune.enabled, found.options().autotune.ram_budget) == (False, 10**8)
    assert without_autotuning(found) is found  # by which a checkpoint knows the data that it can go on in the middle of


@pytest.mark.parametrize("enabled", [True, False])
def test_what_decides_itself_is_the_same_object(enabled):
    options = tf.data.Options()
    options.autotune.enabled = enabled
    own = tf.data.Dataset.range(3).with_options(options)
    assert without_autotuning(own) is own
