"""Policies that rise and fall more than once over a run."""

from __future__ import annotations

import math
from collections.abc import Callable

from sconv import checks
from sconv.schedules.levels import Momentum, cycled, held, lr_levels
from sconv.schedules.schedule import Pair, Phase, Schedule

# The amplitude of a cycle, counted from 0, at its peak; and the shapes of its way up and its way down.
_MODES: dict[str, tuple[Callable[[int, float], float], tuple[str, str]]] = {
    "triangular": (lambda cycle, gamma: 1.0, ("linear", "linear")),
    "triangular2": (lambda cycle, gamma: 0.5**cycle, ("linear", "linear")),
    "exp_range": (lambda cycle, gamma: gamma ** (cycle + 0.5), ("damped_out", "damped_back")),
}


def cyclic(
    lr_max: float,
    momentum: Momentum = None,
    cycles: int = 4,
    div_factor: float = 4.0,
    mode: str = "triangular",
    gamma: float = 0.5,
) -> Schedule:
    """Triangles between `lr_max / div_factor` and `lr_max`; a pair of momenta mirrors them.

    `mode` is triangular (all the same), triangular2 (each half as high as the one before) or exp_range (the height
    falls all the time, by `gamma` a cycle, so that `lr_max` itself is not reached). Source: Smith, "Cyclical learning
    rates for training neural networks" (arXiv 1506.01186), section 3.1; his gamma is ours to the power of one over
    the steps of a cycle.
    """
    peak, base, _ = lr_levels(lr_max, div_factor, None)
    count = checks.integer("cycles", cycles, at_least=1)
    height, shapes = _MODES[checks.choice("mode", mode, _MODES)]
    # Damped more than this, a cycle would have its peak before its middle.
    damping = -math.log(checks.number("gamma", gamma, at_least=0.14, below=1)) / 2
    power = damping if "damped_out" in shapes else 1.0
    ends, _, _ = cycled(momentum)

    def top(pair: Pair, cycle: int) -> float:
        return pair[0] + (pair[1] - pair[0]) * height(cycle, gamma)

    phases = []
    for cycle in range(count):
        lr = (base, top((base, peak), cycle))
        mirror = None if ends is None else (ends[0], top(ends, cycle))
        phases.append(Phase(0.5 / count, lr, mirror, shapes[0], power))
        phases.append(Phase(0.5 / count, lr[::-1], mirror and mirror[::-1], shapes[1], power))
    return Schedule(tuple(phases), "cyclic")


def sgdr(
    lr_max: float,
    momentum: float | None = None,
    cycles: int = 3,
    cycle_mult: float = 2.0,
    final_div_factor: float | None = None,
) -> Schedule:
    """Half a cosine from `lr_max` towards 0, restarted; each cycle is `cycle_mult` times as long as the one before.

    With `final_div_factor` a cycle ends at `lr_max / final_div_factor` in place of 0. A restart falls on the step that
    would have had the end value, which only the last step of training has. Source: Loshchilov and Hutter, "SGDR:
    stochastic gradient descent with warm restarts" (arXiv 1608.03983), equation 5.
    """
    peak, _, final = lr_levels(lr_max, 1, final_div_factor)
    count = checks.integer("cycles", cycles, at_least=1)
    mult, same = checks.number("cycle_mult", cycle_mult, at_least=1), held(momentum)
    lengths = [mult**cycle for cycle in range(count)]
    phases = tuple(
        Phase(length / sum(lengths), (peak, final), same, "cosine", endpoint=cycle == count - 1)
        for cycle, length in enumerate(lengths)
    )
    return Schedule(phases, "sgdr")
