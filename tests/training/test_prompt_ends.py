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
from sconv.training import keras_internals

X = np.arange(64, dtype=np.float32).reshape(16, 4) / 64
Y = X.sum(axis=1, keepdims=True)
LOOPS = ("fit", "evaluate", "predict")


class Note(keras.callbacks.Callback):
    """Keeps the autotuning options of whatever is iterated over, by the loop."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def note(self, loop):
        iterator = keras_internals.of_loop("epoch_iterator", [loop])
        self.found[loop] = keras_internals.dataset_of(iterator).options().autotune

    def on_train_batch_begin(self, batch, logs=None):
        self.note("fit")

    def on_test_batch_begin(self, batch, logs=None):
        self.note("evaluate")

    def on_predict_batch_begin(self, batch, logs=None):
        self.note("predict")

    def enabled(self):
        return {loop: options.enabled for loop, options in self.found.items()}


def compiled():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model


def batches(enabled=None, budget=None):
    options = tf.data.Options()
    if enabled is not None:
        options.autotune.enabled = enabled
    if budget is not None:
        options.autotune.ram_budget = budget
    found = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).prefetch(tf.data.AUTOTUNE)
    return found.with_options(options)


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


def test_validation_in_a_fit_and_an_evaluation_alone():
    model, note = compiled(), Note()
    sconv.accelerate(model)
    model.evaluate(X, Y, verbose=0, callbacks=[note])
    assert note.enabled() == {"evaluate": False}
    model.fit(X, Y, verbose=0, validation_split=0.5, callbacks=[note])
    assert note.enabled() == {"evaluate": False, "fit": False}


@pytest.mark.parametrize("enabled", [True, False, None])
def test_a_dataset_that_says_so_keeps_it(enabled):
    model, note = compiled(), Note()
    sconv.accelerate(model)
    model.fit(batches(enabled, budget=10**8), shuffle=False, verbose=0, callbacks=[note])
    assert note.found["fit"].enabled == bool(enabled)
    assert note.found["fit"].ram_budget == 10**8


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
    options.threading.private_threadpool_size = 3
    found = without_autotuning(tf.data.Dataset.range(3).with_options(options)).options()
    assert (found.deterministic, found.threading.private_threadpool_size, found.autotune.enabled) == (False, 3, False)
