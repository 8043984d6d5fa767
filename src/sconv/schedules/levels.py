"""The knobs that the policies share, checked: levels of the learning rate, and momentum held or cycled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sconv import checks
from sconv.schedules.schedule import Pair, pair

Momentum = float | Sequence[float] | None


def lr_levels(lr_max: float, div_factor: float, final_div_factor: float | None) -> tuple[float, float, float]:
    """Peak, start and final learning rate; without a final factor the end is 0."""
    peak = checks.number("lr_max", lr_max, above=0)
    divisor = checks.number("div_factor", div_factor, at_least=1)
    if final_div_factor is None:
        return peak, peak / divisor, 0.0
    return peak, peak / divisor, peak / (divisor * checks.number("final_div_factor", final_div_factor, at_least=1))


def cycled(momentum: Any) -> tuple[Pair, Pair, Pair] | tuple[None, None, None]:
    """Momentum while the learning rate rises, falls and is low: (high, low), (low, high) and (high, high)."""
    if momentum is None:
        return None, None, None
    if hasattr(momentum, "__float__"):
        momentum = [momentum, momentum]
    high, low = pair("momentum", momentum, at_least=0, below=1)
    if low > high:
        raise checks.SettingError(f"momentum: got {checks.shown(momentum)}, expected [high, low]: it falls as lr rises")
    return (high, low), (low, high), (high, high)


def held(momentum: Any) -> Pair | None:
    """The same momentum at both ends of a phase."""
    if momentum is None:
        return None
    value = checks.number("momentum", momentum, at_least=0, below=1)
    return value, value
