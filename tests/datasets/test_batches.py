"""The batches a step sees: a function of (seed, step), from memory and from a stream."""

from __future__ import annotations

import functools
import inspect
import operator

import keras
import numpy as np
import pytest
import tensorflow as tf

from sconv.datasets import Dataset, Split, Stream
from sconv.datasets.building.subset import select
from sconv.datasets.pipeline.batches import TrainingStream, called_for, evaluation_batches

COUNT, BATCH = 50, 16
LABELS = np.arange(COUNT) % 3


def in_memory():
    return Split(np.arange(COUNT, dtype=np.uint8).reshape(-1, 1), LABELS)


def streamed():
    return Stream(
        examples=lambda: tf.data.Dataset.from_tensor_slices((np.arange(COUNT), LABELS)),
        decode=lambda raw: tf.cast(tf.reshape(raw, [1]), tf.uint8),
        count=COUNT,
        shape=(1,),
        read_labels=lambda: LABELS,
        shuffle_buffer=20,
    )


BOTH = pytest.mark.parametrize("make", [in_memory, streamed])


def epoch(stream, number):
    stream.epoch.assign(number)
    return [(images.numpy(), labels.numpy()) for images, labels in stream.batches]


def rows(batches):
    return [int(row) for images, _ in batches for row in images[:, 0]]


@BOTH
def test_an_epoch_has_every_example_once_with_its_own_label(make):
    stream = TrainingStream(make(), BATCH, seed=0)
    batches = epoch(stream, 0)
    assert stream.steps_per_epoch == len(batches) == int(stream.batches.cardinality()) == 4
    assert sorted(rows(batches)) == list(range(COUNT))
    for images, labels in batches:
        assert np.array_equal(images[:, 0] % 3, labels)


@BOTH
@pytest.mark.parametrize("process_seed", [0, 5])
def test_the_order_depends_on_seed_and_epoch_alone(make, process_seed):
    keras.utils.set_random_seed(process_seed)
    first = [rows(epoch(TrainingStream(make(), BATCH, seed=0), number)) for number in (0, 1)]
    keras.utils.set_random_seed(17)
    stream = TrainingStream(make(), BATCH, seed=0)
    again = [rows(epoch(stream, number)) for number in (1, 0)]
    assert first == again[::-1]
    assert first[0] != first[1] != list(range(COUNT))
    assert rows(epoch(TrainingStream(make(), BATCH, seed=1), 0)) != first[0]


@BOTH
def test_augmentation_gets_a_key_of_its_own_for_each_step(make):
    def remember(images, labels, key):
        return tf.random.stateless_uniform([2], key), labels

    def keys(seed, numbers):
        stream = TrainingStream(make(), BATCH, seed, remember)
        return {number: [images for images, _ in epoch(stream, number)] for number in numbers}

    first = keys(0, (0, 1, 2))
    assert len({float(key[0]) for batches in first.values() for key in batches}) == 12
    assert np.array_equal(keys(0, (2,))[2], first[2])
    assert not np.array_equal(keys(1, (2,))[2], first[2])


@BOTH
def test_augmentation_that_asks_for_the_epoch_gets_it(make):
    def remember(images, labels, key, epoch):
        return tf.fill(tf.shape(labels), epoch), labels

    stream = TrainingStream(make(), BATCH, 0, remember)
    for number in (0, 2, 1):
        seen = [images for images, _ in (*epoch(stream, number), *stream.rest(2))]
        assert len(seen) == 4 + 2
        assert {int(value) for images in seen for value in images} == {number}


def test_an_epoch_is_given_to_those_alone_that_ask_for_it():
    def augment(images, labels, key, epoch=7):
        return images, labels + epoch

    def asked(images, labels, *rest, **more):
        return images, labels + len(rest) + 10 * len(more)

    cases = [(augment, 3), (functools.partial(augment, epoch=5), 5), (asked, 1)]
    for function, expected in cases:
        assert called_for(function, 3)(0, 0, "key") == (0, expected)
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(operator.itemgetter(1))
    assert called_for(operator.itemgetter(1), 3)([5, 6]) == 6


@BOTH
@pytest.mark.parametrize("augmented", [False, True])
def test_the_rest_of_an_epoch_is_its_own_batches(make, augmented):
    def remember(images, labels, key):
        return tf.concat([tf.cast(images, tf.float32), tf.random.stateless_uniform(tf.shape(images), key)], 1), labels

    stream = TrainingStream(make(), BATCH, 0, remember if augmented else None)
    whole = epoch(stream, 1)
    for first in range(4):
        rest = [(images.numpy(), labels.numpy()) for images, labels in stream.rest(first)]
        assert len(rest) == int(stream.rest(first).cardinality()) == 4 - first
        for ours, theirs in zip(rest, whole[first:], strict=True):
            assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


@BOTH
def test_labels_as_vectors_where_they_are_wanted(make):
    ((_, labels), *_) = epoch(TrainingStream(make(), BATCH, 0, one_hot=3), 0)
    assert labels.shape == (BATCH, 3)
    assert labels.sum(axis=1).tolist() == [1] * BATCH
    for images, vectors in evaluation_batches(make(), BATCH, one_hot=3):
        assert np.array_equal(np.argmax(vectors, axis=1), images[:, 0].numpy() % 3)


@BOTH
def test_evaluation_is_in_order(make):
    batches = evaluation_batches(make(), BATCH)
    assert int(batches.cardinality()) == 4
    assert rows((images.numpy(), labels) for images, labels in batches) == list(range(COUNT))


@BOTH
def test_parts_of_either_are_the_same(make):
    whole = Dataset("made", make(), make(), ("a", "b", "c"))
    part = select(whole, classes=["c", "a"], validation=0.2, train_size=10)
    expected = select(Dataset("made", in_memory(), in_memory(), ("a", "b", "c")), ["c", "a"], 10, 0.2)
    for name in ("train", "validation", "test"):
        split, reference = getattr(part, name), getattr(expected, name)
        images, labels = zip(*[(i.numpy(), y.numpy()) for i, y in evaluation_batches(split, 7)], strict=True)
        assert len(split) == len(reference)
        assert np.array_equal(np.concatenate(images), reference.images)
        assert np.array_equal(np.concatenate(labels), reference.labels)
        assert np.array_equal(split.labels, reference.labels)
