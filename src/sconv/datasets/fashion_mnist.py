"""Fashion-MNIST, 70,000 images of clothes, downloaded and cached by Keras."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sconv import checks
from sconv.datasets.dataset import Dataset, Split

TRAIN_SIZE = 60_000
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(train_size: int = 60_000) -> Dataset:
    """Load the first `train_size` of 60,000 train images, and 10,000 test images, downloaded once.

    Images are uint8 [count, 28, 28, 1], labels int64 [count].
    Raises DataError, which names the four files and their folder, where there is neither a download nor a whole cache.
    Source: Xiao et al., "Fashion-MNIST" (arXiv 1708.07747).
    """
    size = checks.integer("train_size", train_size, at_least=1)
    if size > TRAIN_SIZE:
        raise checks.SettingError(f"train_size: got {train_size}, expected at most {TRAIN_SIZE}")
    import keras

    try:
        train, test = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception for a failed download
        cause = " ".join(str(error).split()) or type(error).__name__
        raise checks.DataError(
            f"dataset fashion_mnist: {cause}; put {', '.join(FILES)}, each of them whole, into {folder()}"
        ) from error
    return Dataset(name="fashion_mnist", train=_split(train, size), test=_split(test, None), class_names=CLASS_NAMES)


def folder() -> Path:
    """Folder in which Keras looks for the four files: under KERAS_HOME, by default ~/.keras.

    Source: keras.utils.get_file, which turns to /tmp/.keras without a word where that is not writable.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):
        home = Path("/tmp/.keras")
    return home / "datasets" / "fashion-mnist"


def _split(arrays: tuple[np.ndarray, np.ndarray], size: int | None) -> Split:
    images, labels = arrays
    return Split(images[:size, ..., np.newaxis], labels[:size].astype(np.int64))
