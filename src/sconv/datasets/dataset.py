"""What a dataset is to the rest of the program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv import checks

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Split:
    """Raw inputs [count, ...] (uint8 or float32) and integer labels [count] of one split, in memory."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.images.shape[1:])

    def take(self, rows: np.ndarray, labels: np.ndarray) -> Split:
        """The examples at `rows`, in that order, with new labels."""
        return Split(self.images[rows], labels)


@dataclass(frozen=True)
class Stream:
    """A split that is read while it is used, because it does not fit into memory.

    `examples` begins a pass over `count` pairs (raw, label) in an order that never changes; `decode` makes an input of
    `shape`, uint8 or float32, out of one raw. `read_labels` gives all labels [count] in that order; it is only called
    where a part is asked for. Shuffling holds `shuffle_buffer` raws, as small as they are stored.
    """

    examples: Callable[[], tf.data.Dataset]
    decode: Callable[[Any], tf.Tensor]
    count: int
    shape: tuple[int, ...]
    read_labels: Callable[[], np.ndarray]
    shuffle_buffer: int = 10_000

    def __len__(self) -> int:
        return self.count

    @cached_property
    def labels(self) -> np.ndarray:
        """All labels [count], which takes a pass over the data."""
        return self.read_labels()

    def take(self, rows: np.ndarray, labels: np.ndarray) -> Stream:
        """The examples at `rows`, which ascend, with new labels; the others are passed over undecoded."""
        import tensorflow as tf

        kept, renamed = np.zeros(self.count, bool), np.zeros(self.count, np.int64)
        kept[rows], renamed[rows] = True, labels

        def examples() -> tf.data.Dataset:
            numbered = self.examples().enumerate().filter(lambda row, _: tf.gather(kept, row))
            return numbered.map(lambda row, example: (example[0], tf.gather(renamed, row)))

        return replace(self, examples=examples, count=len(rows), read_labels=lambda: labels)


@dataclass(frozen=True)
class Dataset:
    """Named splits; labels are indices into `class_names`, inputs are not normalised."""

    name: str
    train: Split | Stream
    test: Split | Stream
    class_names: tuple[str, ...]
    validation: Split | Stream | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis: (height, width, channels) for images."""
        return self.train.shape

    @property
    def monitored(self) -> Split | Stream:
        """What is evaluated after each epoch: the validation split where there is one, else the test split."""
        return self.test if self.validation is None else self.validation


# Their table of values takes 2 GB; a thousand updates a second would take a day.
MOST_UPDATES = 10**8


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
    total = times * math.ceil(train_size / size)
    if total > MOST_UPDATES:
        raise checks.SettingError(f"epochs: got {epochs}, which makes {total} updates, expected at most {MOST_UPDATES}")
    return total
