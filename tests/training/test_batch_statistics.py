"""`update_bn` against NumPy, and what fits end with: statistics that belong to the weights."""

import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import BatchNormalization, Dense, Dropout, Flatten

import sconv
from sconv import checks
from sconv.datasets import Dataset, Split, digits
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.training.final_statistics import too_few

EPSILON = 1e-3  # Keras's
DATA = np.random.default_rng(1).normal(3, 2, (22, 4, 4, 3)).astype(np.float32)
LABELS = np.arange(22) % 2


def of(*layers, shape=(4, 4, 3), **kwargs):
    return keras.Sequential([keras.Input(shape), *layers], **kwargs)


def network():
    """Normalised, dropped out, and normalised within a model within; beside it one that is frozen."""
    frozen = BatchNormalization(trainable=False, name="frozen")
    within = of(Dense(2, name="dense"), BatchNormalization(center=False, name="second"), name="within")
    return of(Dropout(0.9), BatchNormalization(name="first"), within, Dropout(0.9), frozen, Flatten(), Dense(2))


def by_hand(model, batches):
    """The statistics of both layers from NumPy: means over the batches, weighted by their examples."""
    kernel, bias = model.get_layer("within").get_layer("dense").get_weights()
    rows = []
    for batch in batches:
        mean, variance = batch.mean((0, 1, 2)), batch.var((0, 1, 2))
        inside = (batch - mean) / np.sqrt(variance + EPSILON) @ kernel + bias
        rows.append([mean, variance, inside.mean((0, 1, 2)), inside.var((0, 1, 2))])
    sizes = [len(batch) for batch in batches]
    return [np.average(column, axis=0, weights=sizes) for column in zip(*rows, strict=True)]


def statistics(model):
    first, second = model.get_layer("first"), model.get_layer("within").get_layer("second")
    variables = (first.moving_mean, first.moving_variance, second.moving_mean, second.moving_variance)
    return [variable.numpy() for variable in variables]


def assert_close(got, expected, tolerance=1e-5):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("way", ["graph", "xla", "eager", "several a call", "accelerated", "uncompiled", "bfloat16"])
def test_the_mean_over_the_batches_to_the_digit(way, request):
    if way == "bfloat16":
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        request.addfinalizer(lambda: keras.config.set_dtype_policy(before))
    model = network()
    if way == "accelerated":
        assert sconv.accelerate(model)
    if way != "uncompiled":
        executions = 2 if way == "several a call" else 1
        model.compile(jit_compile=way == "xla", run_eagerly=way == "eager", steps_per_execution=executions)
    model.get_layer("first").moving_mean.assign([np.nan, 9, 9])  # of a training that failed, say
    weights = [weight.numpy() for weight in model.trainable_variables]
    attributes = [set(vars(layer)) for layer in model.layers]
    batches = tf.data.Dataset.from_tensor_slices((DATA, LABELS)).batch(8)  # of 8, 8 and 6
    assert sconv.update_bn(model, batches) == 2
    expected = by_hand(model, [DATA[:8], DATA[8:16], DATA[16:]])
    assert_close(statistics(model), expected, 2e-2 if way == "bfloat16" else 1e-5)
    assert_close(model.get_layer("frozen").get_weights()[2:], [np.zeros(2), np.ones(2)], 0)
    assert_close([weight.numpy() for weight in model.trainable_variables], weights, 0)
    assert [set(vars(layer)) for layer in model.layers] == attributes
    assert [model.get_layer("first").momentum, model.predict_function] == [0.99, None]
    # And none is computed any more, whatever is run.
    model.predict(DATA + 1, verbose=0)
    assert_close(statistics(model), expected, 2e-2 if way == "bfloat16" else 1e-5)


SPLIT = Split(DATA, LABELS)
FORMS = {
    "(x, y)": lambda: (DATA, LABELS),
    "(x, y, weights)": lambda: (DATA, LABELS, np.ones(22)),
    "x": lambda: DATA,
    "a tensor": lambda: tf.constant(DATA),
    "a split": lambda: SPLIT,
    "a dataset": lambda: Dataset("d", SPLIT, SPLIT, ("a", "b")),
    "a stream": lambda: TrainingStream(SPLIT, 22, seed=0),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices(DATA).batch(22),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_data(form):
    """In one batch, where the order is no matter."""
    model = network()
    sconv.update_bn(model, FORMS[form](), batch_size=22)
    assert_close(statistics(model), by_hand(model, [DATA]))


def test_arrays_in_the_order_of_their_classes_are_shuffled():
    """Batches of one class each know nothing of what lies between the classes."""
    ordered = np.repeat([[-1.0], [1.0]], 64, axis=0)
    model = of(BatchNormalization(), shape=(1,))
    sconv.update_bn(model, ordered, batch_size=32)
    assert model.layers[0].moving_variance.numpy()[0] > 0.9


def test_several_inputs_by_their_names():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    layer = BatchNormalization()
    model = keras.Model(inputs, keras.layers.Add()([layer(inputs["a"]), layer(inputs["b"])]))
    a, b = DATA[:, 0, 0], DATA[:, 1, 1]
    assert sconv.update_bn(model, ({"a": a, "b": b}, LABELS), batch_size=22) == 1
    # A layer that is called twice counts both.
    assert_close([layer.moving_mean.numpy()], [(a.mean(0) + b.mean(0)) / 2])
    assert_close([layer.moving_variance.numpy()], [(a.var(0) + b.var(0)) / 2])


def test_data_without_an_end_and_data_that_fails():
    model = network()
    batches = tf.data.Dataset.from_tensor_slices(DATA).batch(11)
    sconv.update_bn(model, batches.repeat(), steps=2)
    expected = by_hand(model, [DATA[:11], DATA[11:]])
    assert_close(statistics(model), expected)

    def failing():
        yield DATA[:11]
        raise OSError("gone")

    spec = tf.TensorSpec((None, 4, 4, 3))
    with pytest.raises(Exception, match="gone"):
        sconv.update_bn(model, tf.data.Dataset.from_generator(failing, output_signature=spec))
    assert_close(statistics(model), expected)
    assert not {"call", "predict_step"} & {*vars(model.layers[1]), *vars(model)}


def test_a_stream_of_small_images_gives_those_of_full_size():
    def cut(images, epoch):
        return images[:, : 1 + tf.cast(epoch, tf.int32)]

    whole, small = (TrainingStream(SPLIT, 8, seed=0, resize=resize) for resize in (None, cut))
    model, again = network(), network()
    sconv.update_bn(model, whole)
    again.set_weights(model.get_weights())
    sconv.update_bn(again, small)
    assert_close(statistics(again), statistics(model), tolerance=0)


def test_a_stream_gives_the_same_whatever_its_epoch():
    stream, models = TrainingStream(SPLIT, 8, seed=0), [network(), network()]
    models[1].set_weights(models[0].get_weights())
    for epoch, model in enumerate(models):
        stream.epoch.assign(epoch)
        sconv.update_bn(model, stream)
        assert int(stream.epoch) == epoch
    assert_close(statistics(models[1]), statistics(models[0]), 0)


class Trainer(keras.Model):
    """As an autoencoder of keras.io: nothing is called but by train_step."""

    def __init__(self):
        super().__init__()
        self.part = of(BatchNormalization(), Dense(1), shape=(3,))

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.part(batch, training=True)))
        self.optimizer.apply(tape.gradient(loss, self.part.trainable_variables), self.part.trainable_variables)
        return {"loss": loss}


class Bypassed(Trainer):
    def call(self, inputs, training=None):
        return inputs


def test_what_predict_does_not_pass_through_is_told():
    with pytest.raises(checks.SettingError, match=r"has no call\(\) to pass data through"):
        sconv.update_bn(Trainer(), DATA[:, 0, 0])
    model = Bypassed()
    model.part.layers[0].moving_mean.assign([1, 2, 3])
    with pytest.warns(UserWarning, match="predict does not pass through batch_normalization.*left as they are"):
        assert sconv.update_bn(model, DATA[:, 0, 0]) == 0
    assert_close([model.part.layers[0].moving_mean.numpy()], [[1, 2, 3]], 0)


@pytest.mark.parametrize(
    ("batches", "momentum", "expected"),
    [(1, 0.0, True), (199, 0.9, True), (201, 0.9, False), (1999, 0.99, True), (2001, 0.99, False), (10**6, 1.0, True)],
)
def test_the_rule(batches, momentum, expected):
    assert too_few(batches, momentum) is expected


# --- In fits -------------------------------------------------------------------------------------------------------


@functools.cache
def data(examples=256):
    whole = digits.load()
    return replace(whole, train=whole.train.take(np.arange(examples), whole.train.labels[:examples]))


def network_of(*layers, **optimizer):
    model = of(keras.layers.Rescaling(1 / 16), *layers, Flatten(), Dense(10, "softmax"), shape=(8, 8, 1))
    sgd = keras.optimizers.SGD(momentum=0.9, **optimizer)
    model.compile(sgd, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def small(momentum=0.99, **optimizer):
    keras.utils.set_random_seed(0)
    return network_of(Flatten(), BatchNormalization(momentum=momentum), **optimizer)


def convnet():
    keras.utils.set_random_seed(0)
    layers = []
    for channels in (8, 16):
        convolution = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)
        layers += [convolution, BatchNormalization(), keras.layers.ReLU()]
    return network_of(*layers)


def cycle(model, examples=256, **settings):
    given = {"epochs": 3, "lr_max": 0.1, "batch_size": 16, "verbose": 0, "validation_data": data().test, **settings}
    return sconv.fit_one_cycle(model, data(examples), **given)


def accuracy(model):
    test = data().test
    return model.evaluate(test.images, test.labels, verbose=0, return_dict=True)["accuracy"]


def moved_by_update(model, examples=256, batch_size=16):
    """By how much at most the statistics are not yet those of the weights."""
    layers = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    before = [layer.get_weights() for layer in layers]
    sconv.update_bn(model, data(examples), batch_size)
    after = [layer.get_weights() for layer in layers]
    pairs = zip([array for part in before for array in part], [array for part in after for array in part], strict=True)
    return max(np.abs(one - other).max() for one, other in pairs)


def test_a_short_cycle_at_the_usual_momentum_evaluates_as_it_trained(capsys):
    """46 batches: m^46 of what evaluation goes by, two thirds, is what it was before training."""
    stale, fresh = convnet(), convnet()
    settings = {"examples": 1437, "epochs": 2, "batch_size": 64}
    before = cycle(stale, **settings, update_bn=False)
    after = cycle(fresh, **settings, verbose=2)
    said = "batch normalisation: statistics of 2 layers, computed at the end (46 batches are few at momentum 0.99)\n"
    assert capsys.readouterr().out.endswith(said)
    assert before.history["accuracy"] == after.history["accuracy"]  # the same training
    assert accuracy(fresh) > max(0.9, accuracy(stale) + 0.1)
    # The last validation was of the model that is left, those before of the averages on the way.
    assert after.history["val_accuracy"][-1] == pytest.approx(accuracy(fresh), abs=1e-6)
    assert after.history["val_accuracy"][:-1] == before.history["val_accuracy"][:-1]
    assert moved_by_update(fresh, 1437, 64) == 0


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


# The model, what is said to the fit, and whether it ends with the statistics of its weights. There are 48 batches.
CASES = {
    "enough for 0.5": (lambda: small(0.5), {}, False),
    "enough, but told to": (lambda: small(0.5), {"update_bn": True}, True),
    "too few, but told not to": (small, {"update_bn": False}, False),
    "nothing validated": (small, {"validation_data": None}, True),
    "averaged weights": (lambda: small(0.5, use_ema=True, ema_momentum=0.9), {}, True),
    "averaged weights, validated": (
        lambda: small(0.5, use_ema=True, ema_momentum=0.9),
        {"callbacks": [keras.callbacks.SwapEMAWeights()]},
        True,
    ),
    "the weights of another epoch": (
        small,
        {"callbacks": [keras.callbacks.EarlyStopping("accuracy", 0, 2, mode="min", restore_best_weights=True)]},
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_whether_the_statistics_belong_to_the_weights_that_a_fit_leaves(case):
    make, settings, fresh = CASES[case]
    model = make()
    cycle(model, **settings)
    assert (moved_by_update(model) < 1e-6) == fresh


def test_layers_that_are_frozen_ask_for_nothing(capsys):
    model = small()
    model.layers[2].trainable = False
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    before = model.layers[2].get_weights()
    cycle(model, verbose=2, validation_data=None)
    assert "statistics" not in capsys.readouterr().out
    assert_close(model.layers[2].get_weights(), before, 0)


def test_layers_that_run_as_in_evaluation_keep_their_statistics(capsys):
    class Evaluated(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.norm, self.new = (
                keras.layers.Flatten(),
                BatchNormalization(),
                keras.layers.Dense(10, "softmax"),
            )
            self(np.zeros((1, 8, 8, 1)))

        def call(self, inputs):
            return self.new(self.norm(self.flat(inputs), training=False))

    model = Evaluated()
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    before = model.norm.get_weights()
    cycle(model, verbose=2, update_bn=True, lr_max=1e-3)
    assert "statistics" not in capsys.readouterr().out
    assert_close(model.norm.get_weights()[2:], before[2:], 0)
    assert (model.norm.get_weights()[0] != before[0]).any()


def test_a_fit_is_not_lost_where_the_data_cannot_be_had_again():
    model, images, labels = small(), data().train.images, data().train.labels
    passes = []

    def once():
        passes.append(1)
        if len(passes) > 1:
            raise OSError("read already")
        yield images, labels

    spec = (tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,)))
    batches = tf.data.Dataset.from_generator(once, output_signature=spec)
    batches = batches.apply(tf.data.experimental.assert_cardinality(1))
    with pytest.warns(UserWarning, match="update_bn: .*read already.*; the statistics stay as they are"):
        history = sconv.fit_one_cycle(
            model, batches, epochs=1, lr_max=0.1, verbose=0, schedule=sconv.schedules.constant
        )
    assert len(history.history["loss"]) == 1
    trainer = Trainer()
    trainer.compile(keras.optimizers.SGD(momentum=0.9))
    with pytest.raises(checks.SettingError, match="has no call"):
        sconv.fit_one_cycle(trainer, (DATA[:, 0, 0], LABELS), lr_max=0.1, update_bn=True)
    with pytest.raises(checks.SettingError, match=r"^update_bn: got 'yes', expected one of True, False, auto$"):
        sconv.fit_one_cycle(model, batches, update_bn="yes")


@pytest.mark.slow
def test_a_script_that_had_finished_ends_with_the_same_statistics(tmp_path, capsys):
    first, again = small(), small()
    cycle(first, epochs=2, checkpoint=tmp_path)
    cycle(again, epochs=2, checkpoint=tmp_path)
    assert_close(weights_of(again), weights_of(first), 0)
    assert moved_by_update(again) == 0


def compute_on_two_replicas():
    """Print by how much the statistics miss the mean over both halves of the batch, in a process of its own."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = network()
    sconv.update_bn(model, tf.data.Dataset.from_tensor_slices(DATA).batch(22))
    expected = by_hand(model, [DATA[:11], DATA[11:]])
    missed = max(np.abs(one - other).max() for one, other in zip(statistics(model), expected, strict=True))
    print(json.dumps(float(missed)))


@pytest.mark.slow
def test_replicas_join_what_each_has_seen():
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    code = "import test_batch_statistics; test_batch_statistics.compute_on_two_replicas()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) < 1e-5
