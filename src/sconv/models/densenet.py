"""Densely connected networks for small images, in the plain form: no bottleneck, no compression."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import activated, classifier, convolution, dropped, image_shape, per_stage, scaled

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
    per_block = per_stage(depth, 3, 4)
    growth = checks.integer("growth_rate", growth_rate, at_least=1)
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    inputs, x = scaled(image_shape(input_shape, SMALLEST), scale)
    x = convolution(x, 16)
    for block in range(3):
        if block:
            x = layers.AveragePooling2D(2)(dropped(convolution(activated(x), x.shape[-1], 1), rate))
        for _ in range(per_block):
            x = layers.Concatenate()([x, dropped(convolution(activated(x), growth), rate)])
    x = layers.GlobalAveragePooling2D()(activated(x))
    return classifier(inputs, x, classes, f"densenet{3 * per_block + 4}_{growth}")
