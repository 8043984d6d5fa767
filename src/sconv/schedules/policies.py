"""The policies: each returns a `Schedule`, a frozen value made of a few phases.

Every one takes `lr_max`, the highest learning rate of the run. Every `momentum` is a number (held), a pair
`(high, low)` (cycled: high where the learning rate is low), or None (the optimizer keeps its own).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sconv import checks
from sconv.schedules.curves import Pair, Phase, Schedule, pair

Momentum = float | Sequence[float] | None


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
    peak, start, final = _lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=0.5)
    down, up = _cycled(momentum)
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
    peak, start, final = _lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=1)
    down, up = _cycled(momentum)
    phases = (Phase(share, (start, peak), down, anneal), Phase(1 - share, (peak, final), up, anneal))
    return Schedule(phases, "onecycle_fastai")


def baseline(
    lr_max: float, momentum: float | None = 0.9, drops: Sequence[float] = (0.625, 0.875), factor: float = 0.1
) -> Schedule:
    """A constant learning rate, multiplied by `factor` at each share of training in `drops`.

    Source: the piecewise constant comparison of Smith and Topin, "Super-Convergence" (arXiv 1708.07120), Fig. 1a:
    drops at 50,000 and 70,000 of 80,000 iterations, momentum 0.9.
    """
    rate = checks.number("lr_max", lr_max, above=0)
    factor = checks.number("factor", factor, above=0, at_most=1)
    if isinstance(drops, str) or not isinstance(drops, Sequence):
        raise checks.SettingTypeError(f"drops: got {checks.shown(drops)}, expected a list of shares of training")
    at = [checks.number("drops", drop, above=0, below=1) for drop in drops]
    if sorted(set(at)) != at:
        raise checks.SettingError(f"drops: got {checks.shown(drops)}, expected shares of training in rising order")
    levels = [rate * factor**number for number in range(len(at) + 1)]
    shares = [end - begin for begin, end in zip([0.0, *at], [*at, 1.0], strict=True)]
    held = _held(momentum)
    phases = tuple(Phase(share, (level, level), held) for share, level in zip(shares, levels, strict=True))
    return Schedule(phases, "baseline")


def constant(lr_max: float, momentum: float | None = None) -> Schedule:
    """The same learning rate throughout."""
    rate = checks.number("lr_max", lr_max, above=0)
    return Schedule((Phase(1.0, (rate, rate), _held(momentum)),), "constant")


def cosine(
    lr_max: float,
    momentum: float | None = None,
    warmup_pct: float = 0.0,
    div_factor: float = 25.0,
    final_div_factor: float | None = None,
) -> Schedule:
    """Half a cosine from `lr_max` down to 0, after an optional linear warm-up over `warmup_pct` of training.

    The warm-up starts at `lr_max / div_factor`. With `final_div_factor` the cosine ends at
    `lr_max / (div_factor * final_div_factor)` in place of 0. Source: Loshchilov and Hutter, "SGDR"
    (arXiv 1608.03983), equation 5, without restarts.
    """
    peak, start, final = _lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("warmup_pct", warmup_pct, at_least=0, below=1)
    held = _held(momentum)
    fall = Phase(1 - share, (peak, final), held, "cosine")
    return Schedule((Phase(share, (start, peak), held), fall) if share else (fall,), "cosine")


def _lr_levels(lr_max: float, div_factor: float, final_div_factor: float | None) -> tuple[float, float, float]:
    """Peak, start and final learning rate; without a final factor the end is 0."""
    peak = checks.number("lr_max", lr_max, above=0)
    divisor = checks.number("div_factor", div_factor, at_least=1)
    if final_div_factor is None:
        return peak, peak / divisor, 0.0
    return peak, peak / divisor, peak / (divisor * checks.number("final_div_factor", final_div_factor, at_least=1))


def _cycled(momentum: Any) -> tuple[Pair, Pair] | tuple[None, None]:
    """Momentum on the way up and on the way down of the learning rate: (high, low) and (low, high)."""
    if momentum is None or hasattr(momentum, "__float__"):
        held = _held(momentum)
        return (None, None) if held is None else (held, held)
    high, low = pair("momentum", momentum, at_least=0, below=1)
    if low > high:
        raise checks.SettingError(f"momentum: got {checks.shown(momentum)}, expected [high, low]: it falls as lr rises")
    return (high, low), (low, high)


def _held(momentum: Any) -> Pair | None:
    """The same momentum at both ends of a phase."""
    if momentum is None:
        return None
    value = checks.number("momentum", momentum, at_least=0, below=1)
    return value, value
