"""All that a fit changes in a model and in the process, taken down and put back bit for bit."""

from __future__ import annotations

import random

import keras
import numpy as np
from keras.src.backend.common import global_state
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

GLOBAL_SEED_GENERATOR = "global_seed_generator"  # Keras's name for its own, a constant there only since 3.13


class Snapshot:
    """A model's variables and its optimizer's, its metrics, and the random numbers of Python, NumPy, Keras, TensorFlow.

    The model must be built; its optimizer is, if need be. Metrics that were not yet are reset. `put_back` may be called
    more than once.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        self._variables = [(variable, variable.numpy()) for variable in variables]
        self._random = _RandomNumbers()

    def put_back(self) -> None:
        """Restore everything."""
        self._model.reset_metrics()
        for variable, value in self._variables:
            variable.assign(value)
        self._random.put_back()


class _RandomNumbers:
    """The states of all generators that a fit may draw from. Dropout's own are variables of the model."""

    def __init__(self) -> None:
        self._python, self._numpy = random.getstate(), np.random.get_state()
        self._keras = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        self._keras_state = None if self._keras is None else self._keras.state.numpy()
        # Seeds of operations that are given none, such as those of tf.data's shuffle; there is no public way to it.
        operations = getattr(context.context(), "_rng", None)
        self._operations = None if operations is None else operations.getstate()
        self._tensorflow = stateful_random_ops.global_generator
        self._tensorflow_state = None if self._tensorflow is None else self._tensorflow.state.numpy()

    def put_back(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)
        if self._operations is not None:
            context.context()._rng.setstate(self._operations)
        stateful_random_ops.global_generator = self._tensorflow
        if self._tensorflow is not None:
            self._tensorflow.state.assign(self._tensorflow_state)
