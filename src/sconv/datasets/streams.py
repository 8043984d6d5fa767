"""Batches for `fit`: what a step sees is a function of (seed, step)."""

from __future__ import annotations

import math

import tensorflow as tf

from sconv.datasets.dataset import Split


class TrainingStream:
    """The training batches of one epoch at a time, in an order that depends on (seed, epoch) alone.

    Set `epoch` before an epoch begins. Only indices are shuffled; the images are gathered a batch at a time, as raw
    as they are. The last batch of an epoch may be smaller.
    """

    def __init__(self, split: Split, batch_size: int, seed: int):
        self.steps_per_epoch = math.ceil(len(split) / batch_size)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        images, labels, count = tf.constant(split.images), tf.constant(split.labels), len(split)

        def order(_: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.constant(seed, tf.int64), self.epoch.read_value()])
            shuffled = tf.random.experimental.stateless_shuffle(tf.range(count), seed=key)
            return tf.data.Dataset.from_tensor_slices(shuffled).batch(batch_size)

        def gather(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.gather(images, rows), tf.gather(labels, rows)

        batches = tf.data.Dataset.range(1).flat_map(order).map(gather)
        counted = batches.apply(tf.data.experimental.assert_cardinality(self.steps_per_epoch))
        self.batches = counted.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """The batches of a split in order, for evaluation."""
    return tf.data.Dataset.from_tensor_slices((split.images, split.labels)).batch(batch_size).prefetch(tf.data.AUTOTUNE)
