"""Wide residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models import image_shape


def build(
    input_shape: Sequence[int],
    classes: int,
    depth: int = 16,
    widen_factor: int = 4,
    dropout: float = 0.0,
    scale: float = 1 / 255,
) -> keras.Model:
    """Build WRN-depth-k: three stages of (depth - 4) / 6 pre-activation blocks, with 16k, 32k and 64k channels.

    Takes raw images [batch, height, width, channels], gives probabilities [batch, classes] in float32. `dropout` is
    the share dropped between the two convolutions of a block. On CIFAR-10 WRN-16-4 has 2,748,890 trainable parameters,
    WRN-28-10 36,479,194. Raises SettingError or SettingTypeError. Source: Zagoruyko and Komodakis, "Wide residual
    networks" (arXiv 1605.07146), table 1 and the blocks B(3, 3).
    """
    blocks = _blocks_per_stage(depth)
    k = checks.integer("widen_factor", widen_factor, at_least=1)
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    units = checks.integer("classes", classes, at_least=2)
    inputs = keras.Input(image_shape(input_shape))
    x = layers.Rescaling(checks.number("scale", scale, above=0))(inputs)
    x = _convolution(x, 16)
    for stage in range(3):
        for block in range(blocks):
            x = _block(x, 16 * k * 2**stage, strides=2 if stage > 0 and block == 0 else 1, dropout=rate)
    x = layers.GlobalAveragePooling2D()(_activated(x))
    outputs = layers.Dense(units, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"wrn{6 * blocks + 4}_{k}")


def _blocks_per_stage(depth: int) -> int:
    blocks, rest = divmod(checks.integer("depth", depth, at_least=10) - 4, 6)
    if rest:
        raise checks.SettingError(f"depth: got {depth!r}, expected 6n + 4: 10, 16, 22, 28, 34, 40, ...")
    return blocks


def _block(x: keras.KerasTensor, channels: int, strides: int, dropout: float) -> keras.KerasTensor:
    active = _activated(x)
    residual = _activated(_convolution(active, channels, 3, strides))
    if dropout:
        residual = layers.Dropout(dropout)(residual)
    # Where the shapes differ, the shortcut is a convolution of the activated input; else the input itself.
    same = x.shape[-1] == channels and strides == 1
    shortcut = x if same else _convolution(active, channels, 1, strides)
    return layers.Add()([shortcut, _convolution(residual, channels)])


def _activated(x: keras.KerasTensor) -> keras.KerasTensor:
    # Keras's own 0.99 remembers the start for hundreds of steps; a short run would be evaluated with stale averages.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _convolution(x: keras.KerasTensor, channels: int, size: int = 3, strides: int = 1) -> keras.KerasTensor:
    return layers.Conv2D(channels, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
