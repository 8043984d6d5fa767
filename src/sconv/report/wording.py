"""How the report's numbers read, the same on the terminal, in Markdown and on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from sconv.report.comparison import Row
from sconv.report.groups import Group
from sconv.report.statistics import Difference, MeanStd, Speedup, TimeToTarget

NOTHING = "-"

COLUMNS: dict[str, Callable[[Row], str]] = {  # what people look for first stands first
    "group": lambda row: row.group.label + (" *" if row.is_baseline else ""),
    "runs": lambda row: counts(row.group),
    "val acc %": lambda row: percent(row.validation),
    "test acc %": lambda row: percent(row.test),
    "difference, points [95 %]": lambda row: gain(row.gain),
    "steps to target": lambda row: cost(row.spent("step")),
    "speedup (steps)": lambda row: speedup(row, row.speedups.get("step")),
    "reached": lambda row: NOTHING if row.ends_at_target else reached(row.time_to_target.get("step")),
    "epochs to target": lambda row: cost(row.spent("epoch")),
    "seconds to target": lambda row: cost(row.spent("seconds")),
    "speedup (seconds)": lambda row: speedup(row, row.speedups.get("seconds")),
    "speedup (images/s)": lambda row: speedup(row, row.pace),
    "steps": lambda row: amount(row.steps),
    "training seconds": lambda row: amount(row.seconds),
    "images/s": lambda row: amount(row.images_per_second, deviation=False),
    "p (Welch)": lambda row: significance(row.gain),
}
FEW = tuple(COLUMNS)[: [*COLUMNS].index("reached")]  # those that the page shows unasked


def cells(rows: Sequence[Row], columns: Iterable[str] = COLUMNS) -> dict[str, list[str]]:
    """The cells of these columns, a row each; without that of validation, where no group has such a split."""
    held_out = any(row.validation for row in rows)
    shown = (name for name in columns if held_out or name != "val acc %")
    return {name: [COLUMNS[name](row) for row in rows] for name in shown}


def percent(values: MeanStd | None) -> str:
    """A share as a percentage: 91.23 ±0.21."""
    if values is None:
        return NOTHING
    return f"{100 * values.mean:.2f}" + ("" if values.std is None else f" ±{100 * values.std:.2f}")


def amount(values: MeanStd | None, deviation: bool = True) -> str:
    """A cost with about three digits: 1,250 ±125, 12.3 ±0.4; no deviation where it is nought."""
    if values is None:
        return NOTHING
    digits = 0 if values.mean >= 100 or (values.mean.is_integer() and not values.std) else 1 if values.mean >= 1 else 3
    text = f"{values.mean:,.{digits}f}"
    return f"{text} ±{values.std:,.{digits}f}" if deviation and values.std else text


def cost(time: TimeToTarget) -> str:
    """The median of what was spent until the target: "never" where half or more never reached it."""
    if not time.costs:
        return NOTHING
    return amount(MeanStd(time.median, None, len(time.costs))) if time.median < math.inf else "never"


def reached(time: TimeToTarget | None) -> str:
    """How many seeds reached the target: 3 of 5."""
    return f"{len(time.reached)} of {len(time.costs)}" if time and time.costs else NOTHING


def speedup(row: Row, found: Speedup | None) -> str:
    """A speed-up and its interval: 2.31 [1.90, 2.80]; with ≥ where the baseline's own cost is a lower bound."""
    if row.is_baseline:
        return "1"
    if found is None or found.value is None:
        return NOTHING
    interval = "" if found.low is None or found.high is None else f" [{_times(found.low)}, {_times(found.high)}]"
    return f"{'≥' if found.at_least and found.value else ''}{_times(found.value)}{interval}"


def _times(value: float) -> str:
    return "never" if value == 0 else "∞" if value == math.inf else f"{value:.2f}"


def gain(difference: Difference | None) -> str:
    """A difference of accuracies in percentage points with its interval: +1.20 [+0.80, +1.60]; or why it has none."""
    if difference is None:
        return NOTHING
    return f"{100 * difference.mean:+.2f} {interval(difference) or f'({difference.note})'}"


def interval(difference: Difference) -> str:
    """The interval of a difference of accuracies in percentage points: [+0.80, +1.60]; nothing where there is none."""
    if difference.low is None or difference.high is None:
        return ""
    return f"[{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


def significance(difference: Difference | None) -> str:
    """A p-value with three digits after the point."""
    if difference is None or difference.p is None:
        return NOTHING
    return "<0.001" if difference.p < 0.001 else f"{difference.p:.3f}"


def counts(group: Group) -> str:
    """How many runs ended how: 5, or 4, 1 diverged."""
    others = [f"{count} {status}" for status, count in sorted(group.statuses.items()) if status != "finished"]
    return ", ".join([str(len(group.finished)), *others])
