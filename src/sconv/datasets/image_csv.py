"""Images that a CSV file lists with their labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sconv import checks
from sconv.datasets import image_files, labelled
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
    _note(file, table, image_column, split_column)
    parts = np.full(len(table), "train") if split_column is None else _parts(file, table[split_column])
    decoded = image_files.decode(
        "image_csv",
        root,
        table[image_column].tolist(),
        size=size,
        channels=channels,
        bad_files=bad_files,
        cache=cache,
    )
    labels = table[label_column].to_numpy(dtype=str)[decoded.rows]
    if all(label.isascii() and label.isdecimal() and str(int(label)) == label for label in np.unique(labels)):
        labels = labels.astype(np.int64)
    split = labelled.divided(decoded.images, labels, parts[decoded.rows])
    return labelled.dataset(file.stem, split, None, test_share, bad_files)


def _note(file: Path, table: pd.DataFrame, image_column: str, split_column: str | None) -> None:
    """Warn of what is allowed and seldom meant."""
    if twice := int(table[image_column].duplicated().sum()):
        log.warning("dataset image_csv: %s lists images again, in %d rows; test and train may share them", file, twice)
    meant = [name for name in table.columns if split_column is None and table[name].str.lower().isin(SPLITS).all()]
    if meant:
        log.warning(
            "dataset image_csv: column %s of %s is not used; dataset.split_column=%s does", meant[0], file, meant[0]
        )


def _table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise checks.DataError(f"dataset image_csv: cannot read {file}: {' '.join(str(error).split())}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise checks.DataError(
            f"dataset image_csv: {file} has no column {', '.join(missing)}, only {', '.join(map(str, table.columns))}; "
            f"set dataset.image_column, dataset.label_column or dataset.split_column"
        )
    empty = (table[list(columns)] == "").any(axis=1).to_numpy()
    if empty.any() or table.empty:
        where = f"an empty cell in line {int(empty.argmax()) + 2}" if empty.any() else "no rows"
        raise checks.DataError(f"dataset image_csv: {file} has {where}, expected an image and a label in each row")
    return table


def _parts(file: Path, column: pd.Series) -> np.ndarray:
    named = column.str.lower().map(SPLITS)
    if named.isna().any():
        raise checks.DataError(
            f"dataset image_csv: {file}: column {column.name} has {column[named.isna()].iloc[0]!r}, expected one of "
            f"{', '.join(SPLITS)}"
        )
    if "train" not in set(named):
        raise checks.DataError(f"dataset image_csv: {file}: column {column.name} names no training images")
    return named.to_numpy(dtype=str)
