"""Epochs, evaluations and predictions of an accelerated model that end at once, where Keras makes the pipeline of data.

A `tf.data.Dataset` is left as it is: without its autotuner tf.data also makes none of its maps parallel and adds no
prefetch by itself, of which Keras has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from sconv.datasets.pipeline.autotuning import without_autotuning
from sconv.training import keras_data, keras_internals

_LOOPS = ("fit", "evaluate", "predict")


def put_on(model: keras.Model) -> None:
    """Have whatever iterates over data for this model do so without tf.data's autotuner."""
    # Written past __setattr__: what Keras tracks, it saves.
    vars(model).update({name: MethodType(make, model) for name, make in _MAKERS.items() if name not in vars(model)})


def take_off(model: keras.Model) -> None:
    """Have it iterate as stock Keras does."""
    for name, make in _MAKERS.items():
        if getattr(vars(model).get(name), "__func__", None) is make:
            del vars(model)[name]


def _maker(name: str) -> Callable[..., Any]:
    """What makes the function of a loop, which asks for it when it has its data and has not begun to iterate."""

    def make(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
        iterator = keras_internals.of_loop("epoch_iterator", _LOOPS, self)
        if keras_data.is_made_by_keras(iterator):
            batches = keras_data.dataset_of(iterator)
            if isinstance(batches, tf.data.Dataset):  # and not shared out by a strategy
                keras_data.iterate_over(iterator, without_autotuning(batches))
        return getattr(type(self), name)(self, *args, **kwargs)

    return make


_MAKERS = {name: _maker(name) for name in ("make_train_function", "make_test_function", "make_predict_function")}
