"""The 1cycle policy in its dialects, and policies out of a user's own phases.

Each returns a `Schedule`, a frozen value made of a few phases. Every one takes `lr_max`, the highest learning rate of
the run. Every `momentum` is a number (held), a pair `(high, low)` (cycled: high where the learning rate is low), or
None (the optimizer keeps its own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sconv import checks
from sconv.schedules.curves import Phase, Schedule, pair
from sconv.schedules.knobs import Momentum, cycled, lr_levels


def onecycle(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 25.0,
    final_div_factor: float = 100.0,
    pct_start: float = 0.45,
    anneal: str = "linear",
) -> Schedule:
    """The 1cycle policy in three phases: up, down in as many steps, annihilate.

    The learning rate starts at `lr_max / div_factor`, ends at `lr_max / (div_factor * final_div_factor)`, and takes
    `pct_start` of training for each way. Source: Smith, "A disciplined approach to neural network
    hyper-parameters" (arXiv 1803.09820), section 4; Gugger, "The 1cycle policy" (2018).
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=0.5)
    down, up = cycled(momentum)
    held = None if down is None else (down[0], down[0])
    phases = (
        Phase(share, (start, peak), down, anneal),
        Phase(share, (peak, start), up, anneal),
        Phase(1 - 2 * share, (start, final), held, anneal),
    )
    return Schedule(phases, "onecycle")


def onecycle_fastai(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    pct_start: float = 0.3,
    anneal: str = "cosine",
) -> Schedule:
    """The 1cycle policy in two phases: up over `pct_start` of training, then all the way down.

    The learning rate starts at `lr_max / div_factor` and ends at `lr_max / (div_factor * final_div_factor)`; momentum
    mirrors it. Source: fastai v1, `callbacks/one_cycle.py`; the default of PyTorch's OneCycleLR.
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=1)
    down, up = cycled(momentum)
    phases = (Phase(share, (start, peak), down, anneal), Phase(1 - share, (peak, final), up, anneal))
    return Schedule(phases, "onecycle_fastai")


def onecycle_smith(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 10.0,
    final_div_factor: float = 1000.0,
    pct_start: float = 0.43,
) -> Schedule:
    """The 1cycle policy as Smith ran it in Caffe: up, down to 0 in as many steps, then a small constant.

    The learning rate starts at `lr_max / div_factor`; the tail holds `lr_max / (div_factor * final_div_factor)`, from
    the step on that would have had 0. In his logs momentum begins a second, smaller dip in the tail; here it stays
    high. Source: the training logs at github.com/lnsmith54/hyperParam1 (ResNet-56: 4,003 steps up, 4,003 down, 9,277
    in all); arXiv 1803.09820 tells of the policy, not of these numbers.
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=0.5)
    down, up = cycled(momentum)
    phases = (
        Phase(share, (start, peak), down),
        Phase(share, (peak, 0.0), up, open=True),
        Phase(1 - 2 * share, (final, final), None if down is None else (down[0], down[0])),
    )
    return Schedule(phases, "onecycle_smith")


# Up and down in straight lines, as Page's ResNet-9 had it (github.com/davidcpage/cifar10-fast).
_UP_AND_DOWN: tuple[Mapping[str, Any], ...] = (
    {"pct": 0.2, "lr": [0.0, 1.0], "momentum": [0.95, 0.85], "anneal": "linear"},
    {"pct": 0.8, "lr": [1.0, 0.0], "momentum": [0.85, 0.95], "anneal": "linear"},
)


def phases(lr_max: float, phases: Sequence[Mapping[str, Any]] = _UP_AND_DOWN) -> Schedule:
    """A policy of one's own: phases told as mappings from the names of `Phase` (`pct` and `lr` at least) to values.

    A phase's `lr` is in multiples of `lr_max`. Raises SettingError or SettingTypeError, which name the phase by its
    number from 0.
    """
    unit = checks.number("lr_max", lr_max, above=0)
    if isinstance(phases, str) or not isinstance(phases, Sequence):
        raise checks.SettingTypeError(f"phases: got {phases!r}, expected a list of phases {{pct, lr: [first, last]}}")
    return Schedule(tuple(_phase(f"phases[{number}]", told, unit) for number, told in enumerate(phases)), "phases")


def _phase(name: str, told: Any, unit: float) -> Phase:
    names = [field.name for field in fields(Phase)]
    if not isinstance(told, Mapping) or not {"pct", "lr"} <= told.keys() <= set(names):
        allowed = f"pct and lr, and at most {', '.join(names[2:])} besides"
        raise checks.SettingTypeError(f"{name}: got {told!r}, expected {allowed}")
    try:
        first, last = pair("lr", told["lr"], at_least=0)
        return Phase(**{**told, "lr": (first * unit, last * unit)})
    except (checks.SettingError, checks.SettingTypeError) as error:
        raise type(error)(f"{name}.{error}") from error
