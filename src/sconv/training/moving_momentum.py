"""A momentum that moves, where Keras's update formulas expect a number."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class MovingMomentum:
    """A momentum that is a tensor, in the places where Keras's update formulas expect a Python float.

    They ask whether it differs from 0 while tracing (yes: it cycles), subtract, multiply, and convert it.
    """

    def __init__(self, tensor: Any):
        self.tensor = tensor
        self.dtype = tensor.dtype.name

    __hash__ = None  # type: ignore[assignment]

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        return self.tensor if dtype is None else tf.cast(self.tensor, dtype)

    def __eq__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True

    def __mul__(self, other: Any) -> Any:
        return self.tensor * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.tensor

    def __sub__(self, other: Any) -> Any:
        return self.tensor - other

    def __rsub__(self, other: Any) -> Any:
        return other - self.tensor
