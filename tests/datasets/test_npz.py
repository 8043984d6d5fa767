"""Arrays in a file: the usual names, other names, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from sconv import checks
from sconv.datasets import npz

IMAGES = np.arange(30 * 4 * 4, dtype=np.uint32).reshape(30, 4, 4).astype(np.uint8)
LABELS = np.arange(30) % 3


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return str(tmp_path / "data.npz")


def test_train_and_test_by_their_usual_names(tmp_path):
    path = saved(tmp_path, x_train=IMAGES, y_train=LABELS[:, None], x_test=IMAGES[:6], y_test=LABELS[:6])
    found = npz.load(path)
    assert found.input_shape == (4, 4, 1)
    assert found.class_names == ("0", "1", "2")
    assert np.array_equal(found.train.images[..., 0], IMAGES)
    assert np.array_equal(found.train.labels, LABELS)
    assert len(found.test) == 6


def test_other_names_floats_and_a_share_held_out(tmp_path):
    vectors = np.random.default_rng(0).random((30, 5))
    path = saved(tmp_path, inputs=vectors, kinds=np.array(["owl", "cat", "dog"])[LABELS])
    found = npz.load(path, train=["inputs", "kinds"], test_share=0.5)
    assert found.class_names == ("cat", "dog", "owl")
    assert found.train.images.dtype == np.float32
    assert np.bincount(found.test.labels).tolist() == [5, 5, 5]
    rows = [int(np.argmin(np.abs(vectors - row).sum(axis=1))) for row in found.train.images]
    assert [("owl", "cat", "dog")[row % 3] for row in rows] == [found.class_names[y] for y in found.train.labels]


def test_labels_that_do_not_count_from_nothing_become_classes(tmp_path):
    found = npz.load(saved(tmp_path, x_train=IMAGES, y_train=LABELS * 10 + 5))
    assert found.class_names == ("5", "15", "25")
    named = npz.load(saved(tmp_path, x_train=IMAGES, y_train=LABELS), class_names=["a", "b", "c", "d"])
    assert named.classes == 4


@pytest.mark.parametrize(
    ("arrays", "settings", "said"),
    [
        ({"a": IMAGES, "b": LABELS}, {}, "has no array x_train, y_train, only a, b"),
        ({"x_train": IMAGES, "y_train": LABELS}, {"test": ["x_test", "y_test"]}, "has no array x_test, y_test"),
        ({"x_train": IMAGES, "y_train": LABELS[:9]}, {}, "30 inputs and labels of shape"),
        ({"x_train": IMAGES, "y_train": LABELS * 0}, {}, "one class only"),
        ({"x_train": IMAGES, "y_train": LABELS}, {"class_names": ["a", "b"]}, "train has classes .*: 2; expected 0, 1"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
            {},
            "test has classes that are not in train: 3",
        ),
        ({"x_train": IMAGES, "y_train": np.array([None] * 30)}, {}, "cannot read .*allow_pickle"),
    ],
)
def test_arrays_that_will_not_do(tmp_path, arrays, settings, said):
    with pytest.raises(checks.UserError, match=said) as caught:
        npz.load(saved(tmp_path, **arrays), **settings)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.save(tmp_path / "one.npy", IMAGES)
    for name, said in (("absent.npz", "No such file"), ("text.npz", "cannot read"), ("one.npy", "without a name")):
        with pytest.raises(checks.DataError, match=said):
            npz.load(str(tmp_path / name))
    with pytest.raises(checks.SettingTypeError, match=r"^train: got 'x', expected two names"):
        npz.load(saved(tmp_path, x=IMAGES), train="x")
