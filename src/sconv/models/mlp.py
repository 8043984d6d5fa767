"""A multilayer perceptron for inputs of any shape."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv import checks
from sconv.models.blocks import classifier, dropped, scaled


def build(
    input_shape: Sequence[int],
    classes: int,
    hidden: Sequence[int] = (128,),
    dropout: float = 0.0,
    scale: float = 1 / 255,
) -> keras.Model:
    """Build dense ReLU layers of the `hidden` widths, each followed by dropout; without any it is softmax regression.

    Takes raw inputs [batch, *input_shape], gives probabilities [batch, classes] in float32. `dropout` is the share
    dropped, 0 adds no layer. Raises SettingError or SettingTypeError.
    """
    shape = checks.integers("input_shape", input_shape, at_least=1, example="[28, 28, 1]")
    if not shape:
        raise checks.SettingError(f"input_shape: got {input_shape!r}, expected at least one size, such as [28, 28, 1]")
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    inputs, x = scaled(shape, scale)
    x = layers.Flatten()(x)
    for width in checks.integers("hidden", hidden, at_least=1, example="[128, 64]"):
        x = dropped(layers.Dense(width, activation="relu")(x), rate)
    return classifier(inputs, x, classes, "mlp")
