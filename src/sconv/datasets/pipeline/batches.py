"""Batches for `fit`: what a step sees is a function of (seed, step)."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sconv.datasets.dataset import Split, Stream
from sconv.datasets.pipeline.autotuning import without_autotuning
from sconv.datasets.pipeline.resizing import Resizing

# Calls at a time, and batches that wait: as many as tf.data thinks right.
AUTOTUNE = tf.data.AUTOTUNE
# (images [batch, ...], labels [batch] or [batch, classes], key [2]) -> images, labels. One with a parameter `epoch`
# also gets the number of the epoch, from 0.
Augmentation = Callable[..., tuple[tf.Tensor, tf.Tensor]]


class TrainingStream:
    """The training batches of one epoch at a time, in an order that depends on (seed, epoch) alone.

    Set `epoch` before an epoch begins. Only indices are shuffled; the images are gathered a batch at a time, as raw
    as they are, and then augmented by a key that depends on (seed, step) alone. A number for `one_hot` makes the
    labels vectors of that many classes. The last batch of an epoch may be smaller. `batches` is what `resize` and
    `share` make of the `whole` ones, `full_size` what `share` alone does.
    """

    def __init__(
        self,
        split: Split | Stream,
        batch_size: int,
        seed: int,
        augment: Augmentation | None = None,
        one_hot: int | None = None,
        share: Callable[[tf.data.Dataset], Any] | None = None,
        resize: Resizing | None = None,
    ):
        self.steps_per_epoch = math.ceil(len(split) / batch_size)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

        def key() -> tf.Tensor:
            return tf.stack([tf.constant(seed, tf.int64), self.epoch.read_value()])

        def whole(*batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = pick(*batch)
            return images, labels if one_hot is None else tf.one_hot(labels, one_hot)

        if isinstance(split, Stream):
            shuffled, pick = _shuffled_stream(split, batch_size, key)
        else:
            shuffled, pick = _shuffled_split(split, batch_size, key)

        def from_batch(first: int) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(first, first + 1)
            # One `map` for all there is to do: each costs tens of microseconds a batch.
            if augment is None:
                # A gather is sooner done than handed to another thread.
                batches = shuffled(numbers).map(whole)
            else:
                numbered = tf.data.Dataset.zip(shuffled(numbers), numbers.flat_map(self._steps))
                batches = numbered.map(_augmented(whole, augment, seed, self.steps_per_epoch), AUTOTUNE)
            return counted(batches, first)

        def counted(batches: tf.data.Dataset, first: int) -> tf.data.Dataset:
            known = batches.apply(tf.data.experimental.assert_cardinality(self.steps_per_epoch - first))
            return without_autotuning(known.prefetch(AUTOTUNE))

        def fed(first: int) -> tf.data.Dataset:
            if resize is None:
                return from_batch(first)
            numbered = tf.data.Dataset.zip(
                from_batch(first), tf.data.Dataset.range(first, first + 1).flat_map(self._steps)
            )
            resized = numbered.map(
                lambda batch, step: (resize(batch[0], step // self.steps_per_epoch), batch[1]), AUTOTUNE
            )
            return counted(resized, first)

        self._fed, self._share = fed, share or (lambda batches: batches)
        self.whole = from_batch(0)
        self.full_size = self._share(self.whole)
        self.batches = self._share(fed(0)) if resize else self.full_size

    def rest(self, first: int) -> Any:
        """The batches of an epoch from its batch `first` on, the same ones; those before are not made."""
        return self._share(self._fed(first))

    def _steps(self, first: tf.Tensor) -> tf.data.Dataset:
        """The numbers of the epoch's steps from its step `first` on, counted from the beginning of training."""
        begin = self.epoch.read_value() * self.steps_per_epoch
        return tf.data.Dataset.range(begin + first, begin + self.steps_per_epoch)


def called_for(augment: Augmentation, epoch: tf.Tensor) -> Augmentation:
    """The augmentation of this epoch, if it asks for one."""
    try:
        wanted = "epoch" in inspect.signature(augment).parameters
    except (TypeError, ValueError):  # of a compiled function, which tells nothing of itself
        return augment
    is_bound = "epoch" in getattr(augment, "keywords", {})
    return functools.partial(augment, epoch=epoch) if wanted and not is_bound else augment


def _augmented(whole: Callable[..., Any], augment: Augmentation, seed: int, steps_per_epoch: int) -> Callable[..., Any]:
    """What makes an augmented batch of what `whole` makes a batch of, and of the step's number."""

    @tf.autograph.experimental.do_not_convert
    def augmented(batch: Any, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Folded, so that step 3 is not augmented with the numbers that shuffled epoch 3.
        folded = tf.random.experimental.stateless_fold_in(tf.stack([tf.constant(seed, tf.int64), step]), 1)
        images, labels = whole(*batch if isinstance(batch, tuple) else (batch,))
        return called_for(augment, step // steps_per_epoch)(images, labels, folded)

    return augmented


def evaluation_batches(split: Split | Stream, batch_size: int, one_hot: int | None = None) -> tf.data.Dataset:
    """The batches of a split in order, for evaluation; a number for `one_hot` makes the labels vectors."""
    if isinstance(split, Stream):
        count = tf.data.experimental.assert_cardinality(math.ceil(len(split) / batch_size))
        batches = _decoded(split.examples(), split, batch_size).apply(count)
    else:
        batches = tf.data.Dataset.from_tensor_slices((split.images, split.labels)).batch(batch_size)
    if one_hot is not None:
        batches = batches.map(lambda images, labels: (images, tf.one_hot(labels, one_hot)))
    return without_autotuning(batches.prefetch(AUTOTUNE))


def first_images(split: Split | Stream, count: int) -> np.ndarray:
    """The first inputs of a split, `count` or as many as there are, as raw as they are."""
    if isinstance(split, Split):
        return split.images[:count]
    return next(iter(_decoded(split.examples(), split, count)))[0].numpy()


def _shuffled_split(
    split: Split, batch_size: int, key: Callable[[], tf.Tensor]
) -> tuple[Callable[[tf.data.Dataset], tf.data.Dataset], Callable[..., Any]]:
    """What makes batches of row numbers of the number of the first one, and images and labels of those."""
    images, labels, count = tf.constant(split.images), tf.constant(split.labels), len(split)

    def order(first: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count), seed=key())
        return tf.data.Dataset.from_tensor_slices(shuffled[first * batch_size :]).batch(batch_size)

    return lambda numbers: numbers.flat_map(order), lambda rows: (tf.gather(images, rows), tf.gather(labels, rows))


def _shuffled_stream(
    stream: Stream, batch_size: int, key: Callable[[], tf.Tensor]
) -> tuple[Callable[[tf.data.Dataset], tf.data.Dataset], Callable[..., Any]]:
    """What makes batches of images and labels of the number of the first one, and what leaves them as they are."""
    buffer = min(stream.shuffle_buffer, stream.count)

    def order(first: tf.Tensor) -> tf.data.Dataset:
        # The graph's own seed in place of the process's: a shuffle is made of two, and compares ours with 0 otherwise.
        tf.compat.v1.set_random_seed(1)
        seed = tf.random.stateless_uniform([], key(), minval=None, maxval=None, dtype=tf.int64)
        shuffled = stream.examples().shuffle(buffer, seed=seed, reshuffle_each_iteration=False)
        return shuffled.skip(first * batch_size)

    return lambda numbers: _decoded(numbers.flat_map(order), stream, batch_size), lambda *batch: batch


def _decoded(examples: tf.data.Dataset, stream: Stream, batch_size: int) -> tf.data.Dataset:
    def decode(raw: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.ensure_shape(stream.decode(raw), stream.shape), tf.cast(label, tf.int64)

    return examples.map(decode, num_parallel_calls=AUTOTUNE).batch(batch_size)
