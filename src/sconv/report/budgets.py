"""What separately trained runs end at on budgets of several sizes: a line a schedule, and the steps that it saves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sconv.report import factors
from sconv.report.factors import Fewer
from sconv.report.groups import Group, labels

# What may differ along a line: the budget, and the peak that was searched for it.
SEARCHED = ("lr_max", "schedule.lr_max")
ALONG_A_LINE = ("epochs", *SEARCHED)


@dataclass(frozen=True)
class Budget:
    """A line at one number of epochs: final test accuracies, one a seed, at the best of the `tried` peaks."""

    steps: float
    ends: tuple[float, ...]
    tried: int
    group: Group


@dataclass(frozen=True)
class Line:
    """One schedule; `fewer` is how its steps compare with the baseline's, None of the baseline and without one."""

    label: str
    budgets: tuple[Budget, ...]
    is_baseline: bool = False
    fewer: Fewer | None = None

    @property
    def points(self) -> list[tuple[float, tuple[float, ...]]]:
        return [(budget.steps, budget.ends) for budget in self.budgets]


@dataclass(frozen=True)
class Chart:
    """All lines of one model on one dataset; `target` is what the baseline's best budget, of `taken` steps, ends at."""

    name: str
    lines: tuple[Line, ...]
    taken: float | None = None
    target: float | None = None

    @property
    def baseline(self) -> Line | None:
        return next((line for line in self.lines if line.is_baseline), None)


def charts(groups: Sequence[Group], baselines: Sequence[Group]) -> tuple[Chart, ...]:
    """A chart of each model on each dataset that was trained for several numbers of epochs."""
    alike: dict[str, list[Group]] = {}
    for group in groups:
        alike.setdefault(json.dumps([group.node("dataset"), group.node("model")], default=str), []).append(group)
    several = [
        [group for group in members if group.finished]
        for members in alike.values()
        if len({str(group.config.get("epochs")) for group in members if group.finished}) > 1
    ]
    return tuple(_chart(members, baselines) for members in several)


def _chart(groups: Sequence[Group], baselines: Sequence[Group]) -> Chart:
    by_setting: dict[str, list[Group]] = {}
    for group in groups:
        by_setting.setdefault(json.dumps(_setting(group), sort_keys=True, default=str), []).append(group)
    members = list(by_setting.values())
    named = labels([_setting(alike[0]) for alike in members], [alike[0].choices for alike in members])
    lines = [Line(label, _budgets(alike)) for label, alike in zip(named, members, strict=True)]
    name = ", ".join(groups[0].choices.get(node, "?") for node in ("dataset", "model"))
    rivals = [line for line, alike in zip(lines, members, strict=True) if any(one in alike for one in baselines)]
    if not rivals:
        return Chart(name, tuple(lines))
    own = max(rivals, key=lambda line: max(budget.group.ends_at for budget in line.budgets))
    compared = (
        Line(line.label, line.budgets, line is own, None if line is own else factors.fewer(own.points, line.points))
        for line in lines
    )
    return Chart(name, tuple(compared), *factors.best(own.points))


def _setting(group: Group) -> dict[str, object]:
    return {name: value for name, value in group.config.items() if name not in ALONG_A_LINE}


def _budgets(groups: Sequence[Group]) -> tuple[Budget, ...]:
    """Each number of epochs at its best peak: of those with most finished seeds, the one that ends highest.

    Highest on the split that was monitored, as everything that is chosen by its outcome.
    """
    by_epochs: dict[str, list[Group]] = {}
    for group in groups:
        by_epochs.setdefault(str(group.config.get("epochs")), []).append(group)
    found = []
    for tried in by_epochs.values():
        best = max(tried, key=lambda group: (len(group.finished), group.ends_at))
        steps = sum(run.summary["steps"] for run in best.finished) / len(best.finished)
        found.append(Budget(steps, tuple(best.accuracies("test")), len(tried), best))
    return tuple(sorted(found, key=lambda budget: budget.steps))
