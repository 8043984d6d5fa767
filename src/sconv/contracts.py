"""What a dataset and a model must be, whoever wrote them: loaded, built and judged here."""

from __future__ import annotations

import functools
import logging
import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sconv import callables, checks
from sconv.datasets import Dataset, Split, Stream
from sconv.datasets.parts import note_imbalance, select

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def load_dataset(settings: DictConfig) -> Dataset:
    """Call `_target_` with the other settings, judge what it returns, and select the part asked for.

    `classes`, `train_size` and `validation` hold for any dataset; a loader that has a parameter of that name and can
    make a given number itself gets the number. An option may tell by `_examples_` how many there are to train on, of
    all of them. Raises SettingError, SettingTypeError, or what the loader raises.
    """
    if missing := [str(name) for name in settings if OmegaConf.is_missing(settings, name)]:
        raise checks.SettingError(f"dataset.{missing[0]}: got nothing, expected dataset.{missing[0]}=...")
    values = OmegaConf.to_container(settings, resolve=True)
    assert isinstance(values, dict)
    told = values.pop("_examples_", None)
    part: dict[str, Any] = {name: values[name] for name in callables.PARTS if name in values}
    own = callables.parameters("dataset", settings._target_)
    theirs = [name for name, value in part.items() if type(value) is int and name in own]
    kept = {name: value for name, value in values.items() if name not in callables.PARTS or name in theirs}
    left = {name: value for name, value in part.items() if name not in theirs}
    loaded = _loaded(OmegaConf.to_yaml(kept))
    if told not in (None, len(loaded.train)):
        log.warning("dataset._examples_: got %s, but %s has %s", told, loaded.name, len(loaded.train))
    try:
        dataset = select(loaded, **left)
    except checks.UserError as error:
        raise type(error)(f"dataset.{error}") from error
    note_imbalance(dataset)
    return dataset


@functools.lru_cache(maxsize=2)
def _loaded(settings: str) -> Dataset:
    """What the loader returns for settings in YAML; kept, so that the jobs of a sweep load their data once."""
    kept = OmegaConf.create(settings)
    assert isinstance(kept, DictConfig)
    callables.check_call("dataset", kept, {})
    dataset = instantiate(kept, _convert_="all")
    check_dataset(dataset, kept._target_)
    return dataset


def training_size(settings: DictConfig) -> int:
    """How many training examples `load_dataset` would leave; not loaded where `_examples_` tells all of them.

    Raises what `load_dataset` raises.
    """
    there, wanted = OmegaConf.select(settings, "_examples_"), settings.train_size
    if wanted is not None and "train_size" in callables.parameters("dataset", settings._target_):
        there = wanted
    elif wanted is not None and there is not None:
        there = min(there, checks.integer("dataset.train_size", wanted))
    if there is None or settings.classes is not None or settings.validation is not None:
        return len(load_dataset(settings).train)
    return int(there)


def build_model(settings: DictConfig, dataset: Dataset, loss: keras.Loss) -> keras.Model:
    """Call `_target_` with `input_shape`, `classes` and the other settings, and judge the model it returns.

    Raises SettingError, SettingTypeError, or what the builder raises.
    """
    given = {"input_shape": dataset.input_shape, "classes": dataset.classes}
    callables.check_call("model", settings, given)
    model = instantiate(settings, **given, _convert_="all")
    check_model(model, dataset, loss, settings._target_)
    return model


def label_depth(model: keras.Model, loss: keras.Loss) -> int | None:
    """How long one-hot labels are, or None where the loss takes numbers: a sparse one, or one for a single output."""
    import keras

    outputs = int(model.output_shape[-1])
    return None if outputs == 1 or isinstance(loss, keras.losses.SparseCategoricalCrossentropy) else outputs


def chance(dataset: Dataset, model: keras.Model) -> float | None:
    """The cross-entropy of answering each class as often as there is of it, in nats; None under another loss.

    Of a stream, whose labels take a pass over it, the classes are taken for equally frequent.
    """
    import keras

    known = (keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy)
    binary = isinstance(model.loss, keras.losses.BinaryCrossentropy) and model.output_shape[-1] == 1
    if not isinstance(model.loss, known) and not binary:
        return None
    if not isinstance(dataset.train, Split):
        return float(np.log(dataset.classes))
    shares = np.bincount(dataset.train.labels) / len(dataset.train)
    return float(-np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))


def check_dataset(dataset: Any, source: str) -> None:
    """Raise an error that names `source` unless `dataset` keeps the contract."""
    if not isinstance(dataset, Dataset):
        raise checks.SettingTypeError(f"dataset: {source} returned {_kind(dataset)}, expected a sconv.datasets.Dataset")
    names = dataset.class_names
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise checks.SettingTypeError(
            f"dataset: {source}: class_names: got {checks.shown(names)}, expected a tuple of str"
        )
    if dataset.classes < 2:
        raise checks.SettingError(f"dataset: {source} has {dataset.classes} class, expected at least two class_names")
    splits = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
    for part, split in splits.items():
        where = f"dataset: {source}: {part}"
        if isinstance(split, Split):
            _check_arrays(split, dataset.classes, where)
        elif not isinstance(split, Stream) and not (part == "validation" and split is None):
            raise checks.SettingTypeError(f"{where}: got {_kind(split)}, expected a sconv.datasets.Split or Stream")
        if split is not None and split.shape != dataset.input_shape:
            raise checks.SettingError(
                f"{where}: got inputs of {split.shape}, expected {dataset.input_shape} as in train"
            )
        kinds = [one.images.dtype for one in (dataset.train, split) if isinstance(one, Split)]
        if len(set(kinds)) > 1:
            raise checks.SettingError(f"{where}.images: got {kinds[1]}, expected {kinds[0]} as in train")


def check_model(model: Any, dataset: Dataset, loss: keras.Loss, source: str) -> None:
    """Raise an error that names `source` unless `model` takes the raw inputs and gives what the loss takes."""
    import keras

    known_outputs = isinstance(model, keras.Sequential) or hasattr(model, "output_shape")  # no subclass tells its own
    if not isinstance(model, keras.Model) or not known_outputs:
        raise checks.SettingTypeError(
            f"model: {source} returned {_kind(model)}, expected a Sequential or functional keras.Model"
        )
    inputs = dataset.train.images[:2] if isinstance(dataset.train, Split) else np.zeros((2, *dataset.input_shape))
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(model(inputs), "float32")))
    except Exception as error:
        cause = textwrap.shorten(re.sub(r"\x1b\[[0-9;]*m", "", str(error)), 400)
        raise checks.SettingError(
            f"model: {source} does not take raw inputs of {dataset.input_shape} of {dataset.name}: {cause}"
        ) from error
    wanted = (len(inputs), dataset.classes)
    if outputs.shape != wanted and not (dataset.classes == 2 and outputs.shape == (len(inputs), 1)):
        raise checks.SettingError(f"model: {source} gives {outputs.shape} for {len(inputs)} inputs, expected {wanted}")
    _note_what_cannot_be_loaded(model, source)
    known = (keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy)
    probabilities = (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=0.02)
    if isinstance(loss, known) and not loss.from_logits and np.isfinite(outputs).all() and not probabilities:
        raise checks.SettingError(
            f"model: {source} gives no probabilities (a row sums to {outputs[0].sum():.3g}): end it in a softmax, or "
            f"set loss.from_logits=true"
        )


def _note_what_cannot_be_loaded(model: keras.Model, source: str) -> None:
    """Warn of layers that keep the saved model from being loaded again."""
    import keras

    for layer in model.layers:
        kind = type(layer)
        if isinstance(layer, keras.Model):
            _note_what_cannot_be_loaded(layer, source)
        elif kind is keras.layers.Lambda:
            log.warning(
                "model: %s has a Lambda layer, which Keras does not load again unless told safe_mode=False", source
            )
        elif not kind.__module__.startswith("keras.") and kind not in keras.saving.get_custom_objects().values():
            log.warning(
                "model: %s has a layer %s, which Keras does not load again: decorate it with "
                "keras.saving.register_keras_serializable()",
                *(source, kind.__name__),
            )


def _check_arrays(split: Split, classes: int, where: str) -> None:
    images, labels = split.images, split.labels
    for name, array in (("images", images), ("labels", labels)):
        if not isinstance(array, np.ndarray):
            raise checks.SettingTypeError(f"{where}.{name}: got {_kind(array)}, expected a NumPy array")
    if images.dtype not in (np.uint8, np.float32) or images.ndim < 2:
        raise checks.SettingError(
            f"{where}.images: got {images.dtype} {images.shape}, expected uint8 or float32 [count, ...]"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),) or not len(images):
        wanted = f"whole numbers [count], one for each of {len(images)} images, at least one"
        raise checks.SettingError(f"{where}.labels: got {labels.dtype} {labels.shape}, expected {wanted}")
    if labels.min() < 0 or labels.max() >= classes:
        raise checks.SettingError(
            f"{where}.labels: got {labels.min()} to {labels.max()}, expected 0 to {classes - 1} for {classes} classes"
        )
    if images.dtype == np.float32 and not np.isfinite([images.min(), images.max()]).all():
        raise checks.SettingError(f"{where}.images: got values that are not finite, expected numbers")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
