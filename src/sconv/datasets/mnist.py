"""MNIST, 70,000 handwritten digits, downloaded and cached by Keras."""

from __future__ import annotations

from sconv.datasets.building import keras_downloads
from sconv.datasets.dataset import Dataset


def load() -> Dataset:
    """Load 60,000 train and 10,000 test images: uint8 [count, 28, 28, 1] with int64 labels [count].

    Raises DataError, which names the file and its folder, where there is neither a download nor a whole cache.
    Source: LeCun et al., "Gradient-based learning applied to document recognition" (1998).
    """
    from keras.datasets.mnist import load_data

    return keras_downloads.load("mnist", load_data, ["mnist.npz"], [str(digit) for digit in range(10)])
