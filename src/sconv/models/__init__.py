"""Models: one module an architecture, each with `build(input_shape, classes, ...) -> keras.Model`.

Every model takes raw images, scales them itself and is made of stock Keras layers: a saved file needs no sconv.
"""

from __future__ import annotations

from typing import Any

from sconv import checks

__all__ = ["image_shape"]


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
