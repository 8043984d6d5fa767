"""Residual networks: parameters counted by hand, option A shortcuts, and the depths that exist."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sconv import checks
from sconv.models import resnet


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def counted(blocks, width=16, channels=3, classes=10):
    """Trainable parameters by hand: convolutions without bias, a scale and a shift per normalised channel, one head."""
    w1, w2, w3 = width, 2 * width, 4 * width
    first = 9 * channels * w1 + 2 * w1
    one = (2 * blocks) * (9 * w1 * w1 + 2 * w1)
    two = (9 * w1 * w2 + 2 * w2) + (2 * blocks - 1) * (9 * w2 * w2 + 2 * w2)
    three = (9 * w2 * w3 + 2 * w3) + (2 * blocks - 1) * (9 * w3 * w3 + 2 * w3)
    return first + one + two + three + (w3 * classes + classes)


def test_resnet20_on_cifar10():
    model = resnet.build((32, 32, 3), 10)
    assert trainable(model) == counted(blocks=3) == 269_722
    # Two moving averages for each of the 7 x 16 + 6 x 32 + 6 x 64 normalised channels.
    assert model.count_params() - trainable(model) == 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert model.name == "resnet20"


@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (14, 2), (32, 5)])
def test_layers_with_weights_are_the_depth(depth, blocks):
    model = resnet.build([28, 28, 1], 7, depth=depth, width=4)
    assert trainable(model) == counted(blocks, width=4, channels=1, classes=7)
    weighted = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    assert len(weighted) == depth


@pytest.mark.parametrize("side", [1, 7, 8])
def test_option_a_takes_every_second_pixel_and_new_channels_of_zeros(side):
    model = resnet.build((side, side, 3), 10, depth=8, width=4)
    first, second, third = (layer for layer in model.layers if isinstance(layer, keras.layers.Add))
    images = np.random.default_rng(0).integers(0, 256, (64, side, side, 3)).astype(np.uint8)
    sums_and_shortcuts = [first.output, second.input[0], second.output, third.input[0]]
    found = keras.Model(model.input, sums_and_shortcuts).predict(images, verbose=0)
    for sums, shortcut in (found[:2], found[2:]):
        picked = np.maximum(sums, 0)[:, ::2, ::2]
        assert np.array_equal(shortcut, np.concatenate([picked, np.zeros_like(picked)], axis=-1))
        assert picked.any()


def test_the_initial_weights_are_he_s():
    model = resnet.build((32, 32, 3), 10)
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    assert np.std(last.kernel) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


@pytest.mark.parametrize("depth", [9, 18, 34, 101, 2, 0, 20.5])
def test_a_depth_that_does_not_exist_is_one_line(depth):
    with pytest.raises(checks.SettingError, match=rf"^depth: got {depth}, expected .*$"):
        resnet.build((32, 32, 3), 10, depth=depth)
