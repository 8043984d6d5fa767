"""`update_bn` against NumPy, and what fits end with: statistics that belong to the weights."""

import json
import subprocess
import sys
import warnings

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
    "(x, y)": (DATA, LABELS),
    "(x, y, weights)": (DATA, LABELS, np.ones(22)),
    "x": DATA,
    "a tensor": tf.constant(DATA),
    "a split": SPLIT,
    "a dataset": Dataset("d", SPLIT, SPLIT, ("a", "b")),
    "a stream": TrainingStream(SPLIT, 22, seed=0),
    "tf.data": tf.data.Dataset.from_tensor_slices(DATA).batch(22),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_data(form):
    """In one batch, where the order is no matter."""
    model = network()
    sconv.update_bn(model, FORMS[form], batch_size=22)
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
    with pytest.raises(checks.SettingError, match="has no call.. to pass data through"):
        sconv.update_bn(Trainer(), DATA[:, 0, 0])
    model = Bypassed()
    model.part.layers[0].moving_mean.assign([1, 2, 3])
    with pytest.warns(UserWarning, match="predict does not pass through batch_normalization.*left as they are"):
        assert sconv.update_bn(model, DATA[:, 0, 0]) == 0
    assert_close([model.part.layers[0].moving_mean.numpy()], [[1, 2, 3]], 0)


@pytest.mark.parametrize(
    ("batches", "momentum", "expected"),
    [(1, 0.0, True), (199, 0.9, True), (200, 0.9, False), (1999, 0.99, True), (2001, 0.99, False), (10**6, 1.0, True)],
)
def test_the_rule(batches, momentum, expected):
    assert too_few(batches, momentum) is expected


# --- In fits -------------------------------------------------------------------------------------------------------


def convnet(momentum=0.99, **optimizer):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 16)]
    for channels in (8, 16):
        convolution = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)
        layers += [convolution, BatchNormalization(momentum=momentum), keras.layers.ReLU()]
    model = of(*layers, Flatten(), Dense(10, "softmax"), shape=(8, 8, 1))
    sgd = keras.optimizers.SGD(momentum=0.9, **optimizer)
    model.compile(sgd, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def cycle(model, **settings):
    data = digits.load()
    given = {"epochs": 3, "lr_max": 0.1, "batch_size": 64, "verbose": 0, "validation_data": data.test, **settings}
    return sconv.fit_one_cycle(model, data, **given)


def accuracy(model):
    test = digits.load().test
    return model.evaluate(test.images, test.labels, verbose=0, return_dict=True)["accuracy"]


def moved_by_update(model):
    """By how much at most the statistics are not yet those of the weights."""
    layers = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    before = [layer.get_weights() for layer in layers]
    sconv.update_bn(model, digits.load(), batch_size=64)
    after = [layer.get_weights() for layer in layers]
    return max(np.abs(one - other).max() for was, now in zip(before, after, strict=True) for one, other in zip(was, now))


def test_a_short_cycle_at_the_usual_momentum_evaluates_as_it_trained(capsys):
    """66 batches, 0.66 memories of 0.99: half of what evaluation goes by is what it was before training."""
    stale, fresh = convnet(), convnet()
    before = cycle(stale, update_bn=False)
    after = cycle(fresh, verbose=2)
    said = "batch normalisation: statistics of 2 layers, computed at the end (69 batches are few at momentum 0.99)\n"
    assert capsys.readouterr().out.endswith(said)
    assert before.history["accuracy"] == after.history["accuracy"]  # the same training
    assert accuracy(fresh) > 0.93 > 0.7 > accuracy(stale)
    # The last validation was of the model that is left, those before of the averages on the way.
    assert after.history["val_accuracy"][-1] == pytest.approx(accuracy(fresh), abs=1e-6)
    assert after.history["val_accuracy"][:-1] == before.history["val_accuracy"][:-1]
    assert moved_by_update(fresh) == 0
