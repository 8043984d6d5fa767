"""A small convolutional network for photographs of any size: the default of image files."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import activated, classifier, convolution, image_shape, scaled

# Pooled three times by 2.
SMALLEST = 8


def build(input_shape: Sequence[int], classes: int, width: int = 32, scale: float = 1 / 255) -> keras.Model:
    """Build four 3x3 convolutions of `width`, 2x, 4x and 8x `width` channels, each normalised and all but one pooled.

    Takes raw images [batch, height, width, channels] of at least 8x8, gives probabilities [batch, classes] in float32
    from the channels' means over the image. 391,466 trainable parameters for ten classes of colour images. Raises
    SettingError or SettingTypeError. Source: the plan is VGG's (Simonyan and Zisserman, arXiv 1409.1556), with the
    batch normalisation of Ioffe and Szegedy (arXiv 1502.03167), under which it bears high learning rates.
    """
    channels = checks.integer("width", width, at_least=1)
    inputs, x = scaled(image_shape(input_shape, SMALLEST), scale)
    for factor in (1, 2, 4):
        x = layers.MaxPooling2D(2)(activated(convolution(x, factor * channels)))
    x = layers.GlobalAveragePooling2D()(activated(convolution(x, 8 * channels)))
    return classifier(inputs, x, classes, "convnet")
