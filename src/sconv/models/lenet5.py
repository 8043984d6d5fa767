"""LeNet-5 as in the 1cycle notebook: two convolutions, three dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv.models.blocks import classifier, image_shape, scaled

# The second pooling needs two rows: from 8 it is 8, pooled 4, valid convolution 2, pooled 1.
SMALLEST = 8


def build(input_shape: Sequence[int], classes: int, scale: float = 1 / 255) -> keras.Model:
    """Build LeNet-5 with ReLU and average pooling; 81,194 parameters for 28x28x1 and ten classes.

    Takes raw images [batch, height, width, channels] of at least 8x8, gives probabilities [batch, classes] in float32.
    Raises SettingError or SettingTypeError. Source: avanwyk, "Super-convergence with the 1cycle policy" (2019), after
    LeCun et al. (1998).
    """
    inputs, x = scaled(image_shape(input_shape, SMALLEST), scale)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation="relu")(x)
    x = layers.Dense(84, activation="relu")(x)
    return classifier(inputs, x, classes, "lenet5")
