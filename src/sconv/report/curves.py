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
            return Curves({name: found[name][np.newaxis] for name in kept})
    return None
