"""A compiled model and its data in any form that `fit` takes, made ready for it."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from sconv import checks
from sconv.datasets import Dataset
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.training import keras_building, keras_data, keras_internals

# What `fit` asks of arrays only.
_OF_ARRAYS = ("y", "sample_weight", "batch_size", "validation_split")
# What a model may do in a way of its own in a step.
_OF_A_STEP = ("train_step", "compute_loss", "compute_metrics")


def check_compiled(model: Any) -> keras.Model:
    """Return `model` if it is a compiled Keras model, or raise an error."""
    if not isinstance(model, keras.Model):
        raise checks.SettingTypeError(f"model: got {checks.shown(model)}, expected a compiled keras.Model of Keras 3")
    if not model.compiled or model.optimizer is None:
        raise checks.SettingError(f"model: got {model.name}, which is not compiled, expected model.compile(...) before")
    return model


def check_names(given: Mapping[str, Any], settings: Iterable[str], reserved: Iterable[str] = ()) -> None:
    """Raise an error about the first argument that is none of our `settings`, nor an argument of `fit` left to it."""
    allowed = {*settings, *inspect.signature(keras.Model.fit).parameters} - {"self", "x", "y", "fit", *reserved}
    for name, value in given.items():
        if name not in allowed:
            near = checks.nearest(name, sorted(allowed))
            expected = "none" if name in reserved else f"a setting, or an argument of fit{near}"
            raise checks.SettingTypeError(f"{name}: got {checks.shown(value)}, expected {expected}")


def feed(x: Any, y: Any = None, **fit: Any) -> tuple[dict[str, Any], list[keras.callbacks.Callback]]:
    """The arguments of `fit` for data in any form, and the callbacks that keep it in step with the epochs.

    `fit` are its other arguments. Raises SettingError where one of them would mean nothing beside such data.
    """
    if isinstance(x, Dataset):
        x = streamed(x, fit.pop("batch_size", None))
    if isinstance(x, TrainingStream):
        _check_unused({"y": y, **fit}, (*_OF_ARRAYS, "shuffle"), "data of sconv's own, which comes in shuffled batches")
        return {**fit, "x": x.batches, "shuffle": False}, [follow_epochs(x)]
    if _are_arrays(x):
        if isinstance(x, tuple) and y is None:
            _check_unused(fit, ("sample_weight",) if len(x) == 3 else (), "(x, y, sample_weight)")
            fit |= dict(zip(("x", "y", "sample_weight"), x, strict=False))
        else:
            if y is not None and not _are_arrays(y):
                raise checks.SettingTypeError(f"y: got {checks.shown(y)}, expected arrays; all else goes by name")
            fit |= {"x": x, "y": y}
        _check_lengths("data", [fit.get(name) for name in ("x", "y", "sample_weight")])
        return fit, []
    if not _makes_batches(x):
        forms = "x and y or (x, y) as arrays, a tf.data.Dataset, a PyDataset, a generator or an sconv Dataset"
        raise checks.SettingTypeError(f"data: got {type(x).__name__}, expected {forms}")
    _check_unused({"y": y, **fit}, _OF_ARRAYS, f"a {type(x).__name__}, which makes the batches")
    # Which Keras would do for a PyDataset alone, and warn of otherwise.
    return {"x": x, "shuffle": isinstance(x, keras.utils.PyDataset), **fit}, []


def check_validation(data: Any, labelled: bool) -> None:
    """Raise an error where `fit` could not evaluate on this data after the first epoch."""
    parts = data if isinstance(data, (tuple, list)) else (data,)
    if _are_arrays(data) and 1 + labelled <= len(parts) <= 3:
        _check_lengths("validation_data", parts)
    elif data is not None and (_are_arrays(data) or not _makes_batches(data)):
        expected = (
            "(x, y) or (x, y, sample_weight) as arrays, a split of an sconv Dataset, a tf.data.Dataset or its like"
        )
        raise checks.SettingTypeError(f"validation_data: got {checks.type_of(data)}, expected {expected}")


def batches_per_epoch(fit: Mapping[str, Any]) -> int | None:
    """How many batches go into an epoch of a `fit` with these arguments; None where that shows at its end only."""
    x, steps = fit["x"], fit.get("steps_per_epoch")
    if steps is not None:
        return checks.integer("steps_per_epoch", steps, at_least=1)
    if _are_arrays(x):
        examples = math.floor(_length(keras.tree.flatten(x)[0]) * (1 - (fit.get("validation_split") or 0.0)))
        return math.ceil(examples / checks.integer("batch_size", fit.get("batch_size") or 32, at_least=1))
    if isinstance(x, tf.data.Dataset):
        known = int(x.cardinality())
        return known if known >= 0 else None
    return x.num_batches if isinstance(x, keras.utils.PyDataset) else None


def callbacks_of(callbacks: Any) -> list[keras.callbacks.Callback]:
    """What `fit` takes as callbacks, one or several, as a list."""
    several = [] if callbacks is None else keras.tree.flatten(callbacks)
    for callback in several:
        if not isinstance(callback, keras.callbacks.Callback):
            raise checks.SettingTypeError(f"callbacks: got {checks.shown(callback)}, expected keras.callbacks.Callback")
    return several


def _are_arrays(data: Any) -> bool:
    """Whether it is arrays, tensors or frames in any structure."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def _makes_batches(data: Any) -> bool:
    """Whether it may be something that is iterated over for batches; which of those it takes, Keras says."""
    holds = isinstance(data, (str, bytes, tuple, list, Mapping))
    return isinstance(data, keras.utils.PyDataset) or (hasattr(data, "__iter__") and not holds)


def _check_unused(fit: Mapping[str, Any], names: Iterable[str], data: str) -> None:
    for name in names:
        if fit.get(name) is not None:
            raise checks.SettingError(f"{name}: got {checks.type_of(fit[name])} beside {data}, expected none")


def _check_lengths(name: str, parts: Iterable[Any]) -> None:
    lengths = {_length(leaf) for leaf in keras.tree.flatten(list(parts)) if leaf is not None}
    if len(lengths) > 1:
        told = " and ".join(map(str, sorted(lengths)))
        raise checks.SettingError(f"{name}: got {told} examples in its arrays, expected as many in each")


def _length(array: Any) -> int:
    return int(array.shape[0])


def streamed(data: Any, batch_size: int | None = None) -> Any:
    """A `Dataset` as the stream of its training batches; any other form of data as it is."""
    if not isinstance(data, Dataset):
        return data
    return TrainingStream(data.train, checks.integer("batch_size", batch_size or 32, at_least=1), seed=0)


def sizes(data: Any, batch_size: int | None = None) -> dict[str, int]:
    """What can be said of how many examples there are, and how many go into a batch."""
    if isinstance(data, Dataset):
        return {"examples": len(data.train), "batch_size": batch_size or 32}
    if _are_arrays(data):
        return {"examples": _length(keras.tree.flatten(data)[0]), "batch_size": batch_size or 32}
    return {}


def follow_epochs(stream: TrainingStream) -> keras.callbacks.Callback:
    """What tells a stream which epoch it is, for its order and augmentation to be that epoch's."""
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: stream.epoch.assign(epoch))


def make_weights(model: keras.Model) -> None:
    """Make the weights of a model in a `fit` that begins: what a step makes while it is traced cannot be put back."""
    parts = [layer for layer in keras_internals.flat_layers(model) if layer is not model]
    # A model with a step of its own may have parts, and no call.
    if model.built or (parts and all(part.built for part in parts)):
        return
    try:
        keras_building.build_all(model, keras_data.dataset_of(keras_internals.epoch_iterator()).element_spec)
    except (AttributeError, RuntimeError, ValueError) as error:
        raise checks.SettingError(
            f"model: got {model.name}, which has no weights yet and cannot be built on this data, expected one that is "
            "(keras.Input, model.build or a call on a batch): what is made later cannot be put back"
        ) from error


def is_stock(model: keras.Model) -> bool:
    """Whether it is a graph of layers, all built, whose steps are Keras's own: of no class of a user's."""
    stock = type(model).__module__.startswith("keras.") and not any(name in vars(model) for name in _OF_A_STEP)
    return stock and model.built and all(layer.built for layer in keras_internals.flat_layers(model))


def make_variables(model: keras.Model) -> None:
    """Make what the first step of a `fit` under way would, of a stock model: one that makes variables is traced twice.

    What is wrong with its metrics, if anything is, Keras says in the step as it always does.
    """
    iterator = keras_internals.epoch_iterator()
    if iterator is None or model.run_eagerly:
        return
    if not model.optimizer.built:  # one that scales the loss would make more each time
        model.optimizer.build(model.trainable_variables)
    with contextlib.suppress(Exception):
        keras_building.build_metrics(model, keras_data.dataset_of(iterator).element_spec)
