"""Parts of a dataset: stratified, always the same, one inside the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sconv import checks
from sconv.datasets import Dataset, Split
from sconv.datasets.building.subset import hold_out, select

NAMES = ("cat", "dog", "owl", "7")


def made(counts=(400, 400, 400, 400)):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(labels), dtype=np.float32).reshape(-1, 1)
    test = Split(np.arange(8, dtype=np.float32).reshape(-1, 1), np.arange(8) % 4)
    return Dataset("made", Split(rows, labels), test, NAMES)


def ids(split):
    return set(split.images[:, 0].astype(int).tolist())


def test_nothing_asked_changes_nothing():
    whole = made()
    assert select(whole) is whole


def test_a_smaller_part_is_stratified_and_lies_in_a_larger_one():
    parts = [select(made(), train_size=size).train for size in (4, 10, 100, 101, 1600)]
    for part, size in zip(parts, (4, 10, 100, 101, 1600), strict=True):
        counts = np.bincount(part.labels, minlength=4)
        assert counts.sum() == size
        assert counts.max() - counts.min() <= 1
        assert (part.images[:, 0] // 400 == part.labels).all()  # each image still has its own label
    for smaller, larger in itertools.pairwise(parts):
        assert ids(smaller) < ids(larger)
    again = select(made(), train_size=100).train
    assert np.array_equal(again.images, parts[2].images)


def test_the_examples_of_a_part_are_drawn_at_random():
    rows = np.array(sorted(ids(select(made(), train_size=200).train)))
    assert abs((rows % 400).mean() - 199.5) < 25  # 50 of each 400; the first 50 would have a mean of 24.5


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.floats(0.02, 0.9))
def test_held_out_rows_are_a_partition_in_proportion(counts, share):
    labels = np.repeat(np.arange(len(counts)), counts)
    train, held = hold_out(labels, share)
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    remain = np.bincount(labels[train], minlength=len(counts))
    assert (remain >= 1).all()
    if len(held) == round(share * len(labels)):
        assert (np.abs(remain - (1 - share) * np.array(counts)) < len(counts) + 1).all()


def test_validation_takes_its_share_of_each_class_and_train_size_what_is_left():
    part = select(made((100, 200, 300, 400)), validation=0.1, train_size=90)
    assert np.bincount(part.validation.labels).tolist() == [10, 20, 30, 40]
    assert len(part.train) == 90
    assert not ids(part.train) & ids(part.validation)
    assert part.monitored is part.validation
    assert part.test is not part.validation


def test_classes_by_name_in_the_order_given():
    part = select(made(), classes=["owl", 7, 0])
    assert part.class_names == ("owl", "7", "cat")
    assert {
        (int(row) // 400, int(label)) for row, label in zip(part.train.images[:, 0], part.train.labels, strict=True)
    } == {
        (2, 0),
        (3, 1),
        (0, 2),
    }
    assert part.test.labels.tolist() == [2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("classes", "cat"),
        ("classes", ["cat"]),
        ("classes", ["cat", "cat"]),
        ("classes", ["cat", "cow"]),
        ("classes", [0, 4]),
        ("classes", [0, True]),
        ("train_size", 3),
        ("train_size", 1601),
        ("train_size", "half"),
        ("validation", 0),
        ("validation", 1),
        ("validation", 0.0001),
    ],
)
def test_a_part_that_cannot_be_is_one_line(setting, value):
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=rf"^{setting}: got .*expected ") as caught:
        select(made(), **{setting: value})
    assert "\n" not in str(caught.value)
