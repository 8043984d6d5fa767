"""What a dataset is to the rest of the program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
