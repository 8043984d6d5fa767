"""Augmentation of training batches: the same for the same key, a whole batch at a time.

Each function here returns one: (images [batch, height, width, channels], labels, key [2]) -> (images, labels). The key
is a function of (seed, step); those that take an `epoch` get its number. Images keep their range, and their type where
nothing is mixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.datasets.pipeline.batches import Augmentation, called_for


def none() -> Augmentation:
    """Leave images and labels as they are."""
    return lambda images, labels, key: (images, labels)


def chain(steps: Sequence[Augmentation]) -> Augmentation:
    """Do one after the other, each with random numbers of its own."""

    def augment(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, epoch: Any = 0) -> tuple[tf.Tensor, tf.Tensor]:
        for number, step in enumerate(steps):
            own = tf.random.experimental.stateless_fold_in(key, number)
            images, labels = called_for(step, epoch)(images, labels, own)
        return images, labels

    return augment


def flip(alternating: bool = False) -> Augmentation:
    """Mirror every second image, left to right.

    By chance; or, `alternating`, each image in every second epoch, half of them in the first, so that no image is seen
    the same way twice in a row. Source of that: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv
    2404.00498), section 3.6. It knows an image by its pixels: in a chain it comes before what changes them.
    """
    return _moved(0, checks.boolean("alternating", alternating))


def standard(padding: int = 4, alternating: bool = False) -> Augmentation:
    """Pad by reflection on all sides, crop back to size at a random place, mirror every second image.

    `padding` is in pixels; `alternating` as of `flip`. Source: He et al., "Deep residual learning for image
    recognition" (arXiv 1512.03385), section 4.2, with reflection in place of zeros as in Zagoruyko and Komodakis (arXiv
    1605.07146).
    """
    return _moved(checks.integer("padding", padding, at_least=1), checks.boolean("alternating", alternating))


def standard_cutout(padding: int = 4, size: int = 8) -> Augmentation:
    """`standard`, then `cutout`."""
    return chain([standard(padding), cutout(size)])


def cutout(size: int = 8) -> Augmentation:
    """Cover a square of `size` pixels a side, centred on any pixel, with the mean colour of the batch.

    A square over the edge is cut off there. Source: DeVries and Taylor, "Improved regularization of convolutional
    neural networks with cutout" (arXiv 1708.04552), which covers with the zero of normalised images: the mean.
    """
    side = checks.integer("size", size, at_least=1)

    def augment(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _check_images("cutout", images)
        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
        centres = tf.random.stateless_uniform([2, count], key)

        def covered(centre: tf.Tensor, length: int) -> tf.Tensor:
            first = tf.cast(centre * length, tf.int32)[:, tf.newaxis] - side // 2
            place = tf.range(length)[tf.newaxis]
            return (place >= first) & (place < first + side)

        hole = covered(centres[0], height)[:, :, tf.newaxis] & covered(centres[1], width)[:, tf.newaxis]
        mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=(0, 1, 2))
        mean = tf.cast(tf.round(mean) if images.dtype.is_integer else mean, images.dtype)
        return tf.where(hole[..., tf.newaxis], mean, images), labels

    return augment


def mixup(alpha: float = 0.2) -> Augmentation:
    """Mix each example, label and all, with its neighbour in the batch; the share is drawn from Beta(alpha, alpha).

    Images become float32 in the same range; labels must be one-hot. Source: Zhang et al., "mixup: beyond empirical
    risk minimization" (arXiv 1710.09412); as the batch is shuffled, the neighbour is a random partner.
    """
    concentration = checks.number("alpha", alpha, at_least=0.01)  # below, both draws may be too small for a float64

    def augment(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not labels.dtype.is_floating:
            raise checks.SettingError(
                "augment: got mixup with labels that are numbers, expected a loss that takes one-hot labels, such as "
                "keras.losses.CategoricalCrossentropy"
            )
        # In float64: with a small alpha both may be too small for float32, and the share 0 / 0.
        pairs = [2, tf.shape(images)[0]]
        gammas = tf.random.stateless_gamma(pairs, key, tf.constant(concentration, tf.float64), dtype=tf.float64)
        share = tf.cast(tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1]), tf.float32)
        return _mixed(tf.cast(images, tf.float32), share), _mixed(labels, share)

    return augment


def _mixed(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    share = tf.reshape(share, [-1] + [1] * (values.shape.rank - 1))
    return share * values + (1 - share) * tf.roll(values, 1, axis=0)


def _moved(padding: int, alternating: bool) -> Augmentation:
    """Shift and mirror by computing where each pixel comes from, so that the batch is gathered once."""

    def augment(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, epoch: Any = 0) -> tuple[tf.Tensor, tf.Tensor]:
        _check_images("crop" if padding else "flip", images)
        count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
        if padding >= min(height, width):
            raise checks.SettingError(f"padding: got {padding}, expected less than the images' {height}x{width} pixels")
        shifts = tf.random.stateless_uniform([2, count], key, -padding, padding + 1, tf.int32)
        rows = _reflected(tf.range(height) + shifts[0][:, tf.newaxis], height)
        columns = _reflected(tf.range(width) + shifts[1][:, tf.newaxis], width)
        if alternating:
            mirrored = (_coin(images) + tf.cast(epoch, tf.int32)) % 2 == 1
        else:
            mirrored = tf.random.stateless_uniform([count], tf.random.experimental.stateless_fold_in(key, 1)) < 0.5
        columns = tf.where(mirrored[:, tf.newaxis], columns[:, ::-1], columns)
        first = tf.range(count)[:, tf.newaxis, tf.newaxis] * (height * width)
        places = first + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]
        return tf.gather(tf.reshape(images, [-1, channels]), places), labels

    return augment


def _coin(images: tf.Tensor) -> tf.Tensor:
    """0 or 1 for each image [batch], the same whenever it comes: nobody has to know its number."""
    values = tf.bitcast(images, tf.int32) if images.dtype == tf.float32 else tf.cast(images, tf.int32)
    pixels = tf.reshape(values, [tf.shape(values)[0], math.prod(values.shape[1:])])
    odd = np.random.default_rng(0).integers(0, 2**31, pixels.shape[1], np.int32) | 1
    # Of a sum of numbers that end in many zeros, as those of coarse floats do, the highest bit alone depends on all.
    return tf.bitwise.right_shift(tf.reduce_sum(pixels * odd, axis=1), 31) & 1


def _reflected(places: tf.Tensor, length: int) -> tf.Tensor:
    """Places outside 0 ... length - 1 as reflection sees them: -1 is 1, length is length - 2."""
    places = tf.abs(places)
    return tf.where(places < length, places, 2 * (length - 1) - places)


def _check_images(name: str, images: tf.Tensor) -> None:
    if images.shape.rank != 4:
        shape = tuple(images.shape[1:])
        raise checks.SettingError(f"augment: {name} got inputs of shape {shape}, expected (height, width, channels)")
