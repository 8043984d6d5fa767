"""Any dataset of images with labels from TensorFlow Datasets, streamed: nothing but a shuffle buffer is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sconv import checks
from sconv.datasets import labelled
from sconv.datasets.dataset import Dataset, Stream


def load(
    name: str,
    train: str = "train",
    test: str = "test",
    size: Sequence[int] | None = None,
    data_dir: str | None = None,
    shuffle_buffer: int = 10_000,
) -> Dataset:
    """Prepare the dataset `name` (downloaded once into `data_dir`) and stream its splits.

    `train` and `test` are splits as TensorFlow Datasets writes them, such as train[:80%]. Images are uint8, resized to
    `size` [height, width]; None leaves them, where all have one size. Shuffling holds `shuffle_buffer` encoded images.
    Raises DataError or SettingError.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise checks.DataError(f"dataset {name}: TensorFlow Datasets is missing; pip install 'sconv[tfds]'") from error
    buffer = checks.integer("shuffle_buffer", shuffle_buffer, at_least=1)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
        images, labels = (builder.info.features[key] for key in builder.info.supervised_keys)
        streams = {split: _examples(builder, split) for split in (train, test)}
        counts = {split: _count(examples()) for split, examples in streams.items()}
    except Exception as error:  # not found, no network, no such split, not prepared: each has an error of its own
        raise checks.DataError(f"dataset {name}: {_first_line(error)}") from error
    if not isinstance(labels, tfds.features.ClassLabel) or not isinstance(images, tfds.features.Image):
        raise checks.DataError(f"dataset {name}: got {labels} of {images}, expected classes of images")
    shape = _shape(name, images.shape, size)
    decode = _decoder(images, shape)

    def stream(split: str) -> Stream:
        examples = streams[split]
        return Stream(examples, decode, counts[split], shape, lambda: _labels(examples()), buffer)

    return Dataset(name.replace("/", "_"), stream(train), stream(test), tuple(labels.names))


def _examples(builder: Any, split: str) -> Callable[[], Any]:
    """A pass over a split, always in the same order, with the images as they are stored."""
    import tensorflow_datasets as tfds

    decoders = {builder.info.supervised_keys[0]: tfds.decode.SkipDecoding()}
    return lambda: builder.as_dataset(split=split, as_supervised=True, decoders=decoders)


def _count(examples: Any) -> int:
    known = int(examples.cardinality())
    return known if known >= 0 else len(_labels(examples))


def _labels(examples: Any) -> np.ndarray:
    return np.fromiter((label for _, label in examples.as_numpy_iterator()), np.int64)


def _shape(name: str, stored: Sequence[int | None], size: Sequence[int] | None) -> tuple[int, ...]:
    if size is not None:
        height, width = labelled.height_and_width(size)
    elif None in stored[:2]:
        raise checks.SettingError(f"size: got None, but the images of {name} differ in size: set size=[height, width]")
    else:
        height, width = (int(side or 0) for side in stored[:2])
    return height, width, int(stored[2] or 3)


def _decoder(feature: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    import tensorflow as tf

    def decode(raw: tf.Tensor) -> tf.Tensor:
        image = feature.decode_example(raw)
        if tuple(image.shape[:2]) == shape[:2]:
            return image
        resized = tf.image.resize(image, shape[:2], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    return decode


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
