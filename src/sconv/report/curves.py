"""What a group's runs went through: means over seeds epoch by epoch, and the schedule step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sconv import runs
from sconv.report.groups import Group, monitored

METRICS = ("val_accuracy", "val_loss", "loss")
AXES = ("step", "epoch", "seconds")
SCHEDULE = {"learning_rate": "learning rate", "momentum": "momentum"}  # column of steps.csv: what to call it
POINTS = 250  # of a line on the page: its kinks stay visible, and a hundred runs stay a small file


@dataclass(frozen=True)
class Curves:
    """One group's finished runs. Every array has a row a seed and a column an epoch; seconds are of training."""

    seeds: tuple[int, ...]
    step: np.ndarray
    epoch: np.ndarray
    seconds: np.ndarray
    metrics: dict[str, np.ndarray]

    def band(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over seeds, an epoch each; the deviation of one seed is nought."""
        values = self.metrics[metric]
        deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
        return values.mean(axis=0), deviation

    def thinned(self) -> Curves:
        """The same with at most POINTS epochs, first and last among them."""
        length = self.step.shape[1]
        kept = np.linspace(0, length - 1, min(length, POINTS)).round().astype(int)
        axes = {axis: getattr(self, axis)[:, kept] for axis in AXES}
        return replace(self, **axes, metrics={name: rows[:, kept] for name, rows in self.metrics.items()})


def titles(groups: Sequence[Group]) -> dict[str, str]:
    """What to call each of METRICS in a picture of `groups`."""
    split = monitored(groups)
    return {"val_accuracy": f"{split} accuracy", "val_loss": f"{split} loss", "loss": "training loss"}


def labels(groups: Sequence[Group]) -> list[str]:
    """What to call the line of each group: where not all monitored the same split, with that split."""
    mixed = len({group.monitored for group in groups} - {None}) > 1
    return [f"{group.label} ({group.monitored})" if mixed and group.monitored else group.label for group in groups]


def of(group: Group) -> Curves | None:
    """The curves of a group; None where nothing finished."""
    finished = group.finished
    if not finished:
        return None
    # One configuration has one number of epochs; a finished run that has fewer was cut by hand.
    length = min(len(run.epochs["epoch"]) for run in finished)

    def rows(name: str) -> np.ndarray:
        return np.array([run.epochs[name][:length] for run in finished])

    seeds = tuple(int(run.summary["seed"]) for run in finished)
    metrics = {name: rows(name) for name in METRICS}
    return Curves(seeds, rows("step"), rows("epoch"), rows("seconds"), metrics)


def schedule(group: Group) -> dict[str, np.ndarray] | None:
    """Step, learning rate and momentum of the first run that has them; the same in every seed of a group."""
    for run in group.runs:
        try:
            columns = runs.read_steps(run.directory)
        except runs.BrokenRun:
            continue
        if len(columns["step"]):
            return {name: columns[name] for name in ("step", *SCHEDULE)}
    return None


def thinned(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most about POINTS rows, the ends and the extremes among them."""
    length = len(columns["step"])
    kept = set(np.linspace(0, length - 1, min(length, POINTS)).round().astype(int).tolist())
    for name in SCHEDULE:
        if np.isfinite(columns[name]).any():
            kept |= {int(np.nanargmax(columns[name])), int(np.nanargmin(columns[name]))}
    return {name: values[sorted(kept)] for name, values in columns.items()}
