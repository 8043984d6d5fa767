"""Training batches: every epoch all examples once, in an order that (seed, epoch) alone decide."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from sconv.datasets.dataset import Split
from sconv.datasets.streams import TrainingStream, evaluation_batches

COUNT, BATCH = 103, 10
# Each image shows its own number, so that a batch tells which examples it holds.
NUMBERS = np.arange(COUNT)
IMAGES = np.broadcast_to(NUMBERS[:, None, None, None], (COUNT, 4, 3, 1)).astype(np.uint8)
SPLIT = Split(IMAGES, (NUMBERS * 7 % 10).astype(np.int64))


def batches(stream, epoch):
    stream.epoch.assign(epoch)
    return [(images.numpy(), labels.numpy()) for images, labels in stream.batches]


def order(stream, epoch):
    return np.concatenate([images[:, 0, 0, 0] for images, _ in batches(stream, epoch)]).tolist()


@pytest.fixture(scope="module")
def stream():
    return TrainingStream(SPLIT, BATCH, seed=0)


def test_each_epoch_has_every_example_once(stream):
    for epoch in range(3):
        assert sorted(order(stream, epoch)) == NUMBERS.tolist()


def test_each_epoch_has_an_order_of_its_own(stream):
    seen = [order(stream, epoch) for epoch in range(5)]
    assert len({tuple(one) for one in [NUMBERS.tolist(), *seen]}) == 6
    # Shuffled through and through: of 103 examples one is expected to stay where it was.
    for one, other in itertools.pairwise(seen):
        assert np.sum(np.equal(one, other)) < 10


def test_order_is_a_function_of_seed_and_epoch(stream):
    forward = [order(stream, epoch) for epoch in range(4)]
    fresh = TrainingStream(SPLIT, BATCH, seed=0)
    tf.random.set_seed(99)
    assert [order(fresh, epoch) for epoch in (3, 0, 2, 1)] == [forward[epoch] for epoch in (3, 0, 2, 1)]
    assert order(stream, 2) == forward[2]


def test_batch_size_does_not_change_the_order(stream):
    assert order(TrainingStream(SPLIT, 17, seed=0), 1) == order(stream, 1)


def test_seeds_differ(stream):
    orders = {tuple(order(TrainingStream(SPLIT, BATCH, seed), 0)) for seed in (0, 1, 2, 2**31)}
    assert len(orders) == 4
    assert order(TrainingStream(SPLIT, BATCH, 1), 0) != order(stream, 1)


def test_last_batch_is_smaller(stream):
    sizes = [len(images) for images, _ in batches(stream, 0)]
    assert sizes == [10] * 10 + [3]
    assert stream.steps_per_epoch == 11
    assert int(stream.batches.cardinality()) == 11


def test_full_batches_where_they_divide():
    assert TrainingStream(Split(IMAGES[:100], SPLIT.labels[:100]), 20, 0).steps_per_epoch == 5


def test_images_stay_raw_and_with_their_labels(stream):
    for images, labels in batches(stream, 1):
        assert images.dtype == np.uint8
        rows = images[:, 0, 0, 0]
        assert np.array_equal(images, IMAGES[rows])
        assert np.array_equal(labels, SPLIT.labels[rows])


def test_evaluation_keeps_the_order():
    pairs = [(images.numpy(), labels.numpy()) for images, labels in evaluation_batches(SPLIT, 25)]
    assert [len(images) for images, _ in pairs] == [25, 25, 25, 25, 3]
    assert np.array_equal(np.concatenate([images for images, _ in pairs]), IMAGES)
    assert np.array_equal(np.concatenate([labels for _, labels in pairs]), SPLIT.labels)
