"""A training that is lost though its loss is a number still: noticed, and ended."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from sconv.lr_finder import smoothing
from sconv.training.callbacks import ScheduleCallback
from sconv.training.recording import Diverged

# Of all steps: how long it must have been lost for, past the highest learning rate.
_LONG = 0.25
# Fewer losses than this tell too little of their noise.
_LEAST = 50
_DEVIATIONS = 5
# Towards the end of a schedule, where the learning rate goes to nothing, a loss falls faster than before.
_FASTER = 4


class Lost(Diverged):
    """Losses that have long been above where they began, and do not come back."""

    def __init__(self, step: int, learning_rate: float, momentum: float | None, long: int):
        super().__init__(step, learning_rate, momentum, f"the loss has been above its start for {long} steps")


class GiveUp(keras.callbacks.Callback):
    """Ends a fit with `Lost` at the end of an epoch; the schedule is past its peak by then, so no more is to come."""

    def __init__(self, driver: ScheduleCallback):
        super().__init__()
        self._driver = driver

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        attachment = self._driver.attachment
        rates, done = attachment.learning_rates, attachment.position
        peak, long = int(np.argmax(rates)), math.ceil(_LONG * len(rates))
        # Before so many steps no loss need be fetched.
        if done < len(rates) and done - peak >= long and is_lost(self._driver.losses_so_far, long, len(rates) - done):
            step = done - 1
            momentum = None if attachment.momenta is None else float(attachment.momenta[step])
            raise Lost(step, float(rates[step]), momentum, long)


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
