"""What a group's runs went through: each seed epoch by epoch, and the schedule step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sconv import runs
from sconv.report.groups import Group, monitored

METRICS = ("val_accuracy", "val_loss", "loss")
AXES = {"step": "steps", "epoch": "epochs", "seconds": "seconds of training"}  # column: what to call it
SCHEDULE = {"learning_rate": "learning rate", "momentum": "momentum"}  # of steps.csv, likewise
JUMP = 0.02  # of the range of a schedule in one step; a slope has smaller ones, or more of them in a row
TELLING = 1.25  # times as long a step: less is a load of the machine
POINTS = 250  # of a line on the page: its kinks stay visible, and a hundred runs stay a small file


@dataclass(frozen=True)
class Curves:
    """Columns by their names, each an array with a row a seed and a point of the training a column."""

    columns: dict[str, np.ndarray]

    @property
    def seeds(self) -> int:
        return len(self.columns["step"])

    def mean(self, name: str) -> np.ndarray:
        """Mean over seeds, a point each."""
        return self.columns[name].mean(axis=0)

    def deviation(self, name: str) -> np.ndarray:
        """Standard deviation over seeds, a point each; of several seeds."""
        return self.columns[name].std(axis=0, ddof=1)

    def thinned(self) -> Curves:
        """The same with about POINTS points at most, the ends and the extremes of each mean among them."""
        length = self.columns["step"].shape[1]
        kept = {*np.linspace(0, length - 1, min(length, POINTS)).round().astype(int).tolist()}
        for name in self.columns:
            kept |= {int(np.argmax(self.mean(name))), int(np.argmin(self.mean(name)))}
        corners = np.flatnonzero(np.diff(self.mean("step")) == 0)[:POINTS]  # where a schedule jumps
        kept |= {*corners.tolist(), *(corners + 1).tolist()}
        return Curves({name: rows[:, sorted(kept)] for name, rows in self.columns.items()})


def titles(groups: Sequence[Group]) -> dict[str, str]:
    """What to call each of METRICS in a picture of `groups`."""
    split = monitored(groups)
    return {"val_accuracy": f"{split} accuracy", "val_loss": f"{split} loss", "loss": "training loss"}


def labels(groups: Sequence[Group]) -> list[str]:
    """What to call the line of each group: where not all monitored the same split, with that split."""
    mixed = len({group.monitored for group in groups} - {None}) > 1
    return [f"{group.label} ({group.monitored})" if mixed and group.monitored else group.label for group in groups]


def of(group: Group) -> Curves | None:
    """A point an epoch of a group's finished runs, with AXES and METRICS; None where nothing finished."""
    epochs = [run.epochs for run in group.finished]
    if not epochs:
        return None
    # One configuration has one number of epochs; a finished run that has fewer was cut by hand.
    length = min(len(each["epoch"]) for each in epochs)
    return Curves({name: np.array([each[name][:length] for each in epochs]) for name in (*AXES, *METRICS)})


def schedule(group: Group) -> Curves | None:
    """A point a step of the first run that has any, the same in every seed of a group; momentum where it is driven."""
    for run in group.runs:
        try:
            found = runs.read_steps(run.directory)
        except runs.BrokenRun:
            continue
        if len(found["step"]):
            kept = [name for name in ("step", *SCHEDULE) if np.isfinite(found[name]).any()]
            return _stepped(Curves({name: found[name][np.newaxis] for name in kept}))
    return None


def _stepped(plan: Curves) -> Curves:
    """The schedule with a corner before each jump: it holds a value until the next, and no slope leads there."""
    jumps = np.zeros(plan.columns["step"].shape[1], bool)
    for name in plan.columns.keys() - {"step"}:
        values = plan.mean(name)
        moved = np.abs(np.diff(values, prepend=values[0], append=values[-1]))  # before the first, and after the last
        beside = np.maximum(np.concatenate([[0], moved[:-1]]), np.concatenate([moved[1:], [0]]))
        jumps |= ((moved > JUMP * np.ptp(values)) & (moved > 4 * beside))[:-1]
    at = np.flatnonzero(jumps)
    return Curves(
        {
            name: np.insert(rows, at, rows[:, at if name == "step" else at - 1], axis=1)
            for name, rows in plan.columns.items()
        }
    )


def seconds_tell(found: Sequence[Curves]) -> bool:
    """Whether seconds show anything that steps do not: groups that differ in the time of a step more than seeds do.

    On a machine with other work the seeds of one group differ as much, and the picture would be of that.
    """
    paces = [each.columns["seconds"][:, -1] / each.columns["step"][:, -1] for each in found]
    means = [float(pace.mean()) for pace in paces]
    if not means or min(means) <= 0:
        return False
    within = max(float(pace.max() / pace.min()) if pace.min() > 0 else np.inf for pace in paces)
    return max(means) / min(means) > max(TELLING, within)
