"""All that a fit changes in a model and in the process, taken down and put back bit for bit."""

from __future__ import annotations

import contextlib
import random

import keras
import numpy as np
import tensorflow as tf

from sconv.training import keras_internals


class Snapshot:
    """A model's variables and its optimizer's, its metrics, and the random numbers of Python, NumPy, Keras, TensorFlow.

    The model must be built; its optimizer is, if need be. Metrics that were not yet are reset. `put_back` may be called
    more than once.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._python, self._numpy = random.getstate(), np.random.get_state()
        operations = keras_internals.operation_seeds()
        self._operations = None if operations is None else (operations, operations.getstate())
        # Dropout's generators are variables of the model; these two are nobody's.
        self._keras, self._tensorflow = keras_internals.seed_generator(), None
        # TensorFlow refuses to make one where operations are to be deterministic: then nobody can draw from it either.
        with contextlib.suppress(RuntimeError):
            self._tensorflow = tf.random.get_global_generator()
        states = [generator.state for generator in (self._keras, self._tensorflow) if generator is not None]
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables, *states]
        self._variables = [(variable, variable.numpy()) for variable in variables]

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
        for variable, value in self._variables:
            variable.assign(value)
