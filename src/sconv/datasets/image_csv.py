"""Images that a CSV file lists with their labels."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sconv import checks
from sconv.datasets.building import from_labels, image_cache, inside
from sconv.datasets.dataset import Dataset
from sconv.datasets.image_folder import SPLITS

log = logging.getLogger(__name__)


def load(
    path: str,
    images: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    split_column: str | None = None,
    size: Sequence[int] | None = None,
    channels: int = 3,
    test_share: float = 0.2,
    bad_files: str = "error",
    cache: str | None = None,
) -> Dataset:
    """Load the images that the CSV file `path` lists, one a row, relative to the folder `images` (None: the CSV's own).

    `split_column` says train, test or validation; without one, `test_share` of the rows are held out, stratified.
    Labels that are all whole numbers are ordered as such, others as text. The other settings are those of
    `image_folder`. Raises DataError or SettingError.
    """
    file = Path(path).expanduser()
    root = file.parent if images is None else Path(images).expanduser()
    columns = [image_column, label_column, *([] if split_column is None else [split_column])]
    table = _table(file, columns)
    files = table[image_column]
    _note(file, table, image_column, split_column)
    parts = np.full(len(files), "train") if split_column is None else _parts(file, split_column, table[split_column])
    strays = inside.outside(files, os.fspath(root))
    rows = np.setdiff1d(np.arange(len(files)), strays)
    decoded, kept = image_cache.decode(
        "image_csv",
        root,
        [files[row] for row in rows],
        size=size,
        channels=channels,
        bad_files=bad_files,
        cache=cache,
        strays=[(files[row], "outside of the folder") for row in strays],
    )
    rows = rows[kept]
    labels = np.array(table[label_column])[rows]
    if all(label.isascii() and label.isdecimal() and str(int(label)) == label for label in np.unique(labels)):
        labels = labels.astype(np.int64)
    split = from_labels.divided(decoded, labels, parts[rows])
    return from_labels.dataset(file.stem, split, None, test_share, bad_files)


def _note(file: Path, table: Mapping[str, Sequence[str]], image_column: str, split_column: str | None) -> None:
    """Warn of what is allowed and seldom meant."""
    if twice := len(table[image_column]) - len(set(table[image_column])):
        log.warning("dataset image_csv: %s lists images again, in %d rows; test and train may share them", file, twice)
    meant = [name for name, cells in table.items() if {cell.lower() for cell in cells} <= SPLITS.keys()]
    if meant and split_column is None:
        log.warning(
            "dataset image_csv: column %s of %s is not used; dataset.split_column=%s does", meant[0], file, meant[0]
        )


def _table(file: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns of a CSV file that has rows; those named in `columns` are there, and have no empty cell."""
    try:
        with io.TextIOWrapper(inside.opened(file), newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, restval="", strict=True)
            names = reader.fieldnames or ()
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise checks.DataError(f"dataset image_csv: cannot read {file}: {' '.join(str(error).split())}") from error
    if missing := [column for column in columns if column not in names]:
        raise checks.DataError(
            f"dataset image_csv: {file} has no column {', '.join(missing)}, only {', '.join(names) or 'no line'}; "
            f"set dataset.image_column, dataset.label_column or dataset.split_column"
        )
    empty = [f"an empty cell in line {line}" for line, row in rows if not all(row[name] for name in columns)]
    wide = [f"more cells than columns in line {line}" for line, row in rows if None in row]
    if faults := [*empty, *wide] if rows else ["no rows"]:
        raise checks.DataError(f"dataset image_csv: {file} has {faults[0]}, expected an image and a label in each row")
    return {name: [row[name] for _, row in rows] for name in names}


def _parts(file: Path, name: str, column: Sequence[str]) -> np.ndarray:
    if odd := [cell for cell in column if cell.lower() not in SPLITS]:
        expected = f"expected one of {', '.join(SPLITS)}"
        raise checks.DataError(f"dataset image_csv: {file}: column {name} has {odd[0]!r}, {expected}")
    parts = np.array([SPLITS[cell.lower()] for cell in column])
    if "train" not in parts:
        raise checks.DataError(f"dataset image_csv: {file}: column {name} names no training images")
    return parts
