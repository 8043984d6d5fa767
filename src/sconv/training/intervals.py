"""How often something is due: "1epoch", "20steps", "5min"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sconv import checks

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?) ?(epochs?|steps?|s|min|h)")


@dataclass(frozen=True)
class Interval:
    """A number of epochs, of steps or of seconds."""

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None

    def is_over(self, epochs: int | None, steps: int, seconds: float) -> bool:
        """Whether so many steps and seconds are enough, or the end of the epoch of that number (None: in one)."""
        return (
            (self.epochs is not None and epochs is not None and epochs % self.epochs == 0)
            or (self.steps is not None and steps >= self.steps)
            or (self.seconds is not None and seconds >= self.seconds)
        )


def intervals(name: str, value: str | Sequence[str]) -> tuple[Interval, ...]:
    """One or several intervals as written; SettingError says how they are."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise checks.SettingTypeError(f"{name}: got {checks.shown(value)}, expected {_EXPECTED}")
    return tuple(_interval(name, text) for text in texts)


_EXPECTED = "one or a list of such as 1epoch, 20steps, 30s, 5min, 2h"


def _interval(name: str, text: str) -> Interval:
    match = _WRITTEN.fullmatch(text)
    count = float(match[1]) if match else 0.0
    unit = match[2].removesuffix("s") or "s" if match else ""
    if not count or (unit not in _SECONDS and not count.is_integer()):
        raise checks.SettingError(f"{name}: got {checks.shown(text)}, expected {_EXPECTED}")
    if unit in _SECONDS:
        return Interval(seconds=count * _SECONDS[unit])
    return Interval(epochs=int(count)) if unit == "epoch" else Interval(steps=int(count))
