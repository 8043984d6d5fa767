"""Progressive resizing: smaller images first, which cost less."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sconv import checks

# (images [batch, height, width, channels], number of the epoch) -> images, whose height and width are not known before
Resizing = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def progressive(shares: Sequence[float], epochs: int) -> Resizing:
    """Shrink images to `shares` of their height and width, one share after another, each for as many of the `epochs`.

    [0.5, 1] halves them in the first half of training. Shares are above 0 and at most 1. Pixels are averaged with the
    weights of a triangle, and keep their type. The model must take images of any size: one that ends in global pooling
    does. Raises SettingError or SettingTypeError. Source: Howard, "Training Imagenet in 3 hours for $25" (fast.ai,
    2018).
    """
    steps = checks.shares("shares", shares, checks.integer("epochs", epochs, at_least=1))
    count = len(steps)

    def resized(images: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        share = tf.constant(steps)[tf.minimum(tf.cast(epoch, tf.int32) * count // epochs, count - 1)]
        return tf.cond(share < 1, lambda: _shrunk(images, share), lambda: images)

    return resized


def shape_of(share: float, shape: Sequence[int]) -> tuple[int, int, int]:
    """What images of this shape (height, width, channels) are shrunk to."""
    height, width = _size(tf.constant(shape[:2]), tf.constant(share, tf.float32)).numpy().tolist()
    return height, width, shape[2]


def _shrunk(images: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    smaller = tf.image.resize(images, _size(tf.shape(images)[1:3], share), antialias=True)
    return tf.saturate_cast(tf.round(smaller) if images.dtype.is_integer else smaller, images.dtype)


def _size(sides: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1, tf.cast(tf.round(tf.cast(sides, tf.float32) * share), tf.int32))
