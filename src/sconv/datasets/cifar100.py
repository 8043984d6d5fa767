"""CIFAR-100, 60,000 colour photographs of a hundred classes, downloaded and cached by Keras."""

from __future__ import annotations

from sconv.datasets.building import keras_downloads
from sconv.datasets.dataset import Dataset

FILE = "cifar-100-python-target_archive (which is cifar-100-python.tar.gz, renamed)"
# In the order of their labels, which is that of the alphabet.
CLASS_NAMES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905
)


def load() -> Dataset:
    """Load 50,000 train and 10,000 test images: uint8 [count, 32, 32, 3] with int64 labels [count].

    Raises DataError, which names the file and its folder, where there is neither a download nor a whole cache.
    Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    from keras.datasets.cifar100 import load_data

    return keras_downloads.load("cifar100", load_data, [FILE], CLASS_NAMES)
