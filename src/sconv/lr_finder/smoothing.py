"""Losses, smoothed: where a range test stops, and what is more than chance. Numbers only, no TensorFlow."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def smooth(losses: ArrayLike, smoothing: float) -> Array:
    """The exponential moving average of the losses, corrected for its start at zero.

    Source: Kingma and Ba, "Adam" (arXiv 1412.6980), section 3, the bias correction.
    """
    values = np.asarray(losses, np.float64)
    averages = itertools.accumulate(values, lambda mean, loss: smoothing * mean + (1 - smoothing) * loss, initial=0.0)
    weights = 1 - smoothing ** np.arange(1, len(values) + 1)
    return np.fromiter(itertools.islice(averages, 1, None), np.float64, len(values)) / weights


def stop_at(losses: ArrayLike, smoothing: float, stop_factor: float) -> int | None:
    """The first step whose loss is not finite, or whose smoothed loss exceeds `stop_factor` times the best; else None.

    Loss and best are both smoothed. For a best below zero the distance to it counts: (factor - 1) times its size.
    """
    values = np.asarray(losses, np.float64)
    finite = int(np.argmin(np.isfinite(values))) if not np.isfinite(values).all() else len(values)
    smoothed = smooth(values[:finite], smoothing)
    best = np.minimum.accumulate(smoothed) if finite else smoothed
    over = np.flatnonzero(smoothed > best + (stop_factor - 1) * np.abs(best))
    if len(over):
        return int(over[0])
    return finite if finite < len(values) else None


def start_of(raw: Array) -> float:
    """The loss before anything is learned: the mean of the first tenth of the test."""
    return float(np.mean(raw[: max(1, len(raw) // 10)]))


def learned(raw: ArrayLike, chance: float | None = None) -> bool:
    """Whether losses end below `chance`, else below their start, by more than noise and a hundredth.

    `chance` is the loss of a model that has learned nothing of its inputs, where it is known. Start and end are the
    means of the first and of the last tenth, two standard deviations of which count as noise.
    """
    losses = np.asarray(raw, np.float64)
    tenth = max(1, len(losses) // 10)
    reference = start_of(losses) if chance is None else chance
    means = 1 if chance is not None else 2  # of them, which are noisy
    margin = max(2 * noise(losses) * math.sqrt(means / tenth), 1e-2 * abs(reference))
    return bool(np.mean(losses[-tenth:]) < reference - margin)


def lowest(smoothed: Array) -> int:
    """The step of the lowest smoothed loss, past the first tenth, in which the average is still settling."""
    settled = len(smoothed) // 10
    return settled + int(np.argmin(smoothed[settled:]))


def by_chance(raw: Array, smoothing: float) -> float:
    """A fall of the smoothed loss that means nothing: the lowest of as many draws of its noise, or rounding."""
    tenth = max(1, len(raw) // 10)
    of_average = damping(smoothing, tenth) * (1 + math.sqrt(2 * math.log(len(raw))))
    of_start = 2 / math.sqrt(tenth)
    return max(noise(raw) * (of_average + of_start), 1e-4 * abs(start_of(raw)))


def damping(smoothing: float, steps: float = math.inf) -> float:
    """The share of the standard deviation of independent noise that is left in its average of so many steps."""
    settling = smoothing**steps
    return math.sqrt((1 - smoothing) / (1 + smoothing) * (1 + settling) / (1 - settling))


def noise(raw: Array) -> float:
    """Standard deviation of a batch's loss round the course of the losses, from neighbours: robust to a divergence."""
    return float(np.median(np.abs(np.diff(raw)))) / (0.6745 * math.sqrt(2)) if len(raw) > 1 else 0.0
