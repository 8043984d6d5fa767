"""Densely connected networks for small images, in the plain form: no bottleneck, no compression."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models import image_shape

# Pooled twice by 2.
SMALLEST = 4


def build(
    input_shape: Sequence[int],
    classes: int,
    depth: int = 40,
    growth_rate: int = 12,
    dropout: float = 0.0,
    scale: float = 1 / 255,
) -> keras.Model:
    """Build DenseNet-depth: three blocks of (depth - 4) / 3 layers, each adding `growth_rate` channels to all before.

    Takes raw images [batch, height, width, channels] of at least 4x4, gives probabilities [batch, classes] in float32.
    `dropout` is the share dropped after each convolution. DenseNet-40 with growth rate 12 has 1,019,722 trainable
    parameters on CIFAR-10. Raises SettingError or SettingTypeError. Source: Huang et al., "Densely connected
    convolutional networks" (arXiv 1608.06993), section 3, the basic DenseNet of table 2.
    """
    per_block = _layers_per_block(depth)
    growth = checks.integer("growth_rate", growth_rate, at_least=1)
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    units = checks.integer("classes", classes, at_least=2)
    inputs = keras.Input(image_shape(input_shape, SMALLEST))
    x = layers.Rescaling(checks.number("scale", scale, above=0))(inputs)
    x = _convolution(x, 16)
    for block in range(3):
        if block:
            x = layers.AveragePooling2D(2)(_dropped(_convolution(_activated(x), x.shape[-1], 1), rate))
        for _ in range(per_block):
            x = layers.Concatenate()([x, _dropped(_convolution(_activated(x), growth), rate)])
    x = layers.GlobalAveragePooling2D()(_activated(x))
    outputs = layers.Dense(units, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"densenet{3 * per_block + 4}_{growth}")


def _layers_per_block(depth: int) -> int:
    count, rest = divmod(checks.integer("depth", depth, at_least=7) - 4, 3)
    if rest:
        raise checks.SettingError(f"depth: got {depth!r}, expected 3n + 4: 7, 10, ..., 22, ..., 40, ..., 100, ...")
    return count


def _dropped(x: keras.KerasTensor, rate: float) -> keras.KerasTensor:
    return layers.Dropout(rate)(x) if rate else x


def _activated(x: keras.KerasTensor) -> keras.KerasTensor:
    # Keras's own 0.99 remembers the start for hundreds of steps; a short run would be evaluated with stale averages.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _convolution(x: keras.KerasTensor, channels: int, size: int = 3) -> keras.KerasTensor:
    return layers.Conv2D(channels, size, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
