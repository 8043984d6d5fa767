"""Models: one module an architecture, each with `build(input_shape, classes, ...) -> keras.Model`.

Every model takes raw images, scales them itself and is made of stock Keras layers: a saved file needs no sconv.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sconv import checks

__all__ = ["image_shape", "sizes"]


def sizes(name: str, value: Any, example: str) -> tuple[int, ...]:
    """Return a list of whole numbers of at least 1 as a tuple, or raise an error that names the setting."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise checks.SettingTypeError(f"{name}: got {value!r}, expected a list of whole numbers, such as {example}")
    return tuple(checks.integer(f"{name}[{place}]", size, at_least=1) for place, size in enumerate(value))


def image_shape(value: Any, smallest: int = 1) -> tuple[int, int, int]:
    """Return an `input_shape` of (height, width, channels), or raise an error that says what is wrong with it."""
    shape = sizes("input_shape", value, "[28, 28, 1]")
    if len(shape) != 3:
        raise checks.SettingError(
            f"input_shape: got {value!r}, expected (height, width, channels), such as [28, 28, 1]"
        )
    height, width, channels = shape
    if min(height, width) < smallest:
        raise checks.SettingError(f"input_shape: got {value!r}, expected a height and a width of at least {smallest}")
    return height, width, channels
