"""What Keras downloads once and keeps: its arrays, or one line that says which file to put where."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sconv.checks import DataError
from sconv.datasets.dataset import Dataset, Split

Arrays = tuple[np.ndarray, np.ndarray]


def load(
    name: str,
    load_data: Callable[[], tuple[Arrays, Arrays]],
    files: Sequence[str],
    class_names: Sequence[str],
    subfolder: str = "",
) -> Dataset:
    """Make a Dataset of what a `keras.datasets` function returns, uint8 images [count, height, width, channels].

    Raises DataError, which names `files` and their folder, where there is neither a download nor a whole cache.
    """
    try:
        train, test = load_data()
    except Exception as error:  # Keras raises a bare Exception for a failed download
        cause = " ".join(str(error).split()) or type(error).__name__
        whole = "whole" if len(files) == 1 else "each of them whole"
        raise DataError(
            f"dataset {name}: {cause}; put {', '.join(files)}, {whole}, into {home() / 'datasets' / subfolder}"
        ) from error
    return Dataset(name, _split(*train), _split(*test), tuple(class_names))


def home() -> Path:
    """Keras's own folder: KERAS_HOME, by default ~/.keras.

    Source: keras.utils.get_file, which turns to /tmp/.keras without a word where that is not writable.
    """
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return folder if os.access(folder, os.W_OK) else Path("/tmp/.keras")


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    images = images if images.ndim == 4 else images[..., np.newaxis]
    return Split(images, labels.reshape(-1).astype(np.int64))
