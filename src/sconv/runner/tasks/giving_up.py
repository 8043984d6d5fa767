"""A training that is lost though its loss is a number still: noticed, and ended."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv.lr_finder import smoothing
from sconv.training.callbacks import ScheduleCallback
from sconv.training.recording import Diverged
from sconv.training.snapshot import Snapshot

# Of all steps: how long it must have been lost for, past the highest learning rate.
_LONG = 0.25
# Fewer losses than this tell too little of their noise.
_LEAST = 50
# Where the network itself is asked as well, fewer will do.
_FEW = 20
_DEVIATIONS = 5
# What is looked at, at least: a layer may be dead for some examples, and not for others.
_EXAMPLES = 256
# Towards the end of a schedule, where the learning rate goes to nothing, a loss falls faster than before.
_FASTER = 4


class Lost(Diverged):
    """Losses that have long been too high, and do not come back."""


class GiveUp(keras.callbacks.Callback):
    """Ends a fit with `Lost` at the end of an epoch; the schedule is past its peak by then, so no more is to come.

    `batches` are those of training; `chance` is the loss of a guess, where it is known.
    """

    def __init__(self, driver: ScheduleCallback, batches: Iterable[Any], chance: float | None):
        super().__init__()
        self._driver, self._batches, self._chance = driver, batches, chance

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        attachment = self._driver.attachment
        rates, done = attachment.learning_rates, attachment.position
        peak, long = int(np.argmax(rates)), math.ceil(_LONG * len(rates))
        if not long <= done - peak <= done < len(rates):
            return  # and no loss need be fetched
        losses, said = self._driver.losses_so_far, ""
        if is_lost(losses, long, len(rates) - done):
            said = f"the loss has been above its start for {long} steps"
        elif is_at_chance(losses, long, self._chance) and is_dead(self.model, self._batches):
            said = f"the loss has been at chance or above it for {long} steps, and no longer depends on the inputs,"
        if said:
            step = done - 1
            momentum = None if attachment.momenta is None else float(attachment.momenta[step])
            raise Lost(step, float(rates[step]), momentum, said)


def is_lost(losses: np.ndarray, long: int, left: int) -> bool:
    """Whether the last so many losses are above those of the start, and will be after all the steps that are left.

    The start is the first tenth. Both halves of the last are compared with it, and their median, so that no single
    outburst counts. What is left may fall several times as fast as these halves did, and as noise may hide: a batch's
    noise is told from its neighbours, and the standard deviation of a mean from that.
    """
    if long < _LEAST or len(losses) < 2 * long:
        return False
    first, last = losses[: max(1, len(losses) // 10)], losses[-long:]
    halves = np.array_split(last, 2)
    earlier, later = (float(np.mean(half)) for half in halves)
    hidden = _DEVIATIONS * smoothing.noise(last) / math.sqrt(len(halves[1]))
    start = smoothing.start_of(losses) + _DEVIATIONS * smoothing.noise(first) / math.sqrt(len(first))
    fall = _FASTER * max(0.0, earlier - later + 2 * hidden) * left / len(halves[1])
    return min(earlier, later - fall, float(np.median(last))) > start + hidden


def is_at_chance(losses: np.ndarray, long: int, chance: float | None) -> bool:
    """Whether neither half of the last so many losses is below that of a guess (None: of the start) by more than noise.

    That alone is no reason to give up: a learning rate that is still too high keeps a loss there as well.
    """
    if long < _FEW:
        return False
    reference = smoothing.start_of(losses) if chance is None else chance
    halves = np.array_split(losses[-long:], 2)
    hidden = _DEVIATIONS * smoothing.noise(losses[-long:]) / math.sqrt(len(halves[1]))
    return all(float(np.mean(half)) >= reference - hidden for half in halves)


def is_dead(model: keras.Model, batches: Iterable[Any]) -> bool:
    """Whether the loss of some hundred examples depends neither on them nor on the first weights that are trained.

    So it is where all units of a layer have died, for good, as what they learn by comes through them. Gradients are
    exactly zero then; of a network that learns, however slowly, they are not. As in a training step; the model is left
    as it was.
    """
    kept, seen = Snapshot(model), 0
    try:
        for images, labels in batches:
            if any(gradient is None or np.any(gradient) for gradient in _gradients(model, images, labels)):
                return False
            seen += len(images)
            if seen >= _EXAMPLES:
                break
    finally:
        kept.put_back()
    return seen > 0


def _gradients(model: keras.Model, images: Any, labels: Any) -> list[Any]:
    inputs = tf.cast(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Scaled, so that nothing small is lost in half precision.
        loss = model.optimizer.scale_loss(tf.reduce_sum(model.loss(labels, model(inputs, training=True))))
    gradients: list[Any] = tape.gradient(loss, [inputs, *model.trainable_variables[:1]])
    return gradients
