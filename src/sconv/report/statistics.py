"""What is said about a handful of seeds: mean and deviation, time to a target, the speed-up of one group on another."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
FEWEST = 3  # seeds in each group for an interval of a mean: two can only be drawn as alike, or as they were
# Of medians the widest interval there is, from the lowest to the highest seed, holds the true ratio of three in 90 % of
# simulated comparisons, of four in 93 %, of five in 97 %.
FEWEST_FOR_MEDIANS = 5


@dataclass(frozen=True)
class MeanStd:
    """A mean over `n` seeds; `std` has the divisor n - 1 and is None for one seed."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class TimeToTarget:
    """What each seed spent until its target; None where it never reached it."""

    costs: tuple[float | None, ...]

    @property
    def reached(self) -> list[float]:
        return [cost for cost in self.costs if cost is not None]

    @property
    def never(self) -> int:
        return len(self.costs) - len(self.reached)

    @property
    def median(self) -> float:
        """Of all seeds, one that never reached it as infinite; of one or more."""
        return float(np.median([math.inf if cost is None else cost for cost in self.costs]))


@dataclass(frozen=True)
class Speedup:
    """How many times sooner than the baseline; 0: never. None where it cannot be said; `note` tells what to know.

    `low` and `high` bound it with 95 % confidence (None: no interval; high may be infinite). `at_least`: `value` is a
    lower bound.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    at_least: bool = False
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """A difference of means with its 95 % interval and p-value; None where there are too few seeds."""

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""


def mean_std(values: Sequence[float]) -> MeanStd | None:
    """Mean and standard deviation; None of nothing."""
    if not len(values):
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return MeanStd(float(np.mean(values)), std, len(values))


def first_at_or_above(accuracies: np.ndarray, costs: np.ndarray, target: float) -> float | None:
    """The cost of the first evaluation at or above `target`; None where there is none.

    Nothing is interpolated: between two evaluations nobody knows the accuracy. The resolution is one evaluation.
    """
    # As accuracies are written with nine digits, a target taken from them may lie a rounding above.
    above = np.flatnonzero(accuracies >= target - 1e-8)
    return float(costs[above[0]]) if len(above) else None


def speedup(baseline: TimeToTarget, budgets: Sequence[float], group: TimeToTarget) -> Speedup:
    """Median cost of the baseline over median cost of the group, with a bootstrap 95 % interval stratified by group.

    A seed that never reached the target takes for ever, as in the profiles of Agarwal et al. 2021 (arXiv 2108.13264).
    Where that is the median of the group the speed-up is 0, if seeds enough say so; where it is the baseline's, its
    seeds count with their whole budgets (`budgets`, one a seed), and the speed-up is a lower bound.
    """
    if not group.costs or not baseline.costs:
        return Speedup(None, note="no finished seeds")
    spent, forever = (
        np.array([instead if cost is None else cost for cost, instead in zip(baseline.costs, budgets_or, strict=True)])
        for budgets_or in (budgets, [math.inf] * len(budgets))
    )
    taken = np.array([math.inf if cost is None else cost for cost in group.costs])
    if not np.median(taken) > 0:
        return Speedup(None, note="took no time that could be measured")
    never = [f"{group.never} of {len(taken)} never reached it"] if group.never else []
    never += [f"{baseline.never} of {len(spent)} baseline seeds end below it"] if baseline.never else []
    low, high, why = _bootstrap(spent, forever, taken)
    at_least = bool(np.isinf(np.median(forever)))
    value: float | None = float(_ratio(spent if at_least else forever, taken))
    if value == 0 and (at_least or (group.reached and not (high is not None and high < 1))):
        # That half of so few seeds fall short says little: of two alike, one does so half of the time.
        value, at_least, why = None, False, why or "no difference shown"
    return Speedup(value, low, high, at_least, "; ".join(filter(None, [*never, why])))


def _bootstrap(spent: np.ndarray, forever: np.ndarray, taken: np.ndarray) -> tuple[float | None, float | None, str]:
    """The percentile bootstrap of the ratio of medians; `forever` is `spent` with misses as infinite, for the high end.

    It assumes seeds that are independent and nothing about their distribution.
    """
    # Not scipy.stats.bootstrap: it makes no interval of infinite costs.
    fewest = min(len(spent), len(taken))
    if fewest < FEWEST_FOR_MEDIANS:
        few = f"{fewest} seed{'s' if fewest > 1 else ''}"
        return None, None, f"{few}: no interval of the speed-up (needs {FEWEST_FOR_MEDIANS})"
    if len(set(spent)) == len(set(taken)) == 1:
        return None, None, "every seed alike: no interval"
    random = np.random.default_rng(0)
    rows, others = (random.integers(0, len(costs), (RESAMPLES, len(costs))) for costs in (spent, taken))
    low, high = (
        float(np.quantile(_ratio(costs[rows], taken[others]), share, method="nearest"))
        for costs, share in ((spent, 0.025), (forever, 0.975))
    )
    return low, high, ""


def _ratio(costs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Medians of the last axis, of the first over the second; infinite where the first is."""
    above, below = np.median(costs, axis=-1), np.median(others, axis=-1)
    return np.divide(above, below, out=np.full_like(above, math.inf), where=np.isfinite(above) & (below > 0))


def difference(group: Sequence[float], baseline: Sequence[float]) -> Difference:
    """The group's mean less the baseline's, with Welch's t-test (two-sided, unequal variances)."""
    mean = float(np.mean(group) - np.mean(baseline))
    if min(len(group), len(baseline)) < 2:
        return Difference(mean, note="one seed: no test")
    if np.ptp(group) == np.ptp(baseline) == 0:  # their variance may be a rounding above nought
        return Difference(mean, note="every seed alike: no test")
    from scipy.stats import ttest_ind  # takes most of a second to import

    with warnings.catch_warnings():
        # Of seeds nearly alike it warns that their variance is rounding; the mean of the others decides then.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = ttest_ind(group, baseline, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))
