"""What a reader of a comparison has to know, in a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sconv import runs
from sconv.report.groups import DEFAULT_BASELINE, monitored

if TYPE_CHECKING:
    from sconv.report.comparison import Row


def of(rows: Sequence[Row], *, named: bool, given: bool) -> tuple[str, ...]:
    """All lines about these rows; `named` is whether a baseline was there by its name, `given` whether a target was."""
    return (*_baselines(rows, named, given), *_few_seeds(rows), *_costs(rows), *_splits(rows))


def _baselines(rows: Sequence[Row], named: bool, given: bool) -> list[str]:
    """What each group is compared with, and what is asked of it."""
    notes = []
    alone = [row.group.label for row in rows if row.baseline is None]
    if not named and any(row.is_baseline for row in rows):
        notes.append(
            f"no {DEFAULT_BASELINE} here: the baseline is the best group on the same data (--baseline names another), "
            "which was picked by its outcome and so looks better than it is"
        )
    elif not named:
        notes.append(
            f"no baseline: {DEFAULT_BASELINE} is not there, --baseline names another. No speed-ups, no differences"
        )
    elif alone:
        notes.append(f"no finished baseline on the same data for: {'; '.join(alone)}")
    if len({str(row.group.node("dataset")) for row in rows}) > 1:
        notes.append("several datasets: compare accuracies and targets within one only")
    for row in rows:
        if row.is_baseline and any(other.baseline is row.group for other in rows):
            what = "given" if given else "the mean it ends at"
            aim = f"{100 * (row.target or 0):.2f} % {row.group.monitored} accuracy"
            notes.append(f"* the {'baseline' if named else 'best'}, {row.group.label}: target {aim} ({what})")
    return notes


def _costs(rows: Sequence[Row]) -> list[str]:
    """What one has to know to read the costs to the target, and the speed-ups made of them."""
    concerned: dict[str, list[str]] = {}
    for row in rows:
        if "step" in row.speedups:
            concerned.setdefault(row.speedups["step"].note, []).append(row.group.label)
    notes = [f"{'; '.join(labels)}: {note}" for note, labels in concerned.items() if note]
    if any(found.at_least for row in rows for found in row.speedups.values()):
        notes.append(
            "≥: half or more of the baseline's seeds end below the target and count with all they spent: a lower bound"
        )
    if any(row.time_to_target for row in rows):
        split = monitored([row.group for row in rows])
        notes.append(
            f"reached: the first {split} accuracy at or above the target; evaluations are an epoch apart. Medians over "
            "seeds: one that never gets there takes for ever, but for the baseline's own where the target is its mean"
        )
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
    return []
