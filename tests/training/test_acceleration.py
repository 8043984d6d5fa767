"""`accelerate` by its effect: the stock model's numbers and files, from TensorFlow's fused operation."""

import copy
import functools
import inspect
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from keras.layers import BatchNormalization

import sconv
from sconv.training import acceleration

# Many small networks, each traced anew: a minute in all.
pytestmark = pytest.mark.slow

FUSED = "FusedBatchNormV3"
# Largest relative distance of two neighbouring numbers.
EPSILON = {"float32": 2.0**-23, "mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7}


class Subclass(BatchNormalization):
    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = None


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Conv2D(2, 1), BatchNormalization()]

    def call(self, inputs, training=None):
        for block in self.blocks:
            inputs = block(inputs, training=training) if isinstance(block, BatchNormalization) else block(inputs)
        return inputs


def of(*layers, shape=(3, 3, 2), **kwargs):
    return keras.Sequential([keras.Input(shape), *layers], **kwargs)


def network():
    """Normalisations with and without scale and centre, one frozen, two in a model within."""
    inner = of(
        keras.layers.Conv2D(4, 3, padding="same"),
        BatchNormalization(scale=False, momentum=0.7),
        keras.layers.ReLU(),
        BatchNormalization(center=False, axis=3, epsilon=1e-5),
        shape=(4, 4, 3),
        name="inner",
    )
    inputs = keras.Input((4, 4, 3))
    outputs = inner(BatchNormalization(momentum=0.5)(inputs))
    outputs = BatchNormalization(trainable=False)(outputs)
    return keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(keras.layers.Flatten()(outputs)), name="outer")


def traced(model):
    """How many fused operations a call of the model makes when it is traced."""
    images = tf.TensorSpec((None, *model.input_shape[1:]))
    function = tf.function(lambda x: model(x, training=True)).get_concrete_function(images)
    return Counter(operation.type for operation in function.graph.get_operations())[FUSED]


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def reference(x, slope, gamma, beta, mean, variance, layer, training):
    """Outputs, gradients of sum(outputs * slope) by x, gamma and beta, and moving averages; the text's formulas."""
    axes = (0, 1, 2)
    used_mean, used_variance = (x.mean(axes), x.var(axes)) if training else (mean, variance)
    deviation = np.sqrt(used_variance + layer.epsilon)
    normal = (x - used_mean) / deviation
    through = slope - slope.mean(axes) - normal * (slope * normal).mean(axes) if training else slope
    kept = layer.momentum if training else 1.0
    return {
        "outputs": normal * gamma + beta,
        "by x": gamma / deviation * through,
        "by gamma": (slope * normal).sum(axes),
        "by beta": slope.sum(axes),
        "moving mean": kept * mean + (1 - kept) * used_mean,
        "moving variance": kept * variance + (1 - kept) * used_variance,
    }


def measured(model, x, slope, training):
    layer = model.layers[-1]
    x = tf.cast(x, layer.compute_dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = layer(x, training=training)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * slope)
    found = {"outputs": outputs, "by x": tape.gradient(total, x)}
    for name, variable in (("by gamma", layer.gamma), ("by beta", layer.beta)):
        if variable is not None:
            found[name] = tape.gradient(total, variable.value)
    found |= {"moving mean": layer.moving_mean.value, "moving variance": layer.moving_variance.value}
    return {name: np.asarray(tf.cast(value, tf.float64)) for name, value in found.items()}


@pytest.mark.parametrize("policy", EPSILON)
@settings(derandomize=True, max_examples=8, deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    seed=st.integers(0, 2**16),
    center=st.booleans(),
    scale=st.booleans(),
    training=st.booleans(),
    trainable=st.sampled_from([True, True, False]),
    momentum=st.sampled_from([0.0, 0.5, 0.99]),
    epsilon=st.sampled_from([1e-6, 1e-3, 0.1]),
)
@example((1, 1, 1, 3), 0, True, True, True, True, 0.5, 1e-3)
@example((2, 1, 1, 3), 0, True, True, True, True, 0.5, 1e-3)
@example((4, 3, 5, 2), 0, False, False, True, True, 0.5, 1e-6)
def test_equals_the_stock_layer_and_its_formula(
    policy, shape, seed, center, scale, training, trainable, momentum, epsilon
):
    random = np.random.default_rng(seed)
    layer = BatchNormalization(
        center=center, scale=scale, momentum=momentum, epsilon=epsilon, trainable=trainable, dtype=policy
    )
    model = of(layer, shape=shape[1:])
    channels = shape[-1:]
    gamma = random.uniform(0.5, 2, channels) if scale else np.ones(channels)
    beta = random.normal(size=channels) if center else np.zeros(channels)
    mean, variance = random.normal(size=channels), random.uniform(0.5, 2, channels)
    weights = [*([gamma] if scale else []), *([beta] if center else []), mean, variance]
    x, slope = (
        np.asarray(tf.cast(tf.cast(random.normal(at, 1, shape), layer.compute_dtype), tf.float64)) for at in (1.0, 0.0)
    )
    expected = reference(x, slope, gamma, beta, mean, variance, layer, training and trainable)

    found = {}
    for act in (sconv.decelerate, sconv.accelerate):
        act(model)
        model.set_weights(weights)
        found[act] = measured(model, x, slope.astype(np.float32), training)
    assert traced(model) == 1
    # Where values of a channel are close together, differences of theirs carry what rounding left.
    deviation = np.sqrt((x.var((0, 1, 2)) if training and trainable else variance) + epsilon)
    grown = max(1.0, 1 / deviation.min())
    for name, value in found[sconv.accelerate].items():
        rounded = EPSILON[policy] if name in ("outputs", "by x") else EPSILON["float32"]
        allowed = 16 * rounded * grown * max(1.0, np.abs(expected[name]).max())
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=allowed, err_msg=name)
        np.testing.assert_allclose(value, found[sconv.decelerate][name], rtol=0, atol=allowed, err_msg=name)


def test_second_derivatives_are_exact():
    """By the formula written out: those of the stock layer miss how the mean moves, as tf.nn.moments does."""
    x, weights = np.random.default_rng(0).normal(size=(2, 2, 3, 3, 2))

    def penalty_gradient(normalised, dtype):
        values = tf.constant(x, dtype)
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                total = tf.reduce_sum(tf.sin(normalised(values)) * tf.constant(weights, dtype))
            penalty = tf.reduce_sum(inner.gradient(total, values) ** 2 * tf.constant(weights, dtype))
        return outer.gradient(penalty, values).numpy()

    def formula(values):
        centred = values - tf.reduce_mean(values, (0, 1, 2))
        return centred / tf.sqrt(tf.reduce_mean(centred**2, (0, 1, 2)) + 1e-3)

    model = of(BatchNormalization())
    sconv.accelerate(model)
    ours = penalty_gradient(lambda values: model.layers[0](values, training=True), tf.float32)
    np.testing.assert_allclose(ours, penalty_gradient(formula, tf.float64), atol=1e-4)


def train(model, callbacks=(), **compiled):
    """Fit for ten steps; returns the weights."""
    random = np.random.default_rng(1)
    x = random.normal(2, 3, (80, *model.input_shape[1:])).astype(np.float32)
    y = random.integers(0, 2, 80)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9, **compiled.pop("optimizer", {})), loss, **compiled)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[*callbacks])
    return model.get_weights()


@pytest.fixture
def calls(monkeypatch):
    """What is called from now on, stock or fused; in a compiled step, what is traced."""
    counted = Counter()
    stock, fused = BatchNormalization.call, tf.compat.v1.nn.fused_batch_norm

    def counting(name, function):
        @functools.wraps(function)  # Keras looks at the signature
        def call(*args, **kwargs):
            counted[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(BatchNormalization, "call", counting("stock", stock))
    monkeypatch.setattr(tf.compat.v1.nn, "fused_batch_norm", counting("fused", fused))
    return counted


MODES = {
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "several steps an execution": {"steps_per_execution": 4, "jit_compile": False},
    "gradient accumulation": {"optimizer": {"gradient_accumulation_steps": 2}, "jit_compile": False},
}


@pytest.mark.parametrize(
    ("policy", "mode", "distance"),
    [
        *(("float32", mode, 1e-5) for mode in MODES),
        ("mixed_bfloat16", "graph", 5e-3),
        ("mixed_float16", "graph", 1e-3),
    ],
    indirect=["policy"],
)
def test_ten_steps_of_training_end_at_the_same_weights(policy, mode, distance, calls):
    model = network()
    start = model.get_weights()
    stock = train(model, **MODES[mode])
    calls.clear()
    assert str(sconv.accelerate(model)) == "accelerate: 4 normalisations fused"
    model.set_weights(start)
    fused = train(model, **MODES[mode])
    assert set(calls) == ({"stock"} if mode == "xla" else {"fused"})
    moved = max(np.abs(after - before).max() for after, before in zip(stock, start, strict=True))
    assert moved > 0.5
    for ours, theirs in zip(fused, stock, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=distance)


def train_on_two_replicas():
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = network()
        start, stock = model.get_weights(), train(model)
        sconv.accelerate(model)
        assert traced(model) == 4
        model.set_weights(start)
        fused = train(model)
    print(json.dumps(max(float(np.abs(ours - theirs).max()) for ours, theirs in zip(fused, stock, strict=True))))


@pytest.mark.slow
def test_two_replicas_average_as_with_stock_layers():
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    code = "import test_acceleration; test_acceleration.train_on_two_replicas()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) < 1e-5


SOUND = {
    "nothing": (lambda: of(keras.layers.Flatten()), "nothing to fuse"),
    "one": (lambda: of(BatchNormalization()), "1 normalisation fused"),
    "nested": (network, "4 normalisations fused"),
    "in another layer": (
        lambda: of(keras.layers.TimeDistributed(BatchNormalization()), shape=(5, 3, 3, 2)),
        "1 normalisation fused",
    ),
    "used twice": (
        lambda: (lambda layer: of(layer, keras.layers.Conv2D(2, 1), layer))(BatchNormalization()),
        "1 normalisation fused",
    ),
    "application": (
        lambda: of(keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None), shape=(32, 32, 3)),
        "52 normalisations fused",
    ),
    "not built": (Subclassed, "1 to be fused once built, if of 4 axes"),
    "subclass": (lambda: of(Subclass(), Subclass()), "nothing to fuse, 2 left alone (a subclass)"),
    "synchronized": (
        lambda: of(BatchNormalization(synchronized=True), BatchNormalization()),
        "1 normalisation fused, 1 left alone (synchronized)",
    ),
    "channels first": (
        lambda: of(BatchNormalization(axis=1)),
        "nothing to fuse, 1 left alone (not over the last axis)",
    ),
    "two axes": (lambda: of(BatchNormalization(), shape=(3,)), "nothing to fuse, 1 left alone (not of 4 axes)"),
    "five axes": (
        lambda: of(BatchNormalization(axis=3), shape=(3, 3, 3, 2)),
        "nothing to fuse, 1 left alone (not of 4 axes)",
    ),
    "float64": (lambda: of(BatchNormalization(dtype="float64")), "nothing to fuse, 1 left alone (float64)"),
}
if "renorm" in inspect.signature(BatchNormalization).parameters:
    SOUND["renorm"] = (lambda: of(BatchNormalization(renorm=True)), "nothing to fuse, 1 left alone (renorm)")


@pytest.mark.parametrize("kind", SOUND)
def test_says_what_it_fused_and_leaves_the_rest_alone(kind):
    build, said = SOUND[kind]
    model = build()
    assert str(sconv.accelerate(model)) == f"accelerate: {said}"
    assert str(sconv.accelerate(model)) == f"accelerate: {said}"
    if kind not in ("not built", "in another layer", "application", "used twice"):
        assert traced(model) == sconv.accelerate(model).fused
    sconv.decelerate(model)
    assert all("call" not in vars(layer) for layer in model.layers)


@pytest.mark.parametrize(("shape", "operations"), [((3, 3, 2), 1), ((2,), 0)])
def test_a_layer_not_yet_built_decides_by_its_input(shape, operations):
    model = keras.Sequential([BatchNormalization()])
    sconv.accelerate(model)
    model(np.ones((1, *shape), np.float32))
    assert traced(model) == operations
    assert sconv.accelerate(model).fused == operations


def test_a_call_of_the_users_own_stays():
    model = of(BatchNormalization())
    vars(model.layers[0])["call"] = lambda inputs, training=None, mask=None: inputs + 1
    assert str(sconv.accelerate(model)) == "accelerate: nothing to fuse, 1 left alone (a call of its own)"
    sconv.decelerate(model)
    np.testing.assert_array_equal(model(np.zeros((1, 3, 3, 2))), np.ones((1, 3, 3, 2)))


def test_masked_values_count_for_nothing_as_in_the_stock_layer():
    model = of(BatchNormalization(momentum=0.0))
    sconv.accelerate(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype(np.float32)
    mask = np.zeros((2, 3, 3), bool)
    mask[0] = True
    model.layers[0](x, training=True, mask=tf.constant(mask))
    np.testing.assert_allclose(model.layers[0].moving_mean, x[0].mean((0, 1)), atol=1e-5)


def test_inputs_of_another_type_are_the_stock_layers():
    """Whole numbers pass through a layer's casts; the fused operation does not know them."""
    model = of(BatchNormalization(moving_variance_initializer="ones", epsilon=0.0))
    sconv.accelerate(model)
    pixels = tf.constant(np.arange(18).reshape(1, 3, 3, 2), tf.uint8)
    np.testing.assert_array_equal(model.layers[0](pixels), np.arange(18.0).reshape(1, 3, 3, 2))


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_without_images_is_taken_as_by_the_stock_layer(training):
    averages = []
    for act in (sconv.decelerate, sconv.accelerate):
        model = of(BatchNormalization())
        act(model)
        assert model(np.zeros((0, 3, 3, 2)), training=training).shape == (0, 3, 3, 2)
        averages.append(model.get_weights())
    np.testing.assert_array_equal(*averages)


def test_images_of_any_size_and_a_batch_that_is_left_over():
    weights = []
    for act in (sconv.decelerate, sconv.accelerate):
        keras.utils.set_random_seed(0)
        model = of(
            BatchNormalization(momentum=0.5),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
            shape=(None, None, 2),
        )
        act(model)
        model.compile("sgd", "mse", jit_compile=False)
        for size in (1, 3, 6):
            images = np.random.default_rng(size).normal(size=(5, size, size + 1, 2)).astype(np.float32)
            model.fit(images, images.sum((1, 2))[:, :1], batch_size=4, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for ours, stock in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("execute", ["fit", "evaluate", "predict"])
def test_no_trace_outlives_a_change(execute, calls):
    model = network()
    x, y = np.ones((4, 4, 4, 3), np.float32), np.zeros(4)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    run = {
        "fit": lambda: model.fit(x, y, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
        "predict": lambda: model.predict(x, verbose=0),
    }[execute]
    for act, kind in ((sconv.decelerate, "stock"), (sconv.accelerate, "fused"), (sconv.decelerate, "stock")):
        act(model)
        calls.clear()
        run()
        assert set(calls) == {kind}
        calls.clear()
        act(model)  # once more, which changes nothing: the trace stays
        run()
        assert not calls


def changed_through(model, part):
    """A model whose change is to reach another's: itself, a part of it, or one that shares a part with it."""
    inner = model.get_layer("inner")
    return {"itself": model, "a part": inner, "what shares a part": of(inner, shape=(4, 4, 3))}[part]


@pytest.mark.parametrize("part", ["itself", "a part", "what shares a part"])
def test_no_trace_with_a_schedule_outlives_a_change(part, calls):
    model = network()
    x, y = np.ones((12, 4, 4, 3), np.float32), np.zeros(12)
    model.compile(keras.optimizers.SGD(momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    other = changed_through(model, part)
    changed = {"fused"} if part == "itself" else {"fused", "stock"}
    for act, expected in ((sconv.decelerate, {"stock"}), (sconv.accelerate, changed), (sconv.decelerate, {"stock"})):
        act(other)
        calls.clear()
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[sconv.OneCycleScheduler(0.1)])
        assert set(calls) == expected
        calls.clear()  # nothing changes: the trace stays
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[sconv.OneCycleScheduler(0.1)])
        assert not calls


class At(keras.callbacks.Callback):
    """Does something at the end of a batch."""

    def __init__(self, batch, act):
        super().__init__()
        self.batch, self.act = batch, act

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self.act(self.model)


def test_may_be_changed_in_the_middle_of_a_fit(calls):
    model = network()
    start, stock = model.get_weights(), train(model)
    model.set_weights(start)
    calls.clear()
    changed = train(model, [At(2, sconv.accelerate), At(5, sconv.decelerate)])
    assert set(calls) == {"stock", "fused"}
    for ours, theirs in zip(changed, stock, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_saved_in_the_middle_of_a_fit_it_is_the_stock_model(tmp_path):
    model = network()
    sconv.accelerate(model)

    def save_both(model):
        model.save(tmp_path / "accelerated.keras")
        sconv.decelerate(model)
        model.save(tmp_path / "stock.keras")

    train(model, [At(4, save_both)])
    ours, theirs = (
        zipfile.ZipFile(tmp_path / name).read("config.json") for name in ("accelerated.keras", "stock.keras")
    )
    assert ours == theirs
    assert b"sconv" not in ours
    loaded, stock = (keras.models.load_model(tmp_path / name) for name in ("accelerated.keras", "stock.keras"))
    assert traced(loaded) == 0
    for saved, expected in zip(loaded.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, expected)


COPIES = {
    "clone": lambda model: keras.models.clone_model(model),
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_a_stock_model_of_its_own(kind):
    model = network()
    sconv.accelerate(model)
    train(model)
    twin = COPIES[kind](model)
    assert (traced(twin), traced(model)) == (0, 4)
    before = model.get_weights()
    twin.set_weights(before)
    train(twin)
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_two_models_that_share_a_layer():
    layer = BatchNormalization()
    one, other = of(layer, keras.layers.Flatten()), of(keras.layers.ReLU(), layer, keras.layers.Flatten())
    assert sconv.accelerate(one) == sconv.accelerate(other) == acceleration.Acceleration(fused=1)
    assert (traced(one), traced(other)) == (1, 1)
    sconv.decelerate(other)
    assert (traced(one), traced(other)) == (0, 0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_one_cycle_accelerates_unless_told_not_to(calls, capsys, jit_compile):
    model = network()
    data = np.ones((96, 4, 4, 3), np.float32), np.zeros(96)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9), loss, jit_compile=jit_compile)
    line = "accelerate: 4 normalisations fused\n"
    for chosen, kind, said in (
        ({"accelerate": False}, "stock", ""),
        ({"verbose": 2}, "fused", line),
        ({}, "fused", ""),
    ):
        calls.clear()
        sconv.fit_one_cycle(model, data, epochs=1, lr_max=0.1, **{"verbose": 0, **chosen})
        kind, said = ("stock", "") if jit_compile else (kind, said)
        assert set(calls) <= {kind}
        assert (line in capsys.readouterr().out) == bool(said)
    assert len(acceleration.accelerated_layers(model)) == 4
    with pytest.raises(TypeError, match=r"^accelerate: got 'yes', expected true or false$"):
        sconv.fit_one_cycle(model, data, epochs=1, lr_max=0.1, accelerate="yes")


def test_frozen_after_it_was_accelerated(calls):
    model = network()
    sconv.accelerate(model)
    normalisations = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    for layer in normalisations:
        layer.trainable = False
    before = [layer.get_weights() for layer in normalisations]
    train(model, jit_compile=False)
    assert [part.tolist() for layer in before for part in layer] == [
        part.tolist() for layer in normalisations for part in layer.get_weights()
    ]
    assert set(calls) == {"fused"}


def test_only_models():
    for act in (sconv.accelerate, sconv.decelerate):
        with pytest.raises(TypeError, match=r"^model: got <BatchNormalization .*>, expected a keras.Model$"):
            act(BatchNormalization(name="a"))
