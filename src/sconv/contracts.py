"""What a dataset and a model must be, whoever wrote them: loaded, built and judged here."""

from __future__ import annotations

import functools
import inspect
import pkgutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from sconv import checks
from sconv.datasets import Dataset, Split, Stream
from sconv.datasets.parts import note_imbalance, select

if TYPE_CHECKING:
    import keras

PARTS = ("classes", "train_size", "validation")


def drop_leftovers(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Where the command line gives a group another `_target_`, take out the option's settings that it does not have.

    `model._target_=my_package.net.build` would else be called with the settings of the model it replaces. What the
    command line gives itself stays, to be refused where it is not known.
    """
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    for group in map(str, cfg):
        if f"{group}._target_" in given:
            settings = cfg[group]
            known = {*_parameters(group, settings._target_), *PARTS, "_target_"}
            with open_dict(settings):
                for key in [str(key) for key in settings]:
                    if key not in known and f"{group}.{key}" not in given:
                        del settings[key]


def load_dataset(settings: DictConfig) -> Dataset:
    """Call `_target_` with the other settings, judge what it returns, and select the part asked for.

    `classes`, `train_size` and `validation` hold for any dataset; a loader that has a parameter of that name and can
    make a given number itself gets the number. Raises SettingError, SettingTypeError, or what the loader raises.
    """
    if missing := [str(name) for name in settings if OmegaConf.is_missing(settings, name)]:
        raise checks.SettingError(f"dataset.{missing[0]}: got nothing, expected dataset.{missing[0]}=...")
    values = OmegaConf.to_container(settings, resolve=True)
    assert isinstance(values, dict)
    part: dict[str, Any] = {name: values[name] for name in PARTS if name in values}
    own = _parameters("dataset", settings._target_)
    theirs = [name for name, value in part.items() if type(value) is int and name in own]
    kept = {name: value for name, value in values.items() if name not in PARTS or name in theirs}
    left = {name: value for name, value in part.items() if name not in theirs}
    loaded = _loaded(OmegaConf.to_yaml(kept))
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
    _check_call("dataset", kept, {})
    dataset = instantiate(kept, _convert_="all")
    check_dataset(dataset, kept._target_)
    return dataset


def training_size(settings: DictConfig) -> int:
    """How many training examples `load_dataset` would leave; not loaded where the loader's module tells TRAIN_SIZE.

    Raises what `load_dataset` raises.
    """
    function = _function("dataset", settings._target_)
    told = vars(sys.modules[function.__module__]).get("TRAIN_SIZE")
    if "train_size" in _parameters("dataset", settings._target_) and settings.train_size is not None:
        told = settings.train_size
    elif told is not None and settings.train_size is not None:
        told = min(told, checks.integer("dataset.train_size", settings.train_size))
    if told is None or settings.classes is not None or settings.validation is not None:
        return len(load_dataset(settings).train)
    return int(told)


def build_model(settings: DictConfig, dataset: Dataset, loss: keras.Loss) -> keras.Model:
    """Call `_target_` with `input_shape`, `classes` and the other settings, and judge the model it returns.

    Raises SettingError, SettingTypeError, or what the builder raises.
    """
    given = {"input_shape": dataset.input_shape, "classes": dataset.classes}
    _check_call("model", settings, given)
    model = instantiate(settings, **given, _convert_="all")
    check_model(model, dataset, loss, settings._target_)
    return model


def label_depth(model: keras.Model, loss: keras.Loss) -> int | None:
    """How long one-hot labels are, or None where the loss takes numbers: a sparse one, or one for a single output."""
    import keras

    outputs = int(model.output_shape[-1])
    return None if outputs == 1 or isinstance(loss, keras.losses.SparseCategoricalCrossentropy) else outputs


def check_dataset(dataset: Any, source: str) -> None:
    """Raise an error that names `source` unless `dataset` keeps the contract."""
    if not isinstance(dataset, Dataset):
        raise checks.SettingTypeError(f"dataset: {source} returned {_kind(dataset)}, expected a sconv.datasets.Dataset")
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


def check_model(model: Any, dataset: Dataset, loss: keras.Loss, source: str) -> None:
    """Raise an error that names `source` unless `model` takes the raw inputs and gives what the loss takes."""
    import keras

    if not isinstance(model, keras.Model):
        raise checks.SettingTypeError(f"model: {source} returned {_kind(model)}, expected a keras.Model")
    inputs = dataset.train.images[:2] if isinstance(dataset.train, Split) else np.zeros((2, *dataset.input_shape))
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(model(inputs), "float32")))
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        raise checks.SettingError(
            f"model: {source} does not take raw inputs of {dataset.input_shape} of {dataset.name}: {cause}"
        ) from error
    wanted = (len(inputs), dataset.classes)
    if outputs.shape != wanted and not (dataset.classes == 2 and outputs.shape == (len(inputs), 1)):
        raise checks.SettingError(f"model: {source} gives {outputs.shape} for {len(inputs)} inputs, expected {wanted}")
    known = (keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy)
    probabilities = (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=0.02)
    if isinstance(loss, known) and not loss.from_logits and np.isfinite(outputs).all() and not probabilities:
        raise checks.SettingError(
            f"model: {source} gives no probabilities (a row sums to {outputs[0].sum():.3g}): end it in a softmax, or "
            f"set loss.from_logits=true"
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


def _check_call(group: str, settings: DictConfig, given: dict[str, Any]) -> None:
    """Raise an error that shows the signature where `_target_` cannot be called with the settings and what is given."""
    arguments = [*given, *(str(name) for name in settings if not str(name).startswith("_"))]
    function = _function(group, settings._target_)
    try:
        signature = inspect.signature(function)
    except ValueError:  # a built-in need not tell
        return
    try:
        signature.bind(**dict.fromkeys(arguments))
    except TypeError as error:
        called = ", ".join(arguments) or "no arguments"
        plain = ", ".join(signature.parameters)
        raise checks.SettingTypeError(
            f"{group}: {settings._target_}({plain}) is called with {called}: {error}"
        ) from error


def _parameters(group: str, target: str) -> set[str]:
    try:
        return set(inspect.signature(_function(group, target)).parameters)
    except ValueError:
        return set()


def _function(group: str, target: str) -> Any:
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise checks.SettingError(
            f"{group}._target_: got {target}, expected a function that can be imported: {error}"
        ) from error


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
