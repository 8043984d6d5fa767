"""Wide residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import activated, classifier, convolution, dropped, image_shape, per_stage, scaled


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
    blocks = per_stage(depth, 6, 4)
    k = checks.integer("widen_factor", widen_factor, at_least=1)
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    inputs, x = scaled(image_shape(input_shape), scale)
    x = convolution(x, 16)
    for stage in range(3):
        for block in range(blocks):
            x = _block(x, 16 * k * 2**stage, strides=2 if stage > 0 and block == 0 else 1, dropout=rate)
    x = layers.GlobalAveragePooling2D()(activated(x))
    return classifier(inputs, x, classes, f"wrn{6 * blocks + 4}_{k}")


def _block(x: keras.KerasTensor, channels: int, strides: int, dropout: float) -> keras.KerasTensor:
    active = activated(x)
    residual = dropped(activated(convolution(active, channels, 3, strides)), dropout)
    # Where the shapes differ, the shortcut is a convolution of the activated input; else the input itself.
    same = x.shape[-1] == channels and strides == 1
    shortcut = x if same else convolution(active, channels, 1, strides)
    return layers.Add()([shortcut, convolution(residual, channels)])
