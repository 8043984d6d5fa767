"""Shapes on [0, 1]: how a phase gets from its first value to its second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# A shape fills a phase: from its two ends, the position in [0, 1] and the phase's power, the values in between.
Shape = Callable[[float, float, Array, float], Array]


def linear(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """In proportion to position."""
    return start + (end - start) * position


def cosine(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """Half a cosine: slow, fast, slow."""
    return linear(start, end, (1 - np.cos(np.pi * position)) / 2)


def exponential(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """The same factor at every step: a straight line on a logarithmic scale."""
    return start * (end / start) ** position


def inverse(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """One over a straight line, to the power."""
    return linear(start ** (-1 / power), end ** (-1 / power), position) ** -power


def polynomial(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """The distance left to the end, to the power."""
    return linear(end, start, (1 - position) ** power)


def sqrt(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """Steep at first, as the square root of position."""
    return linear(start, end, np.sqrt(position))


def damped_out(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """A straight line that leaves `start`, its amplitude falling as exp(-power * position); power at most 1."""
    return linear(start, end, position * np.exp(power * (1 - position)))


def damped_back(start: float, end: float, position: Array, power: float = 1.0) -> Array:
    """A straight line back to `end` under the same falling amplitude."""
    return linear(end, start, (1 - position) * np.exp(-power * position))


_SHAPES = (linear, cosine, exponential, inverse, polynomial, sqrt, damped_out, damped_back)
SHAPES: dict[str, Shape] = {shape.__name__: shape for shape in _SHAPES}
"""The shapes of a phase by the names that `anneal` takes."""
