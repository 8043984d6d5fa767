"""Any dataset of images with labels from TensorFlow Datasets, streamed: nothing but a shuffle buffer is in memory."""

from __future__ import annotations

import json
import logging
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks
from sconv.datasets.building import from_labels, inside
from sconv.datasets.building.image_decoding import FAULTS
from sconv.datasets.dataset import Dataset, Stream

_WITHOUT = "without a network, prepare it elsewhere (tfds build) and copy its folder into dataset.data_dir"


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
        import tensorflow_datasets  # noqa: F401
    except ImportError as error:
        raise checks.DataError(f"dataset {name}: TensorFlow Datasets is missing; pip install 'sconv[tfds]'") from error
    buffer = checks.integer("shuffle_buffer", shuffle_buffer, at_least=1)
    builder = _prepared(name, data_dir)
    keys = _keys(name, builder.info)
    images, labels = (builder.info.features[key] for key in keys)
    shape = _shape(name, images.shape, size)
    streams = {split: _examples(builder, split, keys) for split in (train, test)}
    try:
        counts = {split: _count(examples()) for split, examples in streams.items()}
    except ValueError as error:
        raise checks.DataError(f"dataset {name}: {_first_line(error)}") from error
    decode = _decoder(images, shape)

    def stream(split: str) -> Stream:
        examples = streams[split]
        return Stream(examples, decode, counts[split], shape, lambda: _labels(examples()), buffer)

    return Dataset(name.replace("/", "_"), stream(train), stream(test), tuple(labels.names))


def _prepared(name: str, data_dir: str | None) -> Any:
    """The builder, its files downloaded; raises DataError."""
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    retries = logging.getLogger("urllib3.connectionpool")  # tells every try of a download: the last error will do
    level = retries.level
    try:
        if data_dir is not None:
            _check_features(Path(data_dir).expanduser())
        builder = tfds.builder(name, data_dir=data_dir)
        retries.setLevel(logging.ERROR)
        builder.download_and_prepare()
        return builder
    except tfds.core.DatasetNotFoundError as error:
        hint = checks.nearest(name, tfds.list_builders())
        raise checks.DataError(f"dataset {name}: TensorFlow Datasets has no such name{hint}") from error
    except FAULTS:
        raise
    except Exception as error:  # no network, a broken download, one to be made by hand: each has an error of its own
        hint = f"; {_WITHOUT}" if isinstance(error, OSError) else ""
        raise checks.DataError(f"dataset {name}: {_first_line(error)}{hint}") from error
    finally:
        retries.setLevel(level)


def _check_features(data_dir: Path) -> None:
    """Refuse features that are none of the library's own: it would import the module that a file of theirs names."""
    for pattern in ("*/features.json", "*/*/features.json", "*/*/*/features.json"):
        for path in data_dir.glob(pattern):
            with inside.opened(path, inside.LARGEST) as file:
                waiting = [json.loads(file.readall())]
            while waiting:
                value = waiting.pop()
                if isinstance(value, dict):
                    named = [value.get(key) for key in ("type", "pythonClassName", "python_class_name")]
                    waiting += value.values()
                    if foreign := [each for each in named if isinstance(each, str) and not _is_theirs(each)]:
                        raise ValueError(f"{path} names {checks.shown(foreign[0])}, which is no feature of the library")
                elif isinstance(value, list):
                    waiting += value


def _is_theirs(name: str) -> bool:
    return name.startswith("tensorflow_datasets.") or "." not in name


def _keys(name: str, info: Any) -> tuple[str, str]:
    """The features to learn from and to learn: those the dataset names, else its only image and its only class."""
    import tensorflow_datasets as tfds

    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    keys = info.supervised_keys
    if keys is None:
        found = [[key for key, feature in info.features.items() if isinstance(feature, kind)] for kind in kinds]
        keys = tuple(of_kind[0] for of_kind in found if len(of_kind) == 1)
    if len(keys) != 2 or not all(isinstance(info.features[key], kind) for key, kind in zip(keys, kinds, strict=True)):
        features = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in info.features.items())
        raise checks.DataError(f"dataset {name}: got the features {features}, expected an image and its class")
    return keys


def _examples(builder: Any, split: str, keys: tuple[str, str]) -> Callable[[], Any]:
    """A pass over a split, always in the same order, with the images as they are stored."""
    import tensorflow_datasets as tfds

    image, label = keys
    wanted = tfds.decode.PartialDecoding({image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()})
    return lambda: builder.as_dataset(split=split, decoders=wanted).map(lambda found: (found[image], found[label]))


def _count(examples: Any) -> int:
    known = int(examples.cardinality())
    return known if known >= 0 else len(_labels(examples))


def _labels(examples: Any) -> np.ndarray:
    return np.fromiter((label for _, label in examples.as_numpy_iterator()), np.int64)


def _shape(name: str, stored: Sequence[int | None], size: Sequence[int] | None) -> tuple[int, ...]:
    if size is not None:
        height, width = from_labels.height_and_width(size)
    elif None in stored[:2]:
        raise checks.SettingError(f"size: got None, but the images of {name} differ in size: set size=[height, width]")
    else:
        height, width = (int(side or 0) for side in stored[:2])
    return height, width, int(stored[2] or 3)


def _decoder(feature: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert  # of what the library decorates there is no source
    def decode(raw: tf.Tensor) -> tf.Tensor:
        image = feature.decode_example(raw)
        if tuple(image.shape[:2]) == shape[:2]:
            return image
        resized = tf.image.resize(image, shape[:2], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    return decode


def _first_line(error: Exception) -> str:
    return textwrap.shorten(str(error).strip().partition("\n")[0], 200) or type(error).__name__
