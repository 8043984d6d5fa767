"""Batches whose iteration ends at once: without tf.data's autotuner.

The thread that tunes a pipeline sleeps ever longer, up to a minute at a time. Where an iterator is let go of, tf.data
wakes it and waits for it; but it wakes it before it marks the work as cancelled, and a thread that looks at that mark
too soon goes back to sleep for the rest of its time: up to as long as the epoch took, in many epochs on two cores.
"""

from __future__ import annotations

import tensorflow as tf


def without_autotuning(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches; the same object where its options say whether to tune.

    What is asked of `AUTOTUNE` keeps the number that it begins with, of `map` as many calls as threads and at most 16.
    tf.data no longer makes maps parallel or adds a prefetch by itself: a pipeline must have its own.
    """
    if batches.options().autotune.enabled is not None:
        return batches
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
