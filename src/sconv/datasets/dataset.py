"""What a dataset is to the rest of the program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sconv import checks


@dataclass(frozen=True)
class Split:
    """Raw inputs [count, ...] (uint8 or float32) and integer labels [count] of one split."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Dataset:
    """Named train and test splits; labels are indices into `class_names`, inputs are not normalised."""

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis: (height, width, channels) for images."""
        return tuple(self.train.images.shape[1:])


def updates(name: str, train_size: int, epochs: Any, batch_size: Any) -> int:
    """Optimizer updates of a run over `train_size` examples of dataset `name`; an epoch's last batch may be smaller.

    Raises SettingError or SettingTypeError about epochs or batch_size.
    """
    times = checks.integer("epochs", epochs, at_least=1)
    size = checks.integer("batch_size", batch_size, at_least=1)
    if size > train_size:
        raise checks.SettingError(
            f"batch_size: got {batch_size}, expected at most the {train_size} training examples of {name}"
        )
    return times * math.ceil(train_size / size)
