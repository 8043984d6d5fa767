"""What the architectures share: their inputs, blocks for small images, and the softmax at their end."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from sconv import checks


def image_shape(value: Any, smallest: int = 1) -> tuple[int, int, int]:
    """Return an `input_shape` of (height, width, channels), or raise an error that says what is wrong with it."""
    shape = checks.integers("input_shape", value, at_least=1, example="[28, 28, 1]")
    if len(shape) != 3:
        raise checks.SettingError(
            f"input_shape: got {checks.shown(value)}, expected (height, width, channels), such as [28, 28, 1]"
        )
    height, width, channels = shape
    if min(height, width) < smallest:
        raise checks.SettingError(f"input_shape: got {value!r}, expected a height and a width of at least {smallest}")
    return height, width, channels


def scaled(shape: tuple[int, ...], scale: float) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The inputs of a network, and what its first layer makes of them."""
    inputs = keras.Input(shape)
    return inputs, layers.Rescaling(checks.number("scale", scale, above=0))(inputs)


def classifier(
    inputs: keras.KerasTensor, features: keras.KerasTensor, classes: int, called: str, **dense: Any
) -> keras.Model:
    """The network from `inputs` to a softmax over the classes, which is float32 under any precision."""
    units = checks.integer("classes", classes, at_least=2)
    outputs = layers.Dense(units, activation="softmax", dtype="float32", **dense)(features)
    return keras.Model(inputs, outputs, name=called)


def per_stage(depth: int, every: int, rest: int) -> int:
    """How often a network of depth `every` * n + `rest` repeats its block in each stage. Raises SettingError."""
    n, over = divmod(checks.integer("depth", depth, at_least=every + rest) - rest, every)
    if over:
        first = ", ".join(str(every * n + rest) for n in range(1, 10))
        raise checks.SettingError(f"depth: got {depth!r}, expected {every}n + {rest}: {first}, ...")
    return n


def convolution(x: keras.KerasTensor, channels: int, size: int = 3, strides: int = 1) -> keras.KerasTensor:
    """Without a bias, which the batch normalisation beside it would take away; weights as He et al. start them."""
    return layers.Conv2D(channels, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)


def normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalisation for short runs."""
    # Keras's own 0.99 remembers the start for hundreds of steps; a short run would be evaluated with stale averages.
    return layers.BatchNormalization(momentum=0.9)(x)


def activated(x: keras.KerasTensor) -> keras.KerasTensor:
    """The same, and a ReLU."""
    return layers.ReLU()(normalised(x))


def dropped(x: keras.KerasTensor, rate: float) -> keras.KerasTensor:
    """A share of the features dropped; a rate of 0 adds no layer."""
    return layers.Dropout(rate)(x) if rate else x
