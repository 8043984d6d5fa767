"""Made-up images: seeded, of any shape, learnable, and strict about their settings."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from sconv import checks
from sconv.datasets import synthetic


def same(one, other):
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


def test_defaults():
    data = synthetic.load()
    assert data.name == "synthetic"
    assert data.class_names == tuple("0123456789")
    assert data.train.images.shape == (1000, 28, 28, 1)
    assert data.test.images.shape == (200, 28, 28, 1)


@pytest.mark.parametrize("shape", [(5,), (6, 4), (8, 6, 3), [8, 8, 1], (3, 4, 5, 2)], ids=str)
def test_any_shape(shape):
    data = synthetic.load(shape=shape, classes=3, train_size=30, test_size=7)
    assert data.input_shape == tuple(shape)
    assert data.classes == 3
    for split, count in ((data.train, 30), (data.test, 7)):
        assert split.images.shape == (count, *shape)
        assert split.images.dtype == np.uint8
        assert split.labels.shape == (count,)
        assert split.labels.dtype == np.int64


def test_classes_differ_in_count_by_one_at_most():
    data = synthetic.load(shape=(2,), classes=3, train_size=31, test_size=9)
    assert np.bincount(data.train.labels).tolist() == [11, 10, 10]
    assert np.bincount(data.test.labels).tolist() == [3, 3, 3]


def test_a_seed_repeats_and_another_differs():
    zero, again, one = (synthetic.load(shape=(4, 4, 1), train_size=20, test_size=10, seed=seed) for seed in (0, 0, 1))
    assert same(zero.train, again.train)
    assert same(zero.test, again.test)
    assert not np.array_equal(zero.train.images, one.train.images)
    assert not np.array_equal(zero.test.images, one.test.images)


def test_the_bytes_are_the_recorded_ones():
    # NumPy promises the stream of PCG64, not that of its distributions: a change here is worth knowing about.
    data = synthetic.load(shape=(4,), classes=2, train_size=2, test_size=2)
    assert data.train.images.tolist() == [[252, 0, 0, 10], [32, 0, 0, 195]]


def test_a_smaller_split_is_the_start_of_a_larger_one():
    small = synthetic.load(shape=(4, 4), train_size=20, test_size=10)
    large = synthetic.load(shape=(4, 4), train_size=50, test_size=10)
    assert np.array_equal(large.train.images[:20], small.train.images)
    assert same(large.test, small.test)


def test_train_and_test_noise_differ():
    data = synthetic.load(shape=(8, 8), train_size=100, test_size=100)
    assert not (data.train.images == data.test.images).all(axis=(1, 2)).any()


def test_without_noise_a_class_is_one_image():
    data = synthetic.load(shape=(8, 8), classes=4, train_size=8, test_size=4, noise=0)
    assert np.array_equal(data.train.images[:4], data.train.images[4:])
    assert np.array_equal(data.train.images[:4], data.test.images)
    assert len(np.unique(data.test.images, axis=0)) == 4


def test_noise_is_a_share_of_the_full_range():
    # Mid-grey pixels stay clear of both ends at this noise, so that clipping does not narrow the spread.
    quiet, noisy = (synthetic.load(shape=(50, 50), classes=2, train_size=40, noise=noise) for noise in (0, 0.05))
    middle = (quiet.train.images > 90) & (quiet.train.images < 165)
    difference = noisy.train.images.astype(float) - quiet.train.images
    assert difference[middle].std() == pytest.approx(0.05 * 255, rel=0.02)
    assert difference[middle].mean() == pytest.approx(0, abs=0.2)


def test_the_nearest_class_mean_solves_it():
    data = synthetic.load()
    train = data.train.images.reshape(1000, -1).astype(float)
    means = np.stack([train[data.train.labels == label].mean(axis=0) for label in range(10)])
    distances = ((data.test.images.reshape(200, 1, -1) - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == data.test.labels).all()


BAD = {
    "shape": [28, "28", [], [28, 0], [28, 1.5]],
    "classes": [1, True],
    "train_size": [9, "many"],
    "test_size": [9, 10.5],
    "noise": [-0.1, float("inf")],
    "seed": [-1, None],
}


@pytest.mark.parametrize(("setting", "value"), [(setting, value) for setting in BAD for value in BAD[setting]])
def test_a_bad_value_is_one_line_that_names_the_setting(setting, value):
    with pytest.raises(checks.UserError, match=rf"^{setting}.*: got .*, expected .*$") as caught:
        synthetic.load(**{setting: value})
    assert "\n" not in str(caught.value)


def test_every_setting_is_in_the_table_of_bad_values():
    assert set(BAD) == set(inspect.signature(synthetic.load).parameters)
