"""Filter gradients as convolutions: the numbers of a hand-written sum, where they are used, and what stays stock."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.layers import Conv2D, Input, MaxPooling2D
from tensorflow.python.framework import ops

import sconv
from sconv.training import filter_gradients, processor

HALF = "mixed_bfloat16"
MANY = filter_gradients.NARROWEST


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(flags): a processor that describes itself so, with oneDNN on."""

    def put(flags):
        (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse")
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(filter_gradients, "onednn_is_on", lambda: True)

    return put


@pytest.fixture
def computed(monkeypatch):
    """The shapes of the filters whose gradients are traced as convolutions."""
    shapes, own = [], filter_gradients.as_convolution

    def as_convolution(inputs, upstream, shape, padding):
        shapes.append(tuple(shape))
        return own(inputs, upstream, shape, padding)

    monkeypatch.setattr(filter_gradients, "as_convolution", as_convolution)
    return shapes


def summed(inputs, upstream, size, padding):
    """The sum over all positions, by the definition of a convolution."""
    height, width = size
    if padding == "SAME":
        around = [((side - 1) // 2, side // 2) for side in size]
        inputs = np.pad(inputs, [(0, 0), *around, (0, 0)])
    rows, columns = upstream.shape[1:3]
    return np.array(
        [
            [
                np.einsum("bhwi,bhwo->io", inputs[:, row : row + rows, column : column + columns], upstream)
                for column in range(width)
            ]
            for row in range(height)
        ]
    )


@settings(derandomize=True, max_examples=15, deadline=None, database=None)
@given(
    sides=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(1, 4),
    padding=st.sampled_from(["SAME", "VALID"]),
)
def test_is_the_sum_over_all_positions(sides, size, channels, batch, padding):
    random = np.random.default_rng(0)
    ends = sides if padding == "SAME" else [side - wide + 1 for side, wide in zip(sides, size, strict=True)]
    inputs, upstream = random.normal(size=(batch, *sides, channels[0])), random.normal(size=(batch, *ends, channels[1]))
    given = (tf.constant(each, tf.float32) for each in (inputs, upstream))
    found = filter_gradients.as_convolution(*given, tf.TensorShape((*size, *channels)), padding)
    np.testing.assert_allclose(found, summed(inputs, upstream, size, padding), rtol=1e-4, atol=1e-4)


def network(*layers, side=6):
    return keras.Sequential([Input((side, side, MANY)), *layers, keras.layers.GlobalAveragePooling2D(dtype="float32")])


def half(dtype=HALF, **kwargs):
    return Conv2D(MANY, 3, padding="same", dtype=dtype, **{"use_bias": False, **kwargs})


class Subclass(Conv2D):
    pass


@pytest.mark.parametrize(
    ("flags", "layers", "side", "line"),
    [
        ("avx512_bf16", [half(), half()], 6, "accelerate: 2 filter gradients by convolution"),
        (
            "avx512_bf16",
            [half(), MaxPooling2D(), half()],
            12,
            "accelerate: 1 filter gradient by convolution",
        ),
        ("avx512_bf16 amx_bf16", [half()], 6, "accelerate: nothing to fuse"),
        ("avx512f", [half()], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [half("float32")], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [half(strides=2)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [half(dilation_rate=2)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [half(use_bias=True)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [Conv2D(MANY - 1, 3, use_bias=False, dtype=HALF)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [half(groups=2)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [Conv2D(MANY, 1, use_bias=False, dtype=HALF)], 6, "accelerate: nothing to fuse"),
        ("avx512_bf16", [Subclass(MANY, 3, use_bias=False, dtype=HALF)], 6, "accelerate: nothing to fuse"),
    ],
    ids=[
        "small",
        "large and small",
        "AMX",
        "no bfloat16",
        "float32",
        "strided",
        "dilated",
        "bias",
        "narrow",
        "grouped",
        "1x1",
        "subclass",
    ],
)
def test_says_what_gains(machine, flags, layers, side, line):
    machine(flags)
    assert str(sconv.accelerate(network(*layers, side=side))) == line


def trained(change, dtype=HALF, **how):
    """The weights after three steps, as one vector, and the model."""
    keras.utils.set_random_seed(0)
    model = network(half(dtype), half(dtype))
    change(model)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False, **how)
    random, batch = np.random.default_rng(0), filter_gradients.FEWEST
    x, y = random.normal(size=(3 * batch, 6, 6, MANY)), random.normal(size=(3 * batch, MANY))
    model.fit(x.astype(np.float32), y.astype(np.float32), batch_size=batch, shuffle=False, verbose=0)
    return np.concatenate([each.ravel() for each in model.get_weights()]), model


@pytest.mark.parametrize("how", [{}, {"steps_per_execution": 3}], ids=["a step at a time", "three"])
def test_trains_as_the_stock_layers_and_is_saved_as_them(machine, computed, tmp_path, how):
    machine("avx512_bf16")
    stock, _ = trained(lambda model: None, **how)
    assert not computed
    weights, model = trained(sconv.accelerate, **how)
    assert computed == 2 * [(3, 3, MANY, MANY)]
    exact, _ = trained(lambda model: None, dtype="float32")
    rounding = np.linalg.norm(stock - exact)
    assert 0 < np.linalg.norm(weights - exact) < 1.5 * rounding
    said = model.to_json()
    model.save(tmp_path / "saved.keras")
    sconv.decelerate(model)
    assert model.to_json() == said
    loaded = keras.models.load_model(tmp_path / "saved.keras")
    assert not any(filter_gradients.is_on(layer) for layer in (*loaded.layers, *keras.models.clone_model(model).layers))
    x = np.ones((2, 6, 6, MANY))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_second_derivatives_are_those_of_the_stock_layer(machine, computed):
    machine("avx512_bf16")
    x = tf.random.stateless_normal((filter_gradients.FEWEST, 5, 5, MANY), (0, 0))

    def second(change):
        keras.utils.set_random_seed(0)
        model = network(half(activation="tanh"), side=5)
        change(model)
        kernel = model.layers[0].kernel.value
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(model(x) ** 2)
            first = inner.gradient(loss, kernel)
            total = tf.reduce_sum(first**2)
        return outer.gradient(total, kernel).numpy()

    stock = second(lambda model: None)
    assert not computed
    np.testing.assert_allclose(second(sconv.accelerate), stock, atol=0.05 * np.abs(stock).max())
    assert computed


@pytest.mark.parametrize("kept", [True, False])
def test_can_be_undone_and_leaves_what_a_user_put_there(machine, computed, kept):
    machine("avx512_bf16")
    model = network(half())
    own = model.layers[0].convolution_op
    if kept:
        model.layers[0].convolution_op = own
    assert bool(sconv.accelerate(model)) is not kept
    sconv.decelerate(model)
    assert ("convolution_op" in vars(model.layers[0])) is kept
    trained(lambda model: (sconv.accelerate(model), sconv.decelerate(model)))
    assert not computed


@pytest.mark.parametrize(
    ("batch", "side", "taken"),
    [(0, 4, False), (filter_gradients.FEWEST - 1, 4, False), (filter_gradients.FEWEST, 9, False),
     (filter_gradients.FEWEST, 1, False), (filter_gradients.FEWEST, 4, True)],
    ids=["no image", "few", "large", "smaller than a filter", "small"],
)  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_few_images_and_large_ones_are_left_to_the_operation(monkeypatch, batch, side, taken, known):
    shape = tf.TensorShape((3, 3, 2, 4))
    monkeypatch.setattr(filter_gradients, "as_convolution", lambda *given: tf.fill(shape, -1.0))
    signature = [
        tf.TensorSpec((batch, side, side, channels) if known else (None,) * 3 + (channels,)) for channels in (2, 4)
    ]
    gradient = tf.function(lambda x, dy: filter_gradients.filter_gradient(x, dy, shape, "SAME"), signature)
    found = gradient(tf.ones((batch, side, side, 2)), tf.ones((batch, side, side, 4)))
    assert bool(tf.reduce_all(found == -1.0)) is taken
    assert gradient.get_concrete_function().structured_outputs.shape == shape


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [(3, 3), (2, 4), (5, 1)])
@pytest.mark.parametrize("known", [True, False], ids=["known", "of unknown size"])
def test_is_tensorflows_convolution_with_both_its_gradients(padding, size, known):
    random, batch = np.random.default_rng(0), filter_gradients.FEWEST
    inputs, kernel = (tf.constant(random.normal(size=shape), tf.float32) for shape in ((batch, 6, 7, 3), (*size, 3, 2)))

    def gradients(convolution):
        @tf.function(input_signature=[tf.TensorSpec(inputs.shape if known else (None, None, None, 3))])
        def both(x):
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                loss = tf.reduce_sum(tf.sin(convolution(x, kernel)))
            return loss, *tape.gradient(loss, [x, kernel])

        return both(inputs)

    stock = gradients(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, padding))
    for one, other in zip(gradients(lambda *given: filter_gradients.convolved(*given, padding)), stock, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_predictions_and_exports_leave_nothing_behind(machine, tmp_path):
    machine("avx512_bf16")
    model = network(half())
    x = np.ones((2, 6, 6, MANY), np.float32)
    stock = model.predict(x, verbose=0)
    registered = set(ops.gradient_registry._registry)
    assert sconv.accelerate(model)
    np.testing.assert_array_equal(model.predict(x, verbose=0), stock)
    model.export(tmp_path / "exported", verbose=False)
    assert set(ops.gradient_registry._registry) == registered
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_array_equal(exported.serve(x), stock)
