"""CIFAR-10, 60,000 colour photographs of ten classes, downloaded and cached by Keras."""

from __future__ import annotations

from sconv.datasets.building import keras_downloads
from sconv.datasets.dataset import Dataset

FILE = "cifar-10-batches-py-target_archive (which is cifar-10-python.tar.gz, renamed)"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load() -> Dataset:
    """Load 50,000 train and 10,000 test images: uint8 [count, 32, 32, 3] with int64 labels [count].

    Raises DataError, which names the file and its folder, where there is neither a download nor a whole cache.
    Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    from keras.datasets.cifar10 import load_data

    return keras_downloads.load("cifar10", load_data, [FILE], CLASS_NAMES)
