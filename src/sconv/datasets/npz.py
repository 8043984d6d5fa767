"""Arrays in a NumPy .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from sconv import checks
from sconv.datasets.building import from_labels, inside
from sconv.datasets.dataset import Dataset

# Of an array that is packed more densely than data are.
LARGEST_PACKED, MOST_PACKED = 1 << 32, 100
TRAIN, TEST = ("x_train", "y_train"), ("x_test", "y_test")


def load(
    path: str,
    train: Sequence[str] = TRAIN,
    test: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    test_share: float = 0.2,
) -> Dataset:
    """Load the arrays that `train` and `test` name: (inputs, labels) each.

    Inputs are [count, ...]; images without a channel axis get one, other numbers than uint8 become float32. Labels are
    [count] or [count, 1], numbers or names. Without names for `test` it is x_test and y_test where the file has them,
    else `test_share` of the training examples, stratified. Raises DataError or SettingError.
    """
    file = Path(path).expanduser()
    try:
        with inside.opened(file) as opened:
            arrays = np.load(opened, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise checks.DataError(f"dataset npz: {file} holds one array without a name, expected an .npz file")
            _check_sizes(arrays.zip)
            pairs = _pairs(file, arrays.files, train, test)
            splits = {part: (_inputs(arrays[inputs]), arrays[labels]) for part, (inputs, labels) in pairs.items()}
    except (checks.UserError, AttributeError, NameError):  # the last two are faults of this code, and of no file
        raise
    except Exception as error:  # a damaged archive, or one that memory does not hold, raises of a dozen kinds
        raise checks.DataError(f"dataset npz: cannot read {file}: {' '.join(str(error).split())}") from error
    for part, (inputs, labels) in splits.items():
        if len(inputs) != np.size(labels):
            raise checks.DataError(
                f"dataset npz: {file}: {part} has {len(inputs)} inputs and labels of shape {np.shape(labels)}, "
                f"expected one label an input"
            )
    return from_labels.dataset("npz", splits, class_names, test_share)


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse a small file of huge arrays before anything of it is in memory."""
    for member in archive.infolist():
        if member.file_size > max(LARGEST_PACKED, MOST_PACKED * member.compress_size):
            raise ValueError(f"{member.filename} of {member.file_size:,} bytes is packed into {member.compress_size:,}")


def _pairs(
    file: Path, present: Collection[str], train: Sequence[str], test: Sequence[str] | None
) -> dict[str, tuple[str, str]]:
    if test is None and set(TEST) <= set(present):
        test = TEST
    pairs = {}
    for part, names in [("train", train)] if test is None else [("train", train), ("test", test)]:
        inputs, labels = checks.listed(part, names, f"two names, such as [x_{part}, y_{part}]", (2, 2))
        pairs[part] = (str(inputs), str(labels))
    missing = [name for pair in pairs.values() for name in pair if name not in present]
    if missing:
        raise checks.DataError(
            f"dataset npz: {file} has no array {', '.join(missing)}, only {', '.join(present)}; "
            f"set dataset.train and dataset.test to [inputs, labels]"
        )
    return pairs


def _inputs(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "buif":
        raise ValueError(f"inputs of {array.dtype}, expected numbers")
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    return array[..., np.newaxis] if array.ndim == 3 else array
