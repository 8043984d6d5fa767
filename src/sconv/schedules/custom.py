"""Policies out of a user's own phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sconv import checks
from sconv.schedules.schedule import Phase, Schedule, pair

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
    listed = checks.listed("phases", phases, "a list of phases {pct, lr: [first, last]}")
    return Schedule(tuple(_phase(f"phases[{number}]", told, unit) for number, told in enumerate(listed)), "phases")


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
