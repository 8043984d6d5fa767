"""Residual networks for small images, in the CIFAR form of He et al."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import activated, classifier, convolution, image_shape, normalised, per_stage, scaled


def build(
    input_shape: Sequence[int],
    classes: int,
    depth: int = 20,
    width: int = 16,
    scale: float = 1 / 255,
) -> keras.Model:
    """Build a residual network of 6n + 2 layers: three stages of n blocks, `width`, 2x and 4x `width` channels.

    Takes raw images [batch, height, width, channels], gives probabilities [batch, classes] in float32. ResNet-20 with
    ten classes has 269,722 trainable parameters for 32x32x3. Raises SettingError or SettingTypeError. Source: He et
    al., "Deep residual learning for image recognition" (arXiv 1512.03385), section 4.2, shortcuts of option A.
    """
    blocks = per_stage(depth, 6, 2)
    channels = checks.integer("width", width, at_least=1)
    inputs, x = scaled(image_shape(input_shape), scale)
    x = activated(convolution(x, channels))
    for stage in range(3):
        for block in range(blocks):
            x = _block(x, channels * 2**stage, strides=2 if stage > 0 and block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return classifier(inputs, x, classes, f"resnet{6 * blocks + 2}", kernel_initializer="he_normal")


def _block(x: keras.KerasTensor, channels: int, strides: int) -> keras.KerasTensor:
    residual = activated(convolution(x, channels, strides=strides))
    residual = normalised(convolution(residual, channels))
    return layers.ReLU()(layers.Add()([_shortcut(x, channels, strides), residual]))


def _shortcut(x: keras.KerasTensor, channels: int, strides: int) -> keras.KerasTensor:
    """Option A, which has no parameters: every second pixel, and zeros for the channels that are new."""
    if strides > 1:
        x = layers.AveragePooling2D(1, strides)(x)
    if new := channels - x.shape[-1]:
        # "channels_first" makes the last two axes the padded ones, here width and channels: a stock layer does it.
        x = layers.ZeroPadding2D(((0, 0), (0, new)), data_format="channels_first")(x)
    return x
