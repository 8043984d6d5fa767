"""task=range_grid: which weight decay allows the largest learning rate."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, runs
from sconv.lr_finder import plot
from sconv.lr_finder.recommend import Recommendation, recommend
from sconv.lr_finder.result import RangeTest
from sconv.plots import figures
from sconv.runner.job import Job
from sconv.runner.tasks import lr_find


def range_grid(job: Job) -> None:
    """Range tests over weight decays (and momenta, and batch sizes) from the same initial weights: one recommendation.

    Source: Smith, "A disciplined approach to neural network hyper-parameters" (arXiv 1803.09820), section 4.4.
    """
    points(job.cfg)  # whose errors come before all that takes time
    with lr_find.begin(job) as (job, run, planned):
        console = Console(highlight=False, soft_wrap=True)
        tests: dict[str, RangeTest] = {}
        grid = points(job.cfg, planned.schedule.peak_momentum)
        for point in grid:
            tests[point.label] = lr_find.carry_out(point.cfg, run, planned.dataset, point.momentum)
            rate = tests[point.label].suggestions.get("smith")
            console.print(f"{point.label}: {tests[point.label].problem if rate is None else f'lr {rate:.2g}'}")
        advice = recommend(tests, {point.label: point.decay for point in grid})
        _keep(run, tests, advice)
        console.print(f"recommended    [bold]lr_max={advice.lr:.2g}[/bold] with {advice.label}: {advice.reason}")
        lr_find.say_where(run, console, "range_grid")


@dataclass(frozen=True)
class Point:
    """One point of the grid: its configuration, the momentum that is held, and its weight decay or l2."""

    label: str
    cfg: DictConfig
    decay: float
    momentum: float | None


def points(cfg: DictConfig, own_momentum: float | None = None) -> list[Point]:
    """Every point of the grid that a configuration asks for. Raises SettingError or SettingTypeError."""
    wanted = cfg.range_grid
    if wanted.l2 is not None and wanted.weight_decay is not None:
        raise checks.SettingError(
            f"range_grid.l2: got {checks.shown(wanted.l2)} and range_grid.weight_decay too, expected one of them"
        )
    knob = "weight_decay" if wanted.l2 is None else "l2"
    decays = _values(knob, wanted[knob], cfg[knob] or 0.0, at_least=0)
    momenta = _values("momentum", wanted.momentum, own_momentum, at_least=0, below=1)
    sizes = _values("batch_size", wanted.batch_size, cfg.batch_size, at_least=1)
    found = []
    for size, momentum, decay in itertools.product(sizes, momenta, decays):
        label = f"{knob} {decay:g}"
        label += f", momentum {momentum:g}" if len(momenta) > 1 else ""
        label += f", batch_size {size:g}" if len(sizes) > 1 else ""
        whole = checks.integer("range_grid.batch_size", size, at_least=1)
        # The same seed gives every one the same initial weights.
        here = cast(DictConfig, OmegaConf.merge(cfg, {knob: decay, "batch_size": whole}))
        found.append(Point(label, here, decay, momentum))
    return found


def _values(name: str, wanted: Any, own: Any, **bounds: float) -> list[Any]:
    """The values of one axis of the grid: those wanted, without any the run's own."""
    if wanted is None:
        return [own]
    setting = f"range_grid.{name}"
    values = checks.listed(setting, wanted, "a list of numbers or null", (1, math.inf))
    return list(dict.fromkeys(checks.number(setting, value, **bounds) for value in values))


def _keep(run: runs.RunWriter, tests: dict[str, RangeTest], advice: Recommendation) -> None:
    columns: dict[str, list[Any]] = {"setting": [], "learning_rate": [], "loss": [], "smoothed": []}
    for label, test in tests.items():
        columns["setting"] += [label] * len(test.losses)
        columns["learning_rate"] += list(test.learning_rates)
        columns["loss"] += list(test.losses)
        columns["smoothed"] += list(test.smoothed)
    run.table("range_grid.csv", columns)
    run.picture("range_grid", figures.png(plot.range_grid(tests, advice.label, advice.lr)))
    found = {label: {"suggestions": test.suggestions, "problem": test.problem} for label, test in tests.items()}
    run.facts("range_grid.json", {**vars(advice), "tests": found})
    run.record(lr_max=advice.lr, weight_decay=advice.weight_decay)
