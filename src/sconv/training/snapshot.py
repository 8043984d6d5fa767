"""All that a fit changes in a model and in the process, taken down and put back bit for bit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.training import keras_internals

# What `random.getstate` begins with, in every Python that there is.
_PYTHON = 3


class Snapshot:
    """A model's variables and its optimizer's, its metrics, and the random numbers of Python, NumPy, Keras, TensorFlow.

    The model must be built; its optimizer is, if need be. Metrics that were not yet are reset. `put_back` may be called
    more than once.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._python: tuple[Any, ...] = random.getstate()
        self._numpy: Any = np.random.get_state()
        operations = keras_internals.operation_seeds()
        self._operations = None if operations is None else (operations, operations.getstate())
        # Dropout's generators are variables of the model; these two are nobody's.
        self._keras, self._tensorflow = keras_internals.seed_generator(), None
        # TensorFlow refuses to make one where operations are to be deterministic: then nobody can draw from it either.
        with contextlib.suppress(RuntimeError):
            self._tensorflow = tf.random.get_global_generator()
        states = [generator.state for generator in (self._keras, self._tensorflow) if generator is not None]
        self._groups = {
            "model": _values(model.variables),
            "metrics": _values(model.metrics_variables),
            "optimizer": _values(model.optimizer.variables),
            "generators": _values(states),
        }

    def put_back(self) -> None:
        """Restore everything."""
        self._model.reset_metrics()
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if self._operations is not None:
            operations, state = self._operations
            operations.setstate(state)
        keras_internals.set_seed_generator(self._keras)
        if self._tensorflow is not None:
            tf.random.set_global_generator(self._tensorflow)
        for group in self._groups.values():
            for variable, value in group:
                variable.assign(value)

    def state(self) -> dict[str, Any]:
        """All of it as plain values and arrays, for `restore`."""
        return {
            "python": _plain(self._python),
            "numpy": list(self._numpy),
            "operations": None if self._operations is None else _plain(self._operations[1]),
            "has_generators": [self._keras is not None, self._tensorflow is not None],
            **{name: [value for _, value in group] for name, group in self._groups.items()},
        }

    def _take(self, state: Mapping[str, Any]) -> None:
        """Have `put_back` restore this state."""
        self._python, self._numpy = _python_state(state["python"]), tuple(state["numpy"])
        if self._operations is not None and state["operations"] is not None:
            self._operations = (self._operations[0], _python_state(state["operations"]))
        for name, group in self._groups.items():
            variables = [variable for variable, _ in group]
            self._groups[name] = list(zip(variables, state[name], strict=True))


def restore(model: keras.Model, state: Mapping[str, Any]) -> None:
    """Put a state that `Snapshot.state` gave, in this process or another, into a model like the one it was of.

    The metrics must be built too, which a first step does. Raises SettingError where it is another model.
    """
    check_variables(model, state)
    drawn_from, _ = state["has_generators"]
    if not drawn_from:
        keras_internals.set_seed_generator(None)
    elif keras_internals.seed_generator() is None:
        keras_internals.make_seed_generator()
    snapshot = Snapshot(model)
    snapshot._take(state)
    snapshot.put_back()


def check_variables(model: keras.Model, state: Mapping[str, Any]) -> None:
    """Raise a SettingError that names the first variable which the state has another shape or type for."""
    groups = {"model": model.variables, "metrics": model.metrics_variables, "optimizer": model.optimizer.variables}
    for name, variables in groups.items():
        saved = state[name]
        if len(variables) != len(saved):
            raise checks.SettingError(f"{name}: got {len(variables)} variables, expected the checkpoint's {len(saved)}")
        for variable, value in zip(variables, saved, strict=True):
            got, expected = _kind(variable.shape, variable.dtype), _kind(value.shape, value.dtype)
            if got != expected:
                raise checks.SettingError(f"{name}: got {variable.path} {got}, expected the checkpoint's {expected}")


def _kind(shape: Sequence[int], dtype: Any) -> str:
    return f"{keras.backend.standardize_dtype(dtype)} {tuple(shape)}"


def _values(variables: Sequence[Any]) -> list[tuple[Any, np.ndarray]]:
    return [(variable, np.asarray(variable.numpy())) for variable in variables]


def _plain(state: tuple[Any, ...]) -> list[Any]:
    """The state of a generator of Python's as an array and a number that it may hold back."""
    _, words, spare = state
    return [np.array(words, np.uint32), spare]


def _python_state(plain: Sequence[Any]) -> tuple[Any, ...]:
    words, spare = plain
    return _PYTHON, tuple(words.tolist()), spare
