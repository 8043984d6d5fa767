"""Parts of a dataset: some of its classes, some of its examples, a share held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sconv import checks
from sconv.datasets.dataset import Dataset, Split, Stream

log = logging.getLogger(__name__)

# The largest class may have so many times the examples of the smallest before it is worth a line.
IMBALANCE = 10


def select(
    dataset: Dataset,
    classes: Sequence[str | int] | None = None,
    train_size: int | None = None,
    validation: float | None = None,
) -> Dataset:
    """Return a dataset of the `classes` given, with a share of the training examples held out, and `train_size` left.

    `classes` are names (or labels, where no class has the number as its name); they are relabelled 0, 1, ... in the
    order given. `validation` is a share of the training examples, `train_size` a number out of those that remain. Both
    are stratified and always take the same examples, so that a smaller part lies within a larger one. None changes
    nothing. Raises SettingError or SettingTypeError.
    """
    if classes is not None:
        dataset = _of_classes(dataset, classes)
    if validation is not None:
        share = checks.number("validation", validation, above=0, below=1)
        train, held_out = hold_out(dataset.train.labels, share)
        if not len(train) or not len(held_out):
            raise checks.SettingError(
                f"validation: got {validation!r}, expected a share that leaves examples on both sides of "
                f"{len(dataset.train)} training examples"
            )
        dataset = replace(dataset, train=_rows(dataset.train, train), validation=_rows(dataset.train, held_out))
    if train_size is not None:
        size = checks.integer("train_size", train_size, at_least=dataset.classes)
        if size > len(dataset.train):
            raise checks.SettingError(
                f"train_size: got {size}, expected at most the {len(dataset.train)} training examples of {dataset.name}"
            )
        rows = np.sort(_stratified(dataset.train.labels)[:size])
        dataset = replace(dataset, train=_rows(dataset.train, rows))
    return dataset


def hold_out(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two, stratified: those that remain, and about `share` of them; both ascend.

    Each class that occurs remains with at least one row.
    """
    order = _stratified(labels)
    most = len(labels) - len(np.unique(labels))
    remain = len(labels) - min(round(share * len(labels)), most)
    return np.sort(order[:remain]), np.sort(order[remain:])


def _stratified(labels: np.ndarray) -> np.ndarray:
    """All rows in an order whose every beginning holds the classes in proportion, each at least once if it can.

    Within a class the order is random and always the same. Rows are sorted by (rank in their class) / (size of their
    class), which deals out seats by Adams's method.
    """
    by_class = np.lexsort((np.random.default_rng(0).random(len(labels)), labels))
    _, first, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(first, sizes)
    return by_class[np.argsort(rank / np.repeat(sizes, sizes), kind="stable")]


def _of_classes(dataset: Dataset, wanted: Any) -> Dataset:
    names = checks.listed("classes", wanted, "a list of class names, such as [cat, dog]")
    labels = [_label(dataset.class_names, name) for name in names]
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise checks.SettingError(f"classes: got {names!r}, expected at least two classes, each once")
    renamed = np.full(dataset.classes, -1, np.int64)
    renamed[labels] = np.arange(len(labels))

    def narrowed(split: Split | Stream) -> Split | Stream:
        new = renamed[split.labels]
        rows = np.flatnonzero(new >= 0)
        return split.take(rows, new[rows])

    validation = None if dataset.validation is None else narrowed(dataset.validation)
    kept = tuple(dataset.class_names[label] for label in labels)
    return Dataset(dataset.name, narrowed(dataset.train), narrowed(dataset.test), kept, validation)


def _label(names: Sequence[str], wanted: Any) -> int:
    if str(wanted) in names:
        return names.index(str(wanted))
    if type(wanted) is int and 0 <= wanted < len(names):
        return wanted
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    raise checks.SettingError(f"classes: got {wanted!r}, expected names out of {shown}")


def _rows(split: Split | Stream, rows: np.ndarray) -> Split | Stream:
    return split.take(rows, split.labels[rows])


def note_imbalance(dataset: Dataset) -> None:
    """Warn where always giving one answer would often be right."""
    if not isinstance(dataset.train, Split):
        return  # the labels of a stream take a pass over it
    counts = np.bincount(dataset.train.labels, minlength=dataset.classes)
    if counts.max() > IMBALANCE * counts.min():
        few, many = dataset.class_names[counts.argmin()], dataset.class_names[counts.argmax()]
        log.warning(
            "dataset: the classes are imbalanced: to train on there are %d of %s, %d of %s; always answering %s would "
            "be right %.0f %% of the time",
            *(counts.min(), few, counts.max(), many, many, 100 * counts.max() / counts.sum()),
        )
    if isinstance(dataset.test, Split):
        tested = np.bincount(dataset.test.labels, minlength=dataset.classes)
        if not tested.all():
            log.warning("dataset: the test has no example of %s", dataset.class_names[tested.argmin()])
