"""What a learning-rate range test says: one reading with every rule's suggestion. Numbers only, no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sconv import checks
from sconv.lr_finder.plot import range_test as plot_range_test
from sconv.lr_finder.rules import MIN_POINTS, RULES, Curve
from sconv.lr_finder.smoothing import by_chance, lowest, smooth, start_of, stop_at
from sconv.schedules import Schedule, range_test

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RangeTestSettings:
    """The settings of a range test, each checked by its name; `LRFinder` says what they mean."""

    start_lr: float = 1e-7
    end_lr: float = 10.0
    max_steps: int = 1000
    smoothing: float = 0.9
    stop_factor: float = 4.0
    suggestion: str = "smith"
    momentum: float | None = None
    anneal: str = "exponential"

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_steps", checks.integer("max_steps", self.max_steps, at_least=MIN_POINTS))
        self.schedule.sample(self.max_steps)
        checks.number("smoothing", self.smoothing, at_least=0, below=1)
        checks.number("stop_factor", self.stop_factor, above=1)
        checks.choice("suggestion", self.suggestion, RULES)

    @property
    def schedule(self) -> Schedule:
        """The rise of the learning rate."""
        return range_test(self.start_lr, self.end_lr, self.momentum, self.anneal)


@dataclass(frozen=True, eq=False)
class RangeTest:
    """The outcome of a range test: one value a step, up to where the loss diverged.

    `suggestions` holds the lr of every rule by its name; it is empty where there is a `problem`, said in one line.
    `diverged_at` is the lr on which the test was stopped, None where it reached `end_lr`.
    """

    learning_rates: Array
    losses: Array
    smoothed: Array
    suggestions: dict[str, float]
    rule: str
    end_lr: float
    diverged_at: float | None = None
    problem: str | None = None

    @property
    def suggestion(self) -> float:
        """The lr of the chosen rule. Raises SettingError where the curve allows none."""
        if self.problem is not None:
            raise checks.SettingError(self.problem)
        return self.suggestions[self.rule]

    @property
    def note(self) -> str | None:
        """What to know about a curve that can be used, but does not show all."""
        if self.problem is None and self.diverged_at is None:
            return f"lr_find: the loss had not diverged at end_lr={self.end_lr:g}; a higher end_lr shows where it does"
        return None

    def plot(self) -> Figure:
        """Draw the losses over lr with every suggestion; returns the matplotlib figure."""
        return plot_range_test(self)


def analyse(
    learning_rates: ArrayLike, losses: ArrayLike, settings: RangeTestSettings | None = None, end_lr: float | None = None
) -> RangeTest:
    """Read a range test: what follows divergence is dropped, the rest is smoothed, every rule has its say.

    `learning_rates` and `losses` hold one value a step, in rising order of lr; `end_lr` is the planned end, for the
    picture. Raises SettingError where the very first loss is not finite.
    """
    settings = settings or RangeTestSettings()
    smoothing = settings.smoothing
    rates, raw = np.asarray(learning_rates, np.float64), np.asarray(losses, np.float64)
    if not len(raw) or not math.isfinite(raw[0]):
        raise checks.SettingError(
            f"lr_find: the loss of the first step is {raw[0] if len(raw) else 'missing'}, expected a finite number: "
            "no learning rate mends it; look at the data, the loss and the model"
        )
    stop = stop_at(raw, smoothing, settings.stop_factor)
    if stop is None:
        stop = _back_at_start(raw, smoothing)
    diverged_at = None if stop is None else float(rates[stop])
    # The step that went over is shown, one that is not finite cannot be.
    kept = len(raw) if stop is None else stop + int(math.isfinite(raw[stop]))
    rates, raw = rates[:kept], raw[:kept]
    smoothed = smooth(raw, smoothing)
    end = float(rates[-1]) if end_lr is None else float(end_lr)
    problem = _problem(rates, raw, smoothed, smoothing, diverged_at)
    picks: dict[str, float] = {}
    if problem is None:
        curve = Curve.of(rates, raw, smoothed, smoothing)
        picks = {name: float(np.clip(rule(curve), rates[0], rates[-1])) for name, rule in RULES.items()}
    return RangeTest(rates, raw, smoothed, picks, settings.suggestion, end, diverged_at, problem)


def _back_at_start(raw: Array, smoothing: float) -> int | None:
    """The step on which the smoothed loss has climbed back to its start, all that was learned undone; else None.

    A network that is destroyed can stay at the loss of a guess, far below any multiple of the best.
    """
    smoothed = smooth(raw, smoothing)
    start, best = start_of(raw), lowest(smoothed)
    if start - smoothed[best] <= by_chance(raw, smoothing):
        return None
    back = np.flatnonzero(smoothed[best:] >= start)
    return best + int(back[0]) if len(back) else None


def _problem(rates: Array, raw: Array, smoothed: Array, smoothing: float, diverged_at: float | None) -> str | None:
    """Why no learning rate can be read off this curve, in one line; None where one can."""
    count = len(rates)
    if count < MIN_POINTS:
        why = "" if diverged_at is None else f": the loss diverged at lr {diverged_at:.3g}"
        return f"lr_find: got {count} points{why}, expected at least {MIN_POINTS}; raise max_steps or lower start_lr"
    start, chance = start_of(raw), by_chance(raw, smoothing)
    if start - smoothed[lowest(smoothed)] <= chance:
        return (
            f"lr_find: the loss never fell below its start ({start:.4g}) by more than chance ({chance:.2g}) between "
            f"lr {rates[0]:.3g} and {rates[-1]:.3g}, expected a model that learns at some lr; look at the data and loss"
        )
    return None
