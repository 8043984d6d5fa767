"""Which lr to take from a range test: the rules. Numbers only, no TensorFlow.

Every rule reads one grid of the smoothed loss, even in log lr, so that a longer test gives a quieter curve and not
another answer. Its spacing is 0.08 decades: fastai's 100 steps from 1e-7 to 10, for which its rules were made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sconv.lr_finder.smoothing import damping, lowest, noise, smooth

Array = NDArray[np.float64]

DECADES_A_CELL = 0.08
MIN_POINTS = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """A range test on an even grid in log lr, less the first tenth, in which the average is still settling.

    `spread` is the local mean difference of two losses in a row, `noise` the standard deviation of a smoothed loss.
    """

    rates: Array
    losses: Array
    spread: Array
    noise: float

    @staticmethod
    def of(rates: Array, raw: Array, smoothed: Array, smoothing: float) -> Curve:
        kept = slice(len(rates) // 10, None)
        logs = np.log10(rates[kept])
        cells = max(MIN_POINTS, round((logs[-1] - logs[0]) / DECADES_A_CELL) + 1)
        grid = np.linspace(logs[0], logs[-1], cells)
        # Between neighbours: the distance from the average would count its lag behind a steep fall.
        spread = smooth(np.abs(np.diff(raw, prepend=raw[0])), smoothing)
        of_average = noise(raw[: lowest(smoothed) + 1]) * damping(smoothing)
        return Curve(10**grid, np.interp(grid, logs, smoothed[kept]), np.interp(grid, logs, spread[kept]), of_average)


def valley(curve: Curve) -> float:
    """The middle of the longest fall of the loss.

    Source: fastai 2 (PR 3377; its default): the longest decreasing subsequence ends at `end` and is taken to begin
    its own length before; the pick is half way.
    """
    tails: list[float] = []
    lengths = []
    for value in -curve.losses:
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
        lengths.append(place + 1)
    longest = max(lengths)
    begin = max(0, lengths.index(longest) - longest + 1)
    return float(curve.rates[begin + longest // 3 + longest // 6])


def steep(curve: Curve) -> float:
    """Where the loss falls fastest over log lr; over lr itself the smallest ones would always win.

    Source: fastai 2, `steep`.
    """
    slopes = np.gradient(curve.losses)
    return float(curve.rates[int(np.argmin(slopes))])


def minimum(curve: Curve) -> float:
    """A tenth of the lr with the lowest loss. Source: fastai 2, `minimum`; Gugger, "Find a good lr" (2018)."""
    return float(curve.rates[int(np.argmin(curve.losses))]) / 10


def slide(curve: Curve, span: int = 15, threshold: float = 0.005) -> float:
    """The lr to the left of the last steep stretch: two slopes, `span` cells apart, slide down from the end.

    They slide on while the right one is larger by `threshold` a cell or more; the pick is where the left one was last.
    The threshold is in units of the loss, which makes this a rule for cross-entropies. Source: fastai 2, `slide`,
    which also leaves out the last five points; there the slopes may differ either way, so that two which cross
    between points slide on to the far left.
    """
    slopes = np.gradient(curve.losses[:-5] if len(curve.losses) > span + 5 else curve.losses)
    left, right = len(slopes) - 1 - span, len(slopes) - 1
    pick = max(left, 0)
    while left >= 0 and slopes[right] - slopes[left] > threshold:
        pick = left
        left, right = left - 1, right - 1
    return float(curve.rates[pick])


def smith(curve: Curve, margin: float = 2.0, climb: float = 0.1, ragged: float = 5.0, level: float = 0.5) -> float:
    """The largest lr before the loss, past its lowest, climbs or turns ragged, divided by `margin`; none that is higher
    than the last at which the loss is as low as its lowest, within `level` standard deviations of its noise.

    It climbs where it is above its best by `climb` of the whole fall (and by more than noise); it is ragged where
    losses in a row differ `ragged` times as much as they did while the first half of the fall was made. Before its
    lowest it may do both: that passed. The second bound is for a loss that rises a little and stays there, as that of
    a network does which higher rates keep at a guess. Source: Smith, "Cyclical learning rates" (arXiv 1506.01186),
    section 3.3: where the accuracy slows, becomes ragged or starts to fall; that a maximum has to keep some distance
    from there is his too, how much is ours (experiments/lr_rules).
    """
    start = float(curve.losses[0])
    half = int(np.argmax(curve.losses <= (start + float(curve.losses.min())) / 2))
    rough = curve.spread > ragged * float(curve.spread[: half + 1].max())
    bottom = int(np.argmin(np.where(rough, np.inf, curve.losses)))  # ragged losses are low by luck
    low = float(curve.losses[bottom])
    # Between a lucky low and an unlucky high, each of three standard deviations.
    climbs = curve.losses > low + max(climb * (start - low), 6 * curve.noise)
    bad = np.flatnonzero((climbs | rough)[bottom + 1 :])
    edge = bottom + int(bad[0]) if len(bad) else len(curve.rates) - 1
    lowest = np.flatnonzero(curve.losses[: edge + 1] <= low + level * curve.noise)[-1]
    return min(float(curve.rates[edge]) / margin, float(curve.rates[lowest]))


_RULES: tuple[Callable[[Curve], float], ...] = (valley, steep, minimum, slide, smith)
RULES = {rule.__name__: rule for rule in _RULES}
