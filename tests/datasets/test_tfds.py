"""TensorFlow Datasets, offline: a dataset of our own prepared on disk, and the mock data of the library."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest

from sconv import checks
from sconv.datasets import Stream
from sconv.datasets.building.subset import select
from sconv.datasets.pipeline.batches import TrainingStream, evaluation_batches

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tfds_library = pytest.importorskip("tensorflow_datasets", reason="no TensorFlow Datasets: sconv[tfds]")
if not hasattr(tfds_library, "core"):  # its import failed half way
    pytest.skip("TensorFlow Datasets does not fit this TensorFlow's protobuf", allow_module_level=True)
from sconv.datasets import tfds

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # slow: in CI, where the library is
COUNT = 40


class ShadesOfGrey(tfds_library.core.GeneratorBasedBuilder):
    """Forty plain images, each of its own height; the shade is the number, the label its parity."""

    VERSION = tfds_library.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = {
            "image": tfds_library.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds_library.features.ClassLabel(names=["even", "odd"]),
        }
        return tfds_library.core.DatasetInfo(
            builder=self, features=tfds_library.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(COUNT):
            yield number, {"image": np.full((5 + number % 3, 6, 3), number, np.uint8), "label": number % 2}


class Unsupervised(ShadesOfGrey):
    """The same without a word on what is to be learned from what."""

    VERSION = tfds_library.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = super()._info().features
        return tfds_library.core.DatasetInfo(builder=self, features=features)


class Unlabelled(ShadesOfGrey):
    """Images alone."""

    VERSION = tfds_library.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = tfds_library.features.FeaturesDict({"image": super()._info().features["image"]})
        return tfds_library.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self):
        yield 0, {"image": np.zeros((5, 6, 3), np.uint8)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    logging.getLogger("absl").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for builder in (ShadesOfGrey, Unsupervised, Unlabelled):
            builder(data_dir=str(folder)).download_and_prepare()
    return str(folder)


def load(data_dir, **settings):
    wanted = {"train": "train[:80%]", "test": "train[80%:]", "size": [4, 4], **settings}
    return tfds.load("shades_of_grey", data_dir=data_dir, **wanted)


def shades(split):
    return [int(shade) for images, _ in evaluation_batches(split, 7) for shade in images.numpy()[:, 0, 0, 0]]


def test_splits_are_streamed_with_their_labels(data_dir):
    found = load(data_dir)
    assert isinstance(found.train, Stream)
    assert found.class_names == ("even", "odd")
    assert found.input_shape == (4, 4, 3)
    assert (len(found.train), len(found.test)) == (32, 8)
    assert sorted(shades(found.train) + shades(found.test)) == list(range(COUNT))
    for images, labels in evaluation_batches(found.train, 7):
        assert images.dtype == "uint8"
        assert images.shape[1:] == (4, 4, 3)
        assert np.array_equal(images[:, 0, 0, 0].numpy() % 2, labels)
    assert np.array_equal(np.array(shades(found.test)) % 2, found.test.labels)


def test_training_batches_repeat_by_seed_and_epoch(data_dir):
    def epoch(number, seed=0):
        stream = TrainingStream(load(data_dir, shuffle_buffer=10).train, 8, seed)
        stream.epoch.assign(number)
        return [int(shade) for images, _ in stream.batches for shade in images.numpy()[:, 0, 0, 0]]

    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)
    assert sorted(epoch(0)) == sorted(epoch(1)) == sorted(shades(load(data_dir).train))


def test_a_part_of_a_stream(data_dir):
    part = select(load(data_dir), train_size=10, validation=0.25)
    assert np.bincount(part.train.labels).tolist() == [5, 5]
    assert len(shades(part.train)) == 10
    assert len(shades(part.monitored)) == 8
    assert not set(shades(part.train)) & set(shades(part.monitored))


def test_the_mock_data_of_the_library(tmp_path):
    with tfds_library.testing.mock_data(num_examples=20):
        found = tfds.load("mnist", data_dir=str(tmp_path))
        assert found.input_shape == (28, 28, 1)
        assert found.classes == 10
        assert len(shades(found.train)) == len(found.train) == 20
        cats = tfds.load("cats_vs_dogs", "train[:80%]", "train[80%:]", [16, 12], str(tmp_path))
        assert cats.class_names == ("cat", "dog")
        ((images, _), *_) = evaluation_batches(cats.test, 4)
        assert images.shape == (4, 16, 12, 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": None}, "size: got None, but the images of shades_of_grey differ in size"),
        ({"size": [4]}, "size"),
        ({"test": "test"}, "dataset shades_of_grey: .*test"),
        ({"shuffle_buffer": 0}, "shuffle_buffer: got 0"),
    ],
)
def test_what_cannot_be_is_one_line(data_dir, settings, said):
    with pytest.raises(checks.UserError, match=said) as caught:
        load(data_dir, **settings)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(checks.DataError, match=r"^dataset cifra10: .*no such name; did you mean cifar10\?$"):
        tfds.load("cifra10", data_dir=str(tmp_path))


def test_the_only_image_and_the_only_class_where_no_two_are_named(data_dir):
    settings = {"data_dir": data_dir, "train": "train[:30]", "test": "train[30:]", "size": [5, 6]}
    found, named = tfds.load("unsupervised", **settings), tfds.load("shades_of_grey", **settings)
    for one, other in zip(found.train.examples(), named.train.examples(), strict=True):
        assert np.array_equal(found.train.decode(one[0]), named.train.decode(other[0]))
    assert np.array_equal(found.train.labels, named.train.labels)
    with pytest.raises(checks.DataError, match=r"got the features image \(Image\), expected an image and its class"):
        tfds.load("unlabelled", **settings)


@pytest.mark.parametrize("fault", [AttributeError("typo"), OSError("no route"), AssertionError("by hand")], ids=repr)
def test_what_stops_a_download(tmp_path, monkeypatch, fault):
    def stop(*_, **__):
        raise fault

    monkeypatch.setattr(tfds_library, "builder", stop)
    with pytest.raises((checks.DataError, AttributeError)) as caught:
        tfds.load("mnist", data_dir=str(tmp_path))
    assert isinstance(caught.value, checks.DataError) is not isinstance(fault, AttributeError)
    assert str(fault) in str(caught.value)
    assert ("dataset.data_dir" in str(caught.value)) is isinstance(fault, OSError)
