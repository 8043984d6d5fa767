"""Every private name of Keras and TensorFlow that is used, each behind one name of ours and each with one test.

A new version may move any of them: `tests/test_keras_internals.py` then says which one, what breaks, and what to do.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

# TensorFlow is imported inside functions: the command line imports this module before it starts.

# Methods that an optimizer asks for on itself, so that one put on the instance takes their place.
LEARNING_RATE = "_get_current_learning_rate"  # read by the public `learning_rate`, in a step and outside
USES_WEIGHT_DECAY = "_use_weight_decay"  # whether a variable has decoupled weight decay

# Keras's own name for the generator that seeds what is given no seed; a constant there only since 3.13.
_SEED_GENERATOR = "global_seed_generator"
# What TensorFlow calls the gradients that it registers by itself, a new one for every trace of an optimizer's step.
_OF_A_TRACE = "CustomGradient-"


def uses_weight_decay(optimizer: Any, variable: Any) -> bool:
    """What the optimizer's own class says, after its `exclude_from_weight_decay`."""
    return bool(type(optimizer)._use_weight_decay(optimizer, variable))


def variable_key(optimizer: Any, variable: Any) -> Any:
    """What the optimizer knows a variable by, the same for a Keras variable, TensorFlow's in it, and a replica's."""
    return optimizer._var_key(variable)


def batches_seen(optimizer: Any) -> Any:
    """The counter of batches; the public `iterations` counts updates, fewer under gradient accumulation."""
    return optimizer._iterations


def seed_generator() -> Any:
    """Keras's global seed generator; None where nothing has drawn from it yet."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute(_SEED_GENERATOR)


def set_seed_generator(generator: Any) -> None:
    """Put Keras's global seed generator back, or None."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute(_SEED_GENERATOR, generator)


def operation_seeds() -> random.Random | None:
    """What seeds operations that are given no seed, such as tf.data's shuffle; None before `tf.random.set_seed`."""
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


@contextlib.contextmanager
def forgetting_gradients() -> Iterator[None]:
    """Drop from TensorFlow's registry the gradients of what is traced inside; through them it keeps every graph.

    For a model that is not trained on afterwards. What was registered before, and under a name, stays.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in [name for name in registered if name.startswith(_OF_A_TRACE) and name not in before]:
            del registered[name]


class Moving:
    """A momentum that is a tensor, in the places where Keras's update formulas expect a Python float.

    They ask whether it differs from 0 while tracing (yes: it cycles), subtract, multiply, and convert it.
    """

    def __init__(self, tensor: Any):
        self.tensor = tensor
        self.dtype = tensor.dtype.name

    __hash__ = None  # type: ignore[assignment]

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        import tensorflow as tf

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
