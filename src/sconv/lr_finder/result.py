"""What a learning-rate range test says: one reading with every rule's suggestion. Numbers only, no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sconv import checks
from sconv.lr_finder.plot import range_test as plot_range_test
from sconv.lr_finder.rules import MIN_POINTS, RULES, Curve
from sconv.lr_finder.smoothing import by_chance, lowest, smooth, start_of, stop_at
from sconv.plots.figures import png
from sconv.schedules import Schedule, range_test

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_BEGUN = 0.1  # of its fall: then a loss falls


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


@dataclass(frozen=True, eq=False, repr=False)
class RangeTest:
    """The outcome of a range test: one value a step, up to where the loss diverged.

    `suggestions` holds the lr of every rule by its name; it is empty where there is a `problem`, said in one line.
    Of a loss that only rises, as that of a trained model does, `smith` alone can say something; it is the `rule` then,
    and `caution` says in one line what was seen. `diverged_at` is the lr on which the test was stopped, None where it
    reached `end_lr`.
    """

    learning_rates: Array
    losses: Array
    smoothed: Array
    suggestions: dict[str, float]
    rule: str
    end_lr: float
    diverged_at: float | None = None
    problem: str | None = None
    caution: str | None = None

    @property
    def suggestion(self) -> float:
        """The lr of the chosen rule. Raises SettingError where the curve allows none."""
        if self.problem is not None:
            raise checks.SettingError(self.problem)
        return self.suggestions[self.rule]

    @property
    def good_rates(self) -> tuple[float, float] | None:
        """Where the loss falls: from the lr where a tenth of its fall is done up to the suggestion; None if nowhere."""
        if self.problem is not None or self.caution is not None:
            return None
        start, best = start_of(self.losses), lowest(self.smoothed)
        above = np.flatnonzero(self.smoothed[:best] > start - _BEGUN * (start - self.smoothed[best]))
        first = float(self.learning_rates[above[-1] + 1 if len(above) else 0])
        return (first, self.suggestion) if first < self.suggestion else None

    @property
    def shown_from(self) -> float:
        """The lr where a picture begins: two decades below all that is told, before which the loss is flat."""
        told = [*self.suggestions.values(), *(self.good_rates or ())]
        return max(float(self.learning_rates[0]), min(told) / 100 if told else 0.0)

    @property
    def note(self) -> str | None:
        """What to know about a curve that can be used, but does not show all."""
        if self.caution is not None:
            return self.caution
        if self.problem is None and self.diverged_at is None:
            return f"lr_find: the loss had not diverged at end_lr={self.end_lr:g}; a higher end_lr shows where it does"
        return None

    def __repr__(self) -> str:
        said = "no suggestion" if self.problem else f"lr {self.suggestion:.3g} ({self.rule})"
        end = "" if self.diverged_at is None else f", diverged at lr {self.diverged_at:.3g}"
        return f"RangeTest({said}, {len(self.losses)} points up to lr {self.learning_rates[-1]:.3g}{end})"

    def _repr_png_(self) -> bytes:
        """The picture, which a notebook shows for the value."""
        return png(self.plot())

    def plot(self) -> Figure:
        """Draw the losses over lr with every suggestion; returns the matplotlib figure, which a notebook shows."""
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
    end = float(rates[-1]) if end_lr is None else float(end_lr)
    test = RangeTest(rates, raw, smooth(raw, smoothing), {}, settings.suggestion, end, diverged_at)
    if len(raw) < MIN_POINTS:
        return replace(test, problem=_too_short(test))
    if not _fell(raw, test.smoothed, smoothing):
        return _without_fall(test, smoothing)
    curve = Curve.of(rates, raw, test.smoothed, smoothing)
    picks = {name: float(np.clip(rule(curve), rates[0], rates[-1])) for name, rule in RULES.items()}
    return replace(test, suggestions=picks)


def _back_at_start(raw: Array, smoothing: float) -> int | None:
    """The step on which the smoothed loss has climbed back to its start, all that was learned undone; else None.

    A network that is destroyed can stay at the loss of a guess, far below any multiple of the best.
    """
    smoothed = smooth(raw, smoothing)
    if not _fell(raw, smoothed, smoothing):
        return None
    start, best = start_of(raw), lowest(smoothed)
    back = np.flatnonzero(smoothed[best:] >= start)
    return best + int(back[0]) if len(back) else None


def _fell(raw: Array, smoothed: Array, smoothing: float) -> bool:
    return start_of(raw) - smoothed[lowest(smoothed)] > by_chance(raw, smoothing)


def _too_short(test: RangeTest) -> str:
    why = "" if test.diverged_at is None else f": the loss diverged at lr {test.diverged_at:.3g}"
    count = len(test.losses)
    return f"lr_find: got {count} points{why}, expected at least {MIN_POINTS}; raise max_steps or lower start_lr"


def _without_fall(test: RangeTest, smoothing: float) -> RangeTest:
    """The reading of a loss that nowhere fell: the lr below its rise, or why there is none.

    Losses alone do not tell a trained model from one that cannot learn: both are best left as they are.
    """
    start, chance = start_of(test.losses), by_chance(test.losses, smoothing)
    level = np.flatnonzero(test.smoothed <= start + chance)
    edge = int(level[-1]) if len(level) else 0
    seen = f"lr_find: the loss never fell below its start ({start:.4g}) by more than chance ({chance:.2g})"
    # A test that went to its end may end on a hard batch.
    if test.diverged_at is None and test.smoothed[-1] <= start + 3 * chance:
        between = f"between lr {test.learning_rates[0]:.3g} and {test.learning_rates[-1]:.3g}"
        return replace(
            test,
            problem=f"{seen} nor rose {between}, expected a loss that depends on the lr; look at the data and loss",
        )
    if edge < len(test.losses) // 10:
        return replace(test, problem=f"{seen} and rose from lr {test.learning_rates[edge]:.3g} on; lower start_lr")
    rate = float(max(test.learning_rates[edge] / 3, test.learning_rates[0]))
    caution = (
        f"{seen} and rises from lr {test.learning_rates[edge]:.2g} on, as that of a trained model does: a third of "
        "that is suggested; a new model learns at no lr, or less than its noise shows: look at the data and the loss"
    )
    return replace(test, suggestions={"smith": rate}, rule="smith", caution=caution)
