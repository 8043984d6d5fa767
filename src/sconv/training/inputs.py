"""A compiled model and its data in any form, made ready for `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.datasets import Dataset
from sconv.datasets.pipeline.batches import TrainingStream


def check_compiled(model: Any) -> keras.Model:
    """Return `model` if it is a compiled Keras model, or raise an error."""
    if not isinstance(model, keras.Model):
        raise checks.SettingTypeError(f"model: got {checks.shown(model)}, expected a compiled keras.Model of Keras 3")
    if not model.compiled or model.optimizer is None:
        raise checks.SettingError(f"model: got {model.name}, which is not compiled, expected model.compile(...) before")
    return model


def feed(data: Any, batch_size: int | None = None) -> tuple[dict[str, Any], list[keras.callbacks.Callback]]:
    """The arguments of `fit` for any form of data, and the callbacks that keep it in step with the epochs."""
    data = streamed(data, batch_size)
    if isinstance(data, TrainingStream):
        return {"x": data.batches, "shuffle": False}, [follow_epochs(data)]
    if isinstance(data, tf.data.Dataset):
        return {"x": data, "shuffle": False}, []
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        names = ("x", "y", "sample_weight")
        return {**dict(zip(names, data, strict=False)), "batch_size": batch_size}, []
    raise checks.SettingTypeError(
        f"data: got {type(data).__name__}, expected (x, y) arrays, a tf.data.Dataset or an sconv Dataset"
    )


def streamed(data: Any, batch_size: int | None = None) -> Any:
    """A `Dataset` as the stream of its training batches; any other form of data as it is."""
    if not isinstance(data, Dataset):
        return data
    return TrainingStream(data.train, checks.integer("batch_size", batch_size or 32, at_least=1), seed=0)


def sizes(data: Any, batch_size: int | None = None) -> dict[str, int]:
    """What can be said of how many examples there are, and how many go into a batch."""
    if isinstance(data, Dataset):
        return {"examples": len(data.train), "batch_size": batch_size or 32}
    if isinstance(data, (tuple, list)):
        return {"examples": len(keras.tree.flatten(data)[0]), "batch_size": batch_size or 32}
    return {}


def follow_epochs(stream: TrainingStream) -> keras.callbacks.Callback:
    """What tells a stream which epoch it is, for its order and augmentation to be that epoch's."""
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: stream.epoch.assign(epoch))


def make_weights(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Make the weights now: what a step makes while it is traced could not be put back."""
    if model.built:
        return
    x = arguments["x"]
    if isinstance(x, tf.data.Dataset):
        x = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    model(keras.tree.map_structure(_symbol, x))


def _symbol(array: Any) -> keras.KerasTensor:
    """A tensor without values for a batch of such arrays."""
    kind = keras.backend.standardize_dtype(getattr(array, "dtype", "float32"))
    return keras.Input(np.shape(array)[1:], dtype=kind)
