"""Losses, smoothed: where a range test stops, and what is more than chance. Numbers only, no TensorFlow."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# The noise of the batches is read off the losses that led to the best: several times as many as the average holds, so
# that a best which is one by luck is few of them.
_REFERENCE_LENGTHS, _REFERENCE_LEAST = 3, 20
# Of a whole test, shared by all its steps; and standard deviations of the average.
_CHANCE, _NOISES = 1e-4, 4
# Among fewer differences of neighbours those of the fall weigh too much for their mean square.
_MANY = 50


def smooth(losses: ArrayLike, smoothing: float) -> Array:
    """The exponential moving average of the losses, corrected for its start at zero.

    Source: Kingma and Ba, "Adam" (arXiv 1412.6980), section 3, the bias correction.
    """
    values = np.asarray(losses, np.float64)
    averages = itertools.accumulate(values, lambda mean, loss: smoothing * mean + (1 - smoothing) * loss, initial=0.0)
    weights = 1 - smoothing ** np.arange(1, len(values) + 1)
    return np.fromiter(itertools.islice(averages, 1, None), np.float64, len(values)) / weights


def stop_at(losses: ArrayLike, smoothing: float, stop_factor: float, since: int = 0) -> int | None:
    """The first step, from `since` on, whose loss is not finite or has diverged beyond its noise; else None.

    Diverged is a smoothed loss above `stop_factor` times its best (for a best below zero: above it by factor - 1 times
    its size), by more than the noise of the average, whose latest losses lie above those that led to the best more
    often than chance allows. One hard batch is no divergence, however hard, and neither are a few. A caller that asks
    after every step saves time with `since`: the earlier steps are not judged again.
    """
    values = np.asarray(losses, np.float64)
    finite = int(np.argmin(np.isfinite(values))) if not np.isfinite(values).all() else len(values)
    values, whole = values[:finite], finite == len(values)
    smoothed = smooth(values, smoothing)
    best = np.minimum.accumulate(smoothed) if finite else smoothed
    for step in np.flatnonzero(smoothed > best + (stop_factor - 1) * np.abs(best)):
        lowest_yet = int(np.argmin(smoothed[: step + 1]))
        if step >= since and _beyond_noise(values[: step + 1], smoothed, lowest_yet, smoothing):
            return int(step)
    return None if whole else finite


def _beyond_noise(values: Array, smoothed: Array, best: int, smoothing: float) -> bool:
    """Whether the latest losses are above those that led to the best one by more than noise, of whatever shape.

    Ranks tell a lasting rise from single outliers, the standard deviation tells it from their return.
    """
    length = math.ceil(_REFERENCE_LENGTHS * (1 + smoothing) / (1 - smoothing)) + _REFERENCE_LEAST
    # Where the best is the very first, half of what there is; never the last, which are to be judged.
    end = max(best + 1, min(length, len(values) // 2))
    reference, latest = values[max(0, end - length) : end], values[end:]
    rise = smoothed[len(values) - 1] - smoothed[best]
    beyond = rise > _NOISES * noise(reference) * damping(smoothing)
    return beyond and exceedance(reference, latest) < _CHANCE / len(values)


def exceedance(reference: Array, latest: Array) -> float:
    """The probability that the last losses are by chance as far above those of a reference as they are.

    Of the last k, for the k that shows most: where the least of them is exceeded by j of the n of the reference, they
    all are among the highest k + j, which draws from one distribution are with probability C(k + j, k) / C(n + k, k),
    whatever that distribution. Source: Nelson, "Tables for a precedence life test" (Technometrics 5, 1963).
    """
    if not len(latest) or not len(reference):
        return 1.0
    count = np.arange(1, len(latest) + 1)
    least = np.minimum.accumulate(latest[::-1])
    above = len(reference) - np.searchsorted(np.sort(reference), least, side="left")
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, len(reference) + len(latest) + 1)))])
    ways = factorials[count + above] - factorials[above]
    all_ways = factorials[count + len(reference)] - factorials[len(reference)]
    return float(np.exp(np.min(ways - all_ways)))


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
    """A fall of the smoothed loss that means nothing: as deep as noise alone goes in so many steps, or rounding."""
    until_lowest = raw[: lowest(smooth(raw, smoothing)) + 1]
    tenth = max(1, len(raw) // 10)
    of_average = damping(smoothing, tenth) * (1 + math.sqrt(2 * math.log(len(raw))))
    of_start = 2 / math.sqrt(tenth)
    # Two bounds: the first is wide where the noise has a heavy tail, the second where little is averaged.
    deviation = noise(until_lowest) if len(until_lowest) > _MANY else typical_noise(raw)
    by_deviation = deviation * (of_average + of_start)
    by_redrawing = start_of(raw) - _lowest_redrawn(until_lowest, smoothing, len(raw))
    return max(min(by_deviation, by_redrawing), 1e-4 * abs(start_of(raw)))


def _lowest_redrawn(losses: Array, smoothing: float, steps: int, tests: int = 1000) -> float:
    """The lowest smoothed loss of a thousand tests whose losses are drawn from these, in no order."""
    random = np.random.default_rng(0)
    average, low = np.zeros(tests), math.inf
    for step in range(steps):
        average = smoothing * average + (1 - smoothing) * random.choice(losses, tests)
        if step >= steps // 10:
            low = min(low, float(average.min()) / (1 - smoothing ** (step + 1)))
    return low


def damping(smoothing: float, steps: float = math.inf) -> float:
    """The share of the standard deviation of independent noise that is left in its average of so many steps."""
    settling = smoothing**steps
    return math.sqrt((1 - smoothing) / (1 + smoothing) * (1 + settling) / (1 - settling))


def noise(raw: Array) -> float:
    """Standard deviation of a batch's loss round the course of the losses, from neighbours."""
    return math.sqrt(float(np.mean(np.diff(raw) ** 2)) / 2) if len(raw) > 1 else 0.0


def typical_noise(raw: Array) -> float:
    """The same from the median of the differences: robust to a fall and to a divergence, blind to rare hard batches."""
    return float(np.median(np.abs(np.diff(raw)))) / (0.6745 * math.sqrt(2)) if len(raw) > 1 else 0.0
