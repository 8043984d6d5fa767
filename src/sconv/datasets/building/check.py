"""What a dataset must be, whoever wrote it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sconv import checks
from sconv.datasets import Dataset, Split, Stream


def check_dataset(dataset: Any, source: str) -> None:
    """Raise an error that names `source` unless `dataset` keeps the contract."""
    where = f"dataset: {source}"
    if not isinstance(dataset, Dataset):
        raise checks.SettingTypeError(f"{where} returned {checks.type_of(dataset)}, expected a sconv.datasets.Dataset")
    names = dataset.class_names
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise checks.SettingTypeError(f"{where}: class_names: got {checks.shown(names)}, expected a tuple of str")
    if dataset.classes < 2:
        raise checks.SettingError(f"{where} has {dataset.classes} class, expected at least two class_names")
    _check_split(dataset.train, dataset, f"{where}: train")
    _check_split(dataset.test, dataset, f"{where}: test")
    if dataset.validation is not None:
        _check_split(dataset.validation, dataset, f"{where}: validation")


def _check_split(split: Any, dataset: Dataset, where: str) -> None:
    if not isinstance(split, (Split, Stream)):
        raise checks.SettingTypeError(
            f"{where}: got {checks.type_of(split)}, expected a sconv.datasets.Split or Stream"
        )
    if isinstance(split, Split):
        _check_arrays(split, dataset.classes, where)
    if split.shape != dataset.input_shape:
        raise checks.SettingError(f"{where}: got inputs of {split.shape}, expected {dataset.input_shape} as in train")
    kinds = [one.images.dtype for one in (dataset.train, split) if isinstance(one, Split)]
    if len(set(kinds)) > 1:
        raise checks.SettingError(f"{where}.images: got {kinds[1]}, expected {kinds[0]} as in train")


def _check_arrays(split: Split, classes: int, where: str) -> None:
    images, labels = split.images, split.labels
    for name, array in (("images", images), ("labels", labels)):
        if not isinstance(array, np.ndarray):
            raise checks.SettingTypeError(f"{where}.{name}: got {checks.type_of(array)}, expected a NumPy array")
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
