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

WIDTH, LEFT = 100, 10  # of the picture in a terminal at most, and of the labels beside it


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
            _picture(console, rates, momenta, knots, per_epoch)
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


def _picture(console: Console, rates: np.ndarray, momenta: np.ndarray | None, knots: list[int], per_epoch: int) -> None:
    """Learning rate over momentum, with the knots and the epochs below."""
    last, width = len(rates) - 1, min(console.width, WIDTH) - LEFT - 3
    for name, values, colour, height in (("learning rate", rates, "blue", 8), ("momentum", momenta, "dark_orange", 4)):
        if values is None:
            continue
        console.print(f"{'':{LEFT}}[bold {colour}]{name}[/]")
        height = height if np.ptp(values) else 1
        edges = {height - 1: values.min(), 0: values.max()}
        for number, line in enumerate(plots.terminal(values, width, height)):
            edge = f"{edges[number]:{LEFT - 1}.4g} ┤" if number in edges else f"{'':{LEFT}}│"
            console.print(f"{edge}[{colour}]{line}[/]", soft_wrap=True)
    column = (width - 1) / max(last, 1)
    at = {round(knot * column): str(knot) for knot in (0, last, *knots)}
    ticks = "".join("┴" if place in at else "─" for place in range(width))
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if last / per_epoch / step <= 10)
    epochs = {round(epoch * per_epoch * column): str(epoch) for epoch in range(0, last // per_epoch + 2, every)}
    console.print(f"{'':{LEFT}}└{ticks}", soft_wrap=True)
    console.print(f"{'step':>{LEFT - 1}}  {_labels(at, width)}", soft_wrap=True)
    console.print(f"{'epoch':>{LEFT - 1}}  {_labels(epochs, width)}", end="\n\n", soft_wrap=True)


def _labels(at: Mapping[int, str], width: int) -> str:
    """Texts centred below their columns, less those that would run into another; the ends come first."""
    line = [" "] * width
    for place in sorted(at, key=lambda place: (place not in (min(at), max(at)), place)):
        text = at[place]
        start = max(0, min(place - len(text) // 2, width - len(text)))
        if place < width and not "".join(line[max(0, start - 1) : start + len(text) + 1]).strip():
            line[start : start + len(text)] = text
    return "".join(line).rstrip()


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
