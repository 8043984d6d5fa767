"""From labels as people write them, and arrays without a test split, to a Dataset."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sconv import checks
from sconv.datasets.building.subset import hold_out
from sconv.datasets.dataset import Dataset, Split

log = logging.getLogger(__name__)

Labelled = tuple[np.ndarray, np.ndarray]


def dataset(
    name: str,
    splits: dict[str, Labelled],
    class_names: Sequence[str] | None = None,
    test_share: float = 0.2,
    bad_files: str | None = None,
) -> Dataset:
    """Make a Dataset of splits (images, labels) named train and, where they exist, test and validation.

    Labels are numbers or names. Without `class_names` the classes are the labels of the training split in their order;
    with them, labels are numbers from 0. Without a test split, `test_share` of the training examples become one,
    stratified. Classes that train lacks are an error, or left out with a warning where `bad_files` is skip. Raises
    DataError or SettingError.
    """
    labels = {part: np.asarray(values).reshape(-1) for part, (_, values) in splits.items()}
    if "train" not in labels:
        raise checks.DataError(f"dataset {name}: no training images are left, only {', '.join(labels) or 'none'}")
    known = np.unique(labels["train"]) if class_names is None else np.arange(len(class_names))
    if len(known) < 2:
        raise checks.DataError(f"dataset {name}: got one class only ({_listed(known)}), expected at least two")
    arrays = {}
    for part, values in labels.items():
        images, kept = _of_known_classes(f"dataset {name}", part, splits[part][0], values, known, bad_files)
        arrays[part] = Split(images, np.searchsorted(known, kept).astype(np.int64))
    if "test" not in arrays:
        arrays["train"], arrays["test"] = _held_out(name, arrays["train"], test_share)
    names = tuple(str(label) for label in (known if class_names is None else class_names))
    return Dataset(name, arrays["train"], arrays["test"], names, arrays.get("validation"))


def _of_known_classes(
    where: str, part: str, images: np.ndarray, labels: np.ndarray, known: np.ndarray, bad_files: str | None
) -> Labelled:
    """Images and labels of the classes that train has; others are an error, or left out with a warning."""
    foreign = np.setdiff1d(labels, known)
    if not len(foreign):
        return images, labels
    if bad_files != "skip":
        out = "" if bad_files is None else "; mend the names, or set dataset.bad_files=skip"
        raise checks.DataError(
            f"{where}: {part} has classes that are not in train: {_listed(foreign)}; expected {_listed(known)}{out}"
        )
    rows = np.flatnonzero(np.isin(labels, known))
    out = f"{len(labels) - len(rows)} of {part} left out, of classes that are not in train: {_listed(foreign)}"
    log.warning("%s: %s", where, out)
    return images[rows], labels[rows]


def height_and_width(size: Sequence[int]) -> tuple[int, int]:
    """Return a setting `size` as (height, width), or raise an error that says what is wrong with it."""
    sides = checks.integers("size", size, at_least=1, example="[32, 32]")
    if len(sides) != 2:
        raise checks.SettingError(f"size: got {checks.shown(size)}, expected [height, width], such as [32, 32]")
    return sides[0], sides[1]


def divided(images: np.ndarray, labels: np.ndarray, parts: np.ndarray) -> dict[str, Labelled]:
    """Cut rows into splits by the name of each row's part; a validation split alone serves as the test split."""
    if "validation" in parts and "test" not in parts:
        parts = np.where(parts == "validation", "test", parts)
    return {part: (_stretch(images, parts == part), labels[parts == part]) for part in sorted(set(parts.tolist()))}


def _stretch(images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The rows wanted; without a copy where they lie together."""
    rows = np.flatnonzero(wanted)
    return images[rows[0] : rows[-1] + 1] if rows[-1] - rows[0] + 1 == len(rows) else images[rows]


def _held_out(name: str, split: Split, share: float) -> tuple[Split, Split]:
    train, test = hold_out(split.labels, checks.number("test_share", share, above=0, below=1))
    if not len(test):
        raise checks.DataError(
            f"dataset {name}: {len(split)} images are too few to hold out {share:g} of them as a test"
        )
    return split.take(train, split.labels[train]), split.take(test, split.labels[test])


def _listed(values: np.ndarray) -> str:
    return ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
