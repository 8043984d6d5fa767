"""A compiled model and its data in any form, made ready for `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.datasets import Dataset
from sconv.datasets.streams import TrainingStream
from sconv.optimizers import inner


def compiled(model: Any) -> None:
    """Raise an error where `model` is no compiled Keras model."""
    if not isinstance(model, keras.Model):
        raise checks.SettingTypeError(f"model: got {checks.shown(model)}, expected a compiled keras.Model")
    if not model.compiled or model.optimizer is None:
        raise checks.SettingError(f"model: got {model.name}, which is not compiled, expected model.compile(...) before")


def feed(data: Any, batch_size: int | None = None) -> tuple[dict[str, Any], list[keras.callbacks.Callback]]:
    """The arguments of `fit` for any form of data, and the callbacks that keep it in step with the epochs."""
    if isinstance(data, Dataset):
        data = TrainingStream(data.train, checks.integer("batch_size", batch_size or 32, at_least=1), seed=0)
    if isinstance(data, TrainingStream):
        stream = data
        follow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: stream.epoch.assign(epoch))
        return {"x": stream.batches, "shuffle": False}, [follow]
    if isinstance(data, tf.data.Dataset):
        return {"x": data, "shuffle": False}, []
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        names = ("x", "y", "sample_weight")
        return {**dict(zip(names, data, strict=False)), "batch_size": batch_size}, []
    raise checks.SettingTypeError(
        f"data: got {type(data).__name__}, expected (x, y) arrays, a tf.data.Dataset or an sconv Dataset"
    )


def build(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Make all variables now: what a step makes while it is traced could not be put back."""
    x = arguments["x"]
    batch = x.element_spec if isinstance(x, tf.data.Dataset) else keras.tree.map_structure(_spec, _batch(arguments))
    model._symbolic_build(data_batch=batch)


def _batch(arguments: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(arguments[name] for name in ("x", "y", "sample_weight") if name in arguments)


def _spec(array: Any) -> tf.TensorSpec:
    shape, kind = np.shape(array), keras.backend.standardize_dtype(getattr(array, "dtype", "float32"))
    return tf.TensorSpec((None, *shape[1:]), kind)


def own_momentum(optimizer: keras.optimizers.Optimizer) -> float | None:
    """The momentum (else the beta_1) the optimizer was built with; None where it has neither, or 0."""
    driven = inner(optimizer)
    return next((getattr(driven, name) for name in ("momentum", "beta_1") if hasattr(driven, name)), None) or None
