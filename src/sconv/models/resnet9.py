"""ResNet-9, the network that took CIFAR-10 to 94 % in 74 s on one GPU (DAWNBench, 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import image_shape, scaled

# Pooled three times by 2.
SMALLEST = 8


def build(
    input_shape: Sequence[int],
    classes: int,
    width: int = 64,
    logit_scale: float = 0.125,
    scale: float = 1 / 255,
) -> keras.Model:
    """Build eight convolutions of `width`, 2x, 4x and 8x `width` channels, two residual pairs and a dense layer.

    Takes raw images [batch, height, width, channels] of at least 8x8, gives probabilities [batch, classes] in float32.
    `logit_scale` multiplies what goes into the softmax. 6,573,120 trainable parameters on CIFAR-10. Raises
    SettingError or SettingTypeError. Source: Page, "How to train your ResNet" (2018), `dawn.py` of
    davidcpage/cifar10-fast; weights start as PyTorch's, on which his learning rates depend.
    """
    channels = checks.integer("width", width, at_least=1)
    units = checks.integer("classes", classes, at_least=2)
    factor = checks.number("logit_scale", logit_scale, above=0)
    inputs, x = scaled(image_shape(input_shape, SMALLEST), scale)
    x = _convolution(x, channels)
    x = _residual(_pooled(x, 2 * channels))
    x = _pooled(x, 4 * channels)
    x = _residual(_pooled(x, 8 * channels))
    x = layers.Dense(units, use_bias=False, kernel_initializer=_pytorchs(), dtype="float32")(
        layers.GlobalMaxPooling2D()(x)
    )
    outputs = layers.Softmax(dtype="float32")(layers.Rescaling(factor, dtype="float32")(x))
    return keras.Model(inputs, outputs, name="resnet9")


def _pooled(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return layers.MaxPooling2D(2)(_convolution(x, channels))


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    channels = x.shape[-1]
    return layers.Add()([x, _convolution(_convolution(x, channels), channels)])


def _convolution(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer=_pytorchs())(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def _pytorchs() -> keras.initializers.Initializer:
    """Uniform within 1 / sqrt(fan-in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
