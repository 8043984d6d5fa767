"""Batches whose iteration ends at once: without tf.data's autotuner.

The thread that tunes a pipeline sleeps ever longer, up to a minute at a time. Where an iterator is let go of, tf.data
wakes it and waits for it; but it wakes it before it marks the work as cancelled, and a thread that looks at that mark
too soon goes back to sleep for the rest of its time. On two cores that holds up every third epoch or so, by as much as
the epoch took.
"""

from __future__ import annotations

import tensorflow as tf


def without_autotuning(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, where their options do not say whether to tune; `AUTOTUNE` is then as many calls as threads."""
    if batches.options().autotune.enabled is not None:
        return batches
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
