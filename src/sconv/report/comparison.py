"""Each group against its baseline: what every table, picture and page of the report says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sconv import checks, runs
from sconv.report.groups import Group, matching, monitored
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
DEFAULT_BASELINE = "schedule=baseline"


@dataclass(frozen=True)
class Row:
    """One group's line. `test` and `validation` are final accuracies, fractions; `seconds` are of training alone.

    `target`, `time_to_target` and `speedups` are about the accuracy by epoch, on the split that the group monitored.
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
    gain: Difference | None

    @property
    def is_baseline(self) -> bool:
        return self.baseline is self.group


@dataclass(frozen=True)
class Comparison:
    """All rows, and what a reader of them has to know."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


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
    rows = tuple(_row(group, candidates or _best(groups), target) for group in groups)
    notes = (*_baselines(rows, candidates, target), *_few_seeds(rows), *_costs(rows), *_splits(rows))
    return Comparison(rows, notes)


def _row(group: Group, candidates: Sequence[Group], target: float | None) -> Row:
    finished = group.finished
    speeds = [_images_per_second(run) for run in finished]
    own = _own_baseline(group, candidates)
    if target is None and own is not None:
        target = _monitored_accuracy(own)
    times = {} if target is None else {unit: _time_to_target(group, unit, target) for unit in UNITS}
    rival = own if times and own is not group else None
    return Row(
        group,
        test=mean_std(_accuracies(group, "test")),
        validation=mean_std(_accuracies(group, "validation")),
        steps=mean_std([run.summary["steps"] for run in finished]),
        seconds=mean_std([run.summary["seconds"]["training"] for run in finished]),
        images_per_second=mean_std([speed for speed in speeds if speed is not None]),
        baseline=own,
        target=target,
        time_to_target=times,
        speedups={} if rival is None else {unit: _speedup(rival, unit, target or 0, times[unit]) for unit in UNITS},
        gain=None if rival is None else _gain(group, candidates),
    )


def _accuracies(group: Group, split: str) -> list[float]:
    """What the finished runs of a group end at on a split; nothing on one that they have not."""
    found = [runs.accuracy(run.summary, split) for run in group.finished]
    return [value for value in found if value is not None]


def _monitored_accuracy(group: Group) -> float:
    """Mean accuracy that the finished runs of a group end at, on the split that they monitored."""
    return float(np.mean(_accuracies(group, group.monitored or "test")))


def _own_baseline(group: Group, candidates: Sequence[Group]) -> Group | None:
    """The baseline on the same data, if possible the same model; of several the best tuned: the one that ends best.

    Best on the split that was monitored: where there is a validation split, the test split has no say in the choice.
    """
    same = [other for other in candidates if _node(other, "dataset") == _node(group, "dataset") and other.finished]
    same = [other for other in same if _node(other, "model") == _node(group, "model")] or same
    return max(same, key=_monitored_accuracy, default=None)


def _best(groups: Sequence[Group]) -> list[Group]:
    """Of the groups of each dataset the one that ends best on the split that was monitored; of one alone none."""
    finished: dict[str, list[Group]] = {}
    for group in groups:
        if group.finished:
            finished.setdefault(str(_node(group, "dataset")), []).append(group)
    return [max(same, key=_monitored_accuracy) for same in finished.values() if len(same) > 1]


def _gain(group: Group, candidates: Sequence[Group]) -> Difference | None:
    """Final test accuracy against the best baseline that was trained for as many epochs: an equal budget of images."""
    equal = [other for other in candidates if other.config.get("epochs") == group.config.get("epochs")]
    rival = _own_baseline(group, equal)
    if rival is None or rival is group or not group.finished:
        return None
    return difference(*(_accuracies(one, "test") for one in (group, rival)))


def _time_to_target(group: Group, unit: str, target: float) -> TimeToTarget:
    """Cost to the target of each seed that ran its course. A diverged run left no model behind: it never reached it."""
    costs = [first_at_or_above(run.epochs["val_accuracy"], run.epochs[unit], target) for run in group.finished]
    return TimeToTarget((*costs, *([None] * len(group.diverged))))


def _speedup(baseline: Group, unit: str, target: float, time: TimeToTarget) -> Speedup:
    # A diverged seed counts with what its finished fellows spent: its own budget in seconds is not known.
    spent = [float(run.epochs[unit][-1]) for run in baseline.finished]
    budgets = spent + [float(np.mean(spent))] * len(baseline.diverged)
    return speedup(_time_to_target(baseline, unit, target), budgets, time)


def _images_per_second(run: runs.Run) -> float | None:
    images, seconds = run.summary.get("train_examples"), run.summary["seconds"]["training"]
    return len(run.epochs["epoch"]) * images / seconds if images and seconds else None


def _node(group: Group, name: str) -> dict[str, object]:
    return {key: value for key, value in group.config.items() if key.partition(".")[0] == name}


def _baselines(rows: Sequence[Row], candidates: Sequence[Group], target: float | None) -> list[str]:
    """What each group is compared with, and what is asked of it."""
    notes = []
    alone = [row.group.label for row in rows if row.baseline is None]
    if not candidates and any(row.is_baseline for row in rows):
        notes.append(
            f"no {DEFAULT_BASELINE} here: the baseline is the best group on the same data (--baseline names another), "
            "which was picked by its outcome and so looks better than it is"
        )
    elif not candidates:
        notes.append(
            f"no baseline: {DEFAULT_BASELINE} is not there, --baseline names another. No speed-ups, no differences"
        )
    elif alone:
        notes.append(f"no finished baseline on the same data for: {'; '.join(alone)}")
    if len({str(_node(row.group, "dataset")) for row in rows}) > 1:
        notes.append("several datasets: compare accuracies and targets within one only")
    for row in rows:
        if row.is_baseline and any(other.baseline is row.group for other in rows):
            what = "given" if target is not None else "the mean it ends at"
            aim = f"{100 * (row.target or 0):.2f} % {row.group.monitored} accuracy"
            notes.append(f"* the {'baseline' if candidates else 'best'}, {row.group.label}: target {aim} ({what})")
    return notes


def _costs(rows: Sequence[Row]) -> list[str]:
    """What one has to know to read the costs to the target, and the speed-ups made of them."""
    concerned: dict[str, list[str]] = {}
    for row in rows:
        if "step" in row.speedups:
            concerned.setdefault(row.speedups["step"].note, []).append(row.group.label)
    notes = [f"{'; '.join(labels)}: {note}" for note, labels in concerned.items() if note]
    if any(found.at_least for row in rows for found in row.speedups.values()):
        notes.append("≥: baseline seeds that never reached the target count with all they spent: a lower bound")
    if any(row.time_to_target for row in rows):
        split = monitored([row.group for row in rows])
        notes.append(f"reached: the first {split} accuracy at or above the target; evaluations are an epoch apart")
    return notes


def _splits(rows: Sequence[Row]) -> list[str]:
    """Which groups monitored which split, where they did not all monitor the same."""
    by_split = {split: [row.group.label for row in rows if row.group.monitored == split] for split in runs.SPLITS}
    if not all(by_split.values()):
        return []
    return [f"curves and targets on the {split} split: {'; '.join(labels)}" for split, labels in by_split.items()]


def _few_seeds(rows: Sequence[Row]) -> list[str]:
    fewest = min((row.test.n for row in rows if row.test), default=0)
    if fewest == 1:
        return ["one seed only: no deviation, no interval, no test. Give at least 3 seeds, better 5: seed=range(5)"]
    return ["two seeds: too few for a bootstrap interval, which needs 3"] if fewest == 2 else []
