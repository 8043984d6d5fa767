"""The papers' networks: parameters counted by hand and as published, layers, and what the shortcuts carry."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sconv import checks
from sconv.models import cnn3, convnet, densenet, lenet_caffe, resnet, resnet9, wide_resnet

CIFAR = (32, 32, 3)


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def weighted(model):
    """Layers with a kernel."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]


def normalised(*channels):
    """A scale and a shift each."""
    return 2 * sum(channels)


def test_caffes_lenet_on_mnist():
    # 28 -> 24, pooled 12 -> 8, pooled 4: 4 x 4 x 50 = 800 go into the first dense layer.
    by_hand = (25 * 20 + 20) + (25 * 20 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
    assert lenet_caffe.build((28, 28, 1), 10).count_params() == by_hand == 431_080


def test_caffes_lenet_starts_as_its_xavier_does():
    kernel = np.asarray(lenet_caffe.build((28, 28, 1), 10).get_layer(index=7).kernel)
    assert kernel.shape == (800, 500)
    bound = (3 / 800) ** 0.5
    assert np.abs(kernel).max() == pytest.approx(bound, rel=1e-3)
    assert np.std(kernel) == pytest.approx(bound / 3**0.5, rel=0.01)


def test_the_3_layer_network_on_cifar10():
    by_hand = (75 * 32 + 32) + (25 * 32 * 32 + 32) + (25 * 32 * 64 + 64) + (4 * 4 * 64 * 10 + 10)
    model = cnn3.build(CIFAR, 10)
    assert model.count_params() == by_hand == 89_578
    kinds = [type(layer).__name__ for layer in model.layers[2:]]
    assert kinds == [
        *("Conv2D", "MaxPooling2D", "ReLU"),
        *("Conv2D", "ReLU", "AveragePooling2D"),
        *("Conv2D", "ReLU", "AveragePooling2D"),
        *("Flatten", "Dense"),
    ]


# He et al., table 6, to two digits: 0.85 M and 1.7 M; the exact numbers are those of akamaster/pytorch_resnet_cifar10.
@pytest.mark.slow
@pytest.mark.parametrize(("depth", "count"), [(56, 853_018), (110, 1_727_962)])
def test_deeper_residual_networks(depth, count):
    model = resnet.build(CIFAR, 10, depth=depth)
    assert trainable(model) == count
    assert len(weighted(model)) == depth


def wide(blocks, k, classes=10):
    w1, w2, w3 = 16 * k, 32 * k, 64 * k
    count = 9 * 3 * 16
    for before, width in ((16, w1), (w1, w2), (w2, w3)):
        projected = 0 if before == width else before * width
        count += normalised(before) + 9 * before * width + normalised(width) + 9 * width * width + projected
        count += (blocks - 1) * 2 * (normalised(width) + 9 * width * width)
    return count + normalised(w3) + w3 * classes + classes


# Zagoruyko and Komodakis, table 5: 2.2 M, 2.7 M (2.75) and 36.5 M.
@pytest.mark.parametrize(
    ("depth", "k", "blocks", "count"),
    [(16, 4, 2, 2_748_890), (40, 2, 6, 2_243_546), (16, 1, 2, 175_066), (28, 10, 4, 36_479_194)],
)
def test_wide_residual_networks(depth, k, blocks, count):
    model = wide_resnet.build(CIFAR, 10, depth=depth, widen_factor=k)
    assert trainable(model) == wide(blocks, k) == count
    assert model.name == f"wrn{depth}_{k}"
    # A projection in each stage makes it `depth`; with k = 1 the first stage has the width it starts with.
    assert len(weighted(model)) == depth + (k > 1)


def test_a_wide_block_adds_its_input_unless_the_shape_changes():
    model = wide_resnet.build(CIFAR, 10, depth=16, widen_factor=1)
    for layer in (layer for layer in model.layers if isinstance(layer, keras.layers.Add)):
        shortcut = layer.input[0]._keras_history.operation
        if shortcut is model.layers[2] or isinstance(shortcut, keras.layers.Add):
            assert layer.input[0].shape == layer.input[1].shape
        else:
            assert shortcut.kernel_size == (1, 1)
            assert isinstance(shortcut.input._keras_history.operation, keras.layers.ReLU)


def dense(per_block, growth, classes=10):
    count, width = 9 * 3 * 16, 16
    for block in range(3):
        if block:
            count += normalised(width) + width * width
        for _ in range(per_block):
            count += normalised(width) + 9 * width * growth
            width += growth
    return count + normalised(width) + width * classes + classes


# Huang et al., table 2: 1.0 M for k = 12 and depth 40.
@pytest.mark.parametrize(("depth", "growth", "count"), [(40, 12, 1_019_722), (22, 12, None), (10, 5, None)])
def test_dense_networks(depth, growth, count):
    model = densenet.build(CIFAR, 10, depth=depth, growth_rate=growth)
    assert trainable(model) == dense((depth - 4) // 3, growth)
    assert count in (None, trainable(model))
    assert len(weighted(model)) == depth


def test_convnet_as_its_docstring_says():
    convolutions = 9 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    normalisations, dense = 2 * (32 + 64 + 128 + 256), 256 * 10 + 10
    for shape in (CIFAR, (64, 48, 3), (8, 8, 3)):
        model = convnet.build(shape, 10)
        assert trainable(model) == convolutions + normalisations + dense == 391_466


def test_resnet9_on_cifar10():
    widths = (64, 128, 128, 128, 256, 512, 512, 512)
    inputs = (3, 64, 128, 128, 128, 256, 512, 512)
    by_hand = sum(9 * before * after + normalised(after) for before, after in zip(inputs, widths, strict=True))
    model = resnet9.build(CIFAR, 10)
    assert trainable(model) == by_hand + 512 * 10 == 6_573_120
    assert len(weighted(model)) == 9


def test_resnet9_softens_its_probabilities():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    sharp, soft = (resnet9.build((16, 16, 3), 3, width=4, logit_scale=scale) for scale in (1.0, 0.125))
    soft.set_weights(sharp.get_weights())
    logits = [np.log(model.predict(images, verbose=0)) for model in (sharp, soft)]
    centred = [part - part.mean(axis=1, keepdims=True) for part in logits]
    assert centred[1] == pytest.approx(0.125 * centred[0], abs=1e-5)


@pytest.mark.parametrize(
    ("module", "setting", "rate"), [(wide_resnet, {"depth": 16}, 0.3), (densenet, {"depth": 10}, 0.2)]
)
def test_dropout_is_in_every_block(module, setting, rate):
    model = module.build((16, 16, 3), 4, dropout=rate, **setting)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    # WRN: one in each of 3 x 2 blocks; DenseNet: after each of 3 x 2 layers and 2 transitions.
    assert rates == [rate] * (6 if module is wide_resnet else 8)


@pytest.mark.parametrize(("module", "depth"), [(wide_resnet, 20), (densenet, 41), (densenet, 4)])
def test_a_depth_that_does_not_exist_is_one_line(module, depth):
    with pytest.raises(checks.SettingError, match=rf"^depth: got {depth}, expected .*$"):
        module.build(CIFAR, 10, depth=depth)
