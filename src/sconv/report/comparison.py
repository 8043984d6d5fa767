"""Each group against its baseline: what every table, picture and page of the report says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sconv import checks
from sconv.report import budgets, notes
from sconv.report.groups import DEFAULT_BASELINE, Group, matching
from sconv.report.statistics import (
    Difference,
    MeanStd,
    Speedup,
    TimeToTarget,
    difference,
    first_at_or_above,
    mean_std,
    speedup,
)

UNITS = ("step", "epoch", "seconds")


@dataclass(frozen=True)
class Row:
    """One group's line. `test` and `validation` are final accuracies, fractions; `seconds` are of training alone.

    `target`, `time_to_target` and `speedups` are about the accuracy by epoch, on the split that the group monitored.
    `gain` is the final test accuracy against `rival`, the best baseline that was trained for as many epochs.
    """

    group: Group
    test: MeanStd | None
    validation: MeanStd | None
    steps: MeanStd | None
    seconds: MeanStd | None
    images_per_second: MeanStd | None
    baseline: Group | None
    target: float | None
    time_to_target: dict[str, TimeToTarget]  # by unit, as the next
    speedups: dict[str, Speedup]
    pace: Speedup | None  # of the images per second: what machine and program give, and not the schedule
    rival: Group | None
    gain: Difference | None
    is_candidate: bool  # one of the groups that a baseline is taken from

    @property
    def is_baseline(self) -> bool:
        return self.baseline is self.group

    def spent(self, unit: str) -> TimeToTarget:
        """What each seed spent until the target; of a group whose own mean it is, those that reached it."""
        time = self.time_to_target.get(unit, TimeToTarget(()))
        return TimeToTarget(tuple(time.reached)) if self.ends_at_target else time

    @property
    def ends_at_target(self) -> bool:
        """Whether the target is the group's own mean: then it says nothing who of its seeds ends above."""
        return self.is_baseline and self.target == self.group.ends_at


@dataclass(frozen=True)
class Comparison:
    """All rows, and what a reader of them has to know."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    charts: tuple[budgets.Chart, ...] = ()


def compare(groups: Sequence[Group], baseline: str | None = None, target: float | None = None) -> Comparison:
    """Compare every group with the baseline: schedule=baseline by default, where there is none the best of the groups.

    `target` is an accuracy in (0, 1] on the split that was monitored; default: what the baseline ends at there, the
    mean over its seeds.
    """
    if target is not None:
        target = checks.number("target", target, above=0, at_most=1)
    candidates = matching(groups, baseline or DEFAULT_BASELINE)
    if baseline and not candidates:
        labels = "; ".join(group.label for group in groups)
        raise checks.SettingError(f"baseline: got {baseline!r}, expected a group out of {labels}")
    measures = candidates or _best(groups)
    rows = tuple(_row(group, measures, target) for group in groups)
    said = notes.of(rows, named=bool(candidates), given=target is not None)
    return Comparison(rows, said, budgets.charts(groups, measures))


def _row(group: Group, candidates: Sequence[Group], target: float | None) -> Row:
    finished = group.finished
    speeds = _images_per_second(group)
    own = _own_baseline(group, candidates)
    if target is None and own is not None:
        target = own.ends_at
    times = {} if target is None else {unit: _time_to_target(group, unit, target) for unit in UNITS}
    measured = own is not None and own is not group
    rival = _rival(group, candidates) if measured else None
    return Row(
        group,
        test=mean_std(group.accuracies("test")),
        validation=mean_std(group.accuracies("validation")),
        steps=mean_std([run.summary["steps"] for run in finished]),
        seconds=mean_std([run.summary["seconds"]["training"] for run in finished]),
        images_per_second=mean_std(speeds),
        baseline=own,
        target=target,
        time_to_target=times,
        speedups={unit: _speedup(own, unit, target or 0, times[unit]) for unit in UNITS} if own and measured else {},
        pace=_pace(own, group) if own and measured else None,
        rival=rival,
        gain=None if rival is None else difference(group.accuracies("test"), rival.accuracies("test")),
        is_candidate=group in candidates,
    )


def _own_baseline(group: Group, candidates: Sequence[Group]) -> Group | None:
    """The baseline on the same data, if possible the same model; of several the best tuned: the one that ends best.

    Best on the split that was monitored: where there is a validation split, the test split has no say in the choice.
    """
    same = [other for other in candidates if other.node("dataset") == group.node("dataset") and other.finished]
    same = [other for other in same if other.node("model") == group.node("model")] or same
    return max(same, key=lambda group: group.ends_at, default=None)


def _best(groups: Sequence[Group]) -> list[Group]:
    """Of the groups of each dataset the one that ends best on the split that was monitored; of one alone none."""
    finished: dict[str, list[Group]] = {}
    for group in groups:
        if group.finished:
            finished.setdefault(str(group.node("dataset")), []).append(group)
    return [max(same, key=lambda group: group.ends_at) for same in finished.values() if len(same) > 1]


def _rival(group: Group, candidates: Sequence[Group]) -> Group | None:
    """The best other baseline that was trained for as many epochs: an equal budget of images."""
    equal = [other for other in candidates if other.config.get("epochs") == group.config.get("epochs")]
    own = _own_baseline(group, equal)
    return None if own is group or not group.finished else own


def _time_to_target(group: Group, unit: str, target: float) -> TimeToTarget:
    """Cost to the target of each seed that ran its course. A diverged run left no model behind: it never reached it."""
    costs = [first_at_or_above(run.epochs["val_accuracy"], run.epochs[unit], target) for run in group.finished]
    return TimeToTarget((*costs, *([None] * len(group.diverged))))


def _speedup(baseline: Group, unit: str, target: float, time: TimeToTarget) -> Speedup:
    # A diverged seed counts with what its finished fellows spent: its own budget in seconds is not known.
    spent = [float(run.epochs[unit][-1]) for run in baseline.finished]
    budgets = spent + [float(np.mean(spent))] * len(baseline.diverged)
    return speedup(_time_to_target(baseline, unit, target), budgets, time)


def _pace(baseline: Group, group: Group) -> Speedup:
    """How many times as many images per second, as a speed-up in the seconds of an image."""
    spent, other = ([1 / speed for speed in _images_per_second(each)] for each in (baseline, group))
    return speedup(TimeToTarget(tuple(spent)), spent, TimeToTarget(tuple(other) if spent else ()))


def _images_per_second(group: Group) -> list[float]:
    """Of the finished runs that tell how many images they were trained on."""
    told = [(run, run.summary.get("train_examples"), run.summary["seconds"]["training"]) for run in group.finished]
    return [len(run.epochs["epoch"]) * images / seconds for run, images, seconds in told if images and seconds]
