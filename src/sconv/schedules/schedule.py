"""How shapes fill phases, and phases join into a schedule.

A `Phase` says what the learning rate and the momentum do over a share of training; a `Schedule` is its phases in
order. Nothing here knows about TensorFlow, a configuration or a training loop: `Schedule.sample(steps)` turns the
policy into the table of numbers that is plotted, tested, logged and executed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sconv import checks
from sconv.schedules.shapes import SHAPES

if TYPE_CHECKING:
    from sconv.schedules.keras_schedule import TableSchedule

# A smaller share of training would ask for more steps than anybody trains.
MIN_SHARE = 1e-6

# By so much shares written with three digits may miss 1: three thirds of 0.333.
ROUNDING = 1.5e-3

Array = NDArray[np.float64]
Pair = tuple[float, float]


# Shapes that lead from one value above 0 to another.
_ABOVE_ZERO = ("exponential", "inverse")


@dataclass(frozen=True, repr=False)
class Phase:
    """A share `pct` of training over which lr and momentum go from their first value to their second.

    `momentum=None` leaves the optimizer's own momentum alone; `anneal` is a name in `SHAPES`, `power` the exponent of
    those shapes that have one. Without its `endpoint` a phase stops one step short of it, where the next one starts.
    """

    pct: float
    lr: Pair
    momentum: Pair | None = None
    anneal: str = "linear"
    power: float = 1.0
    endpoint: bool = True

    def __post_init__(self) -> None:
        checks.number("pct", self.pct, at_least=MIN_SHARE, at_most=1)
        checks.choice("anneal", self.anneal, SHAPES)
        checks.number("power", self.power, above=0)
        checks.boolean("endpoint", self.endpoint)
        object.__setattr__(self, "lr", self._ends("lr", self.lr, at_least=0))
        if self.momentum is not None:
            object.__setattr__(self, "momentum", self._ends("momentum", self.momentum, at_least=0, below=1))

    def __repr__(self) -> str:
        told = [(field.name, getattr(self, field.name)) for field in fields(self)]
        defaults = {field.name: field.default for field in fields(self)}
        return f"Phase({', '.join(f'{name}={value!r}' for name, value in told if value != defaults[name])})"

    def values(self, ends: Pair, count: int) -> Array:
        """`count` values from the first end to the second, both exact."""
        start, end = ends
        if start == end:
            return np.full(count, start)
        result = SHAPES[self.anneal](start, end, np.linspace(0.0, 1.0, count), self.power)
        # What rounding leaves of (end - start) must show neither at the ends nor past them.
        np.clip(result, min(ends), max(ends), out=result)
        result[0], result[-1] = start, end
        return result

    def _ends(self, name: str, value: Any, **bounds: float) -> Pair:
        ends = pair(name, value, **bounds)
        if self.anneal in _ABOVE_ZERO and ends[0] != ends[1] and min(ends) <= 0:
            raise checks.SettingError(f"{name}: got {list(ends)}, expected numbers above 0 for anneal {self.anneal}")
        return ends


@dataclass(frozen=True)
class Schedule:
    """A learning-rate and momentum policy over the whole of training, independent of its number of steps."""

    phases: tuple[Phase, ...]
    name: str = "schedule"

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise checks.SettingError(f"phases: got {self.phases!r}, expected at least one phase")
        total = sum(phase.pct for phase in self.phases)
        if not math.isclose(total, 1.0, abs_tol=ROUNDING):
            raise checks.SettingError(f"pct: the phases of {self.name} add up to {total:.6g}, expected 1")
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            shares = (replace(phase, pct=phase.pct / total) for phase in self.phases)
            object.__setattr__(self, "phases", tuple(shares))
        if len({phase.momentum is None for phase in self.phases}) > 1:
            raise checks.SettingError(f"momentum: {self.name} sets it in some phases only, expected all or none")
        if not self.phases[-1].endpoint:
            raise checks.SettingError(f"endpoint: got False in the last phase of {self.name}, expected True")

    @property
    def has_momentum(self) -> bool:
        """Whether the policy drives momentum too."""
        return self.phases[0].momentum is not None

    @property
    def peak_momentum(self) -> float | None:
        """The momentum where the learning rate is highest; None where the policy leaves momentum alone."""
        ends = [end for phase in self.phases if phase.momentum for end in zip(phase.lr, phase.momentum, strict=True)]
        return max(ends, key=lambda end: end[0])[1] if ends else None

    def scaled(self, factor: float) -> Schedule:
        """The same policy with every learning rate times `factor`, a number above 0; momentum as it is."""
        by = checks.number("factor", factor, above=0)
        phases = tuple(replace(phase, lr=(phase.lr[0] * by, phase.lr[1] * by)) for phase in self.phases)
        return replace(self, phases=phases)

    @property
    def min_steps(self) -> int:
        """The number of steps from which on every phase always gets at least one."""
        candidates = np.arange(1, self._surely_enough)
        ends = np.stack([np.zeros_like(candidates), *self._knots(candidates)])
        least = 0 if self._is_flat else 1
        too_few = candidates[(np.diff(ends, axis=0) < least).any(axis=0)]
        return int(too_few[-1]) + 1 if len(too_few) else 1

    def knots(self, steps: int) -> list[int]:
        """The step, counted from 0, on which each phase ends; the last is `steps - 1`."""
        return [int(knot[0]) for knot in self._knots(np.array([steps]))]

    def sample(self, steps: int) -> tuple[Array, Array | None]:
        """The values of every step of a run: two float64 arrays of length `steps`, lr and momentum.

        Momentum is None where the policy leaves it alone. The first step has exactly the start value, one step
        exactly the peak, the last exactly the final value. Raises SettingError where a phase would get no step.
        """
        steps = checks.integer("steps", steps, at_least=1)
        if steps < self._surely_enough and steps < self.min_steps:
            phases = f"its {len(self.phases)} phases" if len(self.phases) > 1 else "its one phase"
            raise checks.SettingError(
                f"steps: got {steps}, expected at least {self.min_steps} for {self.name} with {phases}"
            )
        learning_rate = self._join(steps, [phase.lr for phase in self.phases])
        if not self.has_momentum:
            return learning_rate, None
        return learning_rate, self._join(steps, [phase.momentum for phase in self.phases if phase.momentum])

    def as_keras(self, steps: int) -> TableSchedule:
        """The same learning rates as a LearningRateSchedule of Keras, for an optimizer's `learning_rate`.

        For those who cannot use a callback: Keras has schedules for the learning rate alone, so that the optimizer's
        momentum stays where it is, whatever the policy does to it. `steps` counts what the optimizer counts, batches
        also where it accumulates gradients; past them the last rate holds. It is saved with the model; before such a
        file is loaded elsewhere, `sconv.TableSchedule` must have been named once, which tells Keras of it.
        """
        from sconv.schedules.keras_schedule import TableSchedule  # a schedule needs no Keras

        return TableSchedule(self.sample(steps)[0].tolist())

    @property
    def _surely_enough(self) -> int:
        """A number of steps that suffices however the knots are rounded."""
        return math.ceil(3 / min(phase.pct for phase in self.phases)) + 2

    @property
    def _is_flat(self) -> bool:
        """Whether it is one phase that stays where it is, which one step can hold."""
        return len(self.phases) == 1 and len(set(self.phases[0].lr)) == 1

    def _knots(self, steps: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The knots for each number of steps: phases of equal share have equally many steps, as far as that goes.

        A phase's length is rounded by itself; where these roundings would add up to more than one step, its end is.
        """
        last = steps - 1
        knots: list[NDArray[np.int64]] = []
        knot, share = np.zeros_like(steps), 0.0
        for phase in self.phases[:-1]:
            share += phase.pct
            by_length, ideal = knot + np.rint(phase.pct * last).astype(int), share * last
            knot = np.where(abs(by_length - ideal) <= 1, by_length, np.rint(ideal).astype(int))
            knots.append(knot)
        return [*knots, last]

    def _join(self, steps: int, ends: Sequence[Pair]) -> Array:
        """One array of the phases' values: they share the step where they meet, and jump to the next one else."""
        pieces: list[Array] = []
        start, last = 0, None
        for phase, knot, (first, second) in zip(self.phases, self.knots(steps), ends, strict=True):
            joins = last == first
            if last is not None and not joins:
                start += 1
            values = phase.values((first, second), knot - start + 1)
            pieces.append(values[int(joins) : len(values) - int(not phase.endpoint)])
            # Where an endpoint is left out, nothing stands yet: the next phase begins on that very step.
            start, last = knot, second if phase.endpoint else None
        return np.concatenate(pieces)


def pair(name: str, value: Any, **bounds: float) -> Pair:
    """Two numbers, checked: where a phase begins and where it ends."""
    first, last = checks.listed(name, value, "a pair of numbers [first, last]", (2, 2))
    return checks.number(name, first, **bounds), checks.number(name, last, **bounds)
