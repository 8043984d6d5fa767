"""Fashion-MNIST, 70,000 images of clothes, downloaded and cached by Keras."""

from __future__ import annotations

from sconv.datasets.building import keras_downloads
from sconv.datasets.dataset import Dataset

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


def load() -> Dataset:
    """Load 60,000 train and 10,000 test images: uint8 [count, 28, 28, 1] with int64 labels [count].

    Raises DataError, which names the four files and their folder, where there is neither a download nor a whole cache.
    Source: Xiao et al., "Fashion-MNIST" (arXiv 1708.07747).
    """
    from keras.datasets.fashion_mnist import load_data

    return keras_downloads.load("fashion_mnist", load_data, FILES, CLASS_NAMES, subfolder="fashion-mnist")
