"""task=show: a schedule over the run it would control. Imports neither Keras nor TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from sconv import plots, runs
from sconv.datasets import updates
from sconv.runner.config import data
from sconv.runner.job import Job
from sconv.runner.plan import build_schedule


def show(job: Job) -> None:
    """Draw one schedule into the run directory, and on the terminal where it is no sweep."""
    cfg, directory = job.cfg, job.directory
    schedule = build_schedule(cfg)
    size = data.training_size(cfg.dataset)
    steps, per_epoch = (updates(job.choices["dataset"], size, epochs, cfg.batch_size) for epochs in (cfg.epochs, 1))
    rates, momenta = schedule.sample(steps)
    knots, title = schedule.knots(steps), f"{schedule.name}: {steps:,} updates, {cfg.epochs} epochs of {per_epoch:,}"
    runs.write_schedule(directory, rates, momenta, knots, per_epoch)
    plots.save(plots.schedule(rates, momenta, title, knots, per_epoch), directory / "schedule.png")
    if not job.in_sweep:
        console = Console(highlight=False)
        console.print(f"[bold]{schedule.name}[/bold]{title.removeprefix(schedule.name)}", end="\n\n")
        if not console.options.ascii_only:
            picture = plots.cycle(rates, momenta, knots, per_epoch, console.width)
            console.print("\n".join(picture), end="\n\n", soft_wrap=True)
        console.print(_table(rates, momenta, [0, *knots], per_epoch))
        for name in ("schedule.png", "schedule.csv"):
            console.print(os.path.relpath(directory / name), markup=False, soft_wrap=True)


def sheet(directory: Path, console: Console) -> int:
    """Draw the schedules of a sweep's jobs on one sheet, schedules.png; return the exit code, 1 where some failed."""
    jobs = [path.parent for path in directory.glob("*/.hydra")]
    jobs.sort(key=lambda job: (len(job.name.partition("-")[0]), job.name))
    told: dict[Path, list[str]] = {}
    for job in jobs:
        with contextlib.suppress(runs.BrokenRun):
            told[job] = runs.overrides(job)
    common = set.intersection(*(set(overrides) for overrides in told.values())) if len(told) > 1 else set()
    drawn = {}
    for job, overrides in told.items():
        with contextlib.suppress(runs.BrokenRun):
            own = [override.removeprefix("schedule=") for override in overrides if override not in common]
            drawn[", ".join(own) or job.name] = runs.read_schedule(job)
    if drawn:
        console.print(_rows(drawn, ascii_only=console.options.ascii_only))
        path = directory / "schedules.png"
        plots.save(plots.sheet(drawn), path)
        console.print(os.path.relpath(path), markup=False, soft_wrap=True)
    return 0 if len(drawn) == len(jobs) else 1


def _table(rates: np.ndarray, momenta: np.ndarray | None, knots: list[int], per_epoch: int) -> Table:
    headings = ("knot at step", "epoch", "learning rate", "momentum")
    table = Table(*(Column(heading, justify="right") for heading in headings), box=None, header_style="bold")
    for knot in dict.fromkeys(knots):
        momentum = "left alone" if momenta is None else f"{momenta[knot]:.4g}"
        table.add_row(str(knot), f"{knot / per_epoch:.2f}", f"{rates[knot]:.4g}", momentum)
    return table


def _rows(drawn: Mapping[str, tuple[np.ndarray, np.ndarray | None, list[int]]], ascii_only: bool) -> Table:
    """A small curve a schedule."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("schedule", "learning rate", "first, highest, last", "momentum"):
        table.add_column(heading, overflow="fold")
    for name, (rates, momenta, _) in drawn.items():
        curve = "" if ascii_only else "\n".join(plots.terminal(rates, 20, 2))
        levels = f"{rates[0]:.3g}, {rates.max():.3g}, {rates[-1]:.3g}"
        mirror = "left alone" if momenta is None else f"{momenta[0]:.3g}, {momenta.min():.3g}, {momenta[-1]:.3g}"
        table.add_row(name, f"[blue]{curve}[/]", levels, mirror)
    return table
