"""Private names of Keras around the data of its loops; one test each in `tests/training/test_keras_internals.py`."""

from __future__ import annotations

from typing import Any

from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter
from keras.src.trainers.epoch_iterator import EpochIterator

from sconv.training import keras_internals


def dataset_of(iterator: Any) -> Any:
    """The dataset that is iterated over, as Keras made it of what `fit` was given."""
    return iterator._distributed_dataset


def iterate_over(iterator: Any, dataset: Any) -> None:
    """Have the next epoch, and those after it, iterate over another dataset."""
    iterator._distributed_dataset = dataset


def is_made_by_keras(iterator: Any) -> bool:
    """Whether it is Keras's, over a dataset that it made itself: of arrays, a generator, a PyDataset."""
    return isinstance(iterator, EpochIterator) and not isinstance(iterator.data_adapter, TFDatasetAdapter)


def repeats_itself(iterator: Any) -> bool:
    """Whether an epoch's batches can be had again: those of arrays, in order or in one that a seed decides."""
    adapter = iterator.data_adapter
    ordered = isinstance(adapter, ArrayDataAdapter) and (
        not adapter._shuffle or keras_internals.global_seed() is not None
    )
    return ordered and iterator.steps_per_epoch is None  # else an epoch begins where the last one left off
