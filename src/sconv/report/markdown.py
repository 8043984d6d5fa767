"""report.md with its pictures, and report.csv: to paste into an issue, a paper or a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sconv import plots, runs
from sconv.report import curves, pictures, wording
from sconv.report.comparison import UNITS, Comparison, Row
from sconv.report.groups import Group, settings
from sconv.report.statistics import mean_std


def write(comparison: Comparison, out: Path) -> list[Path]:
    """Write report.md, its pictures and report.csv into `out`; returns the paths of the two."""
    pictures = _pictures(comparison.rows, out)
    groups = [row.group for row in comparison.rows]
    columns = wording.filled(wording.EVERYTHING, comparison.rows)
    cells = [[cell(row) for cell in columns.values()] for row in comparison.rows]
    parts = ["# Comparison of runs", _table(list(columns), cells)]
    parts.append("\n".join(f"- {_plain(note)}" for note in comparison.notes))
    parts += [f"![{title}]({name})" for title, name in pictures]
    differences = settings(groups)
    if differences:
        labels = ["setting", *(group.label for group in groups)]
        parts += ["## What the groups differ in", _table(labels, [[name, *values] for name, values in differences])]
    report = out / "report.md"
    report.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return [report, _sheet(comparison.rows, out)]


def _pictures(rows: Sequence[Row], out: Path) -> list[tuple[str, str]]:
    groups = [row.group for row in rows]
    figures = {}
    plans = [_plan(group) for group in groups]
    names = [name for name in curves.SCHEDULE.values() if any(name in line.y for line in plans)]
    if names:
        figures["schedules.png"] = ("learning rate and momentum", pictures.overlay(plans, ["steps"], names))
    titles, labels = curves.titles(groups), curves.labels(groups)
    drawn = [_curves(group, label, titles) for group, label in zip(groups, labels, strict=True)]
    if any(line.y for line in drawn):
        axes = ["steps", "seconds of training"]
        title = f"{titles['val_accuracy']} and loss, mean ± std over seeds"
        figures["curves.png"] = (title, pictures.overlay(drawn, axes, list(titles.values())))
    costs = [row.time_to_target["step"].costs if row.time_to_target else () for row in rows]
    times = [(label, spent) for label, spent in zip(labels, costs, strict=True) if spent]
    if times:
        title = f"steps to the target {titles['val_accuracy']}"
        figures["time_to_target.png"] = (title, pictures.time_to_target(times, title))
    for name, (_, figure) in figures.items():
        plots.save(figure, out / name)
    return [(title, name) for name, (title, _) in figures.items()]


def _plan(group: Group) -> pictures.Line:
    plan = curves.schedule(group)
    if plan is None:
        return pictures.Line(group.label, {}, {})
    shown = {title: plan[name] for name, title in curves.SCHEDULE.items() if np.isfinite(plan[name]).any()}
    return pictures.Line(group.label, {"steps": plan["step"]}, shown)


def _curves(group: Group, label: str, titles: Mapping[str, str]) -> pictures.Line:
    found = curves.of(group)
    if found is None:
        return pictures.Line(label, {}, {})
    bands = {title: found.band(metric) for metric, title in titles.items()}
    x = {"steps": found.step.mean(axis=0), "seconds of training": found.seconds.mean(axis=0)}
    means = {title: mean for title, (mean, _) in bands.items()}
    deviations = {title: deviation for title, (_, deviation) in bands.items() if len(found.seeds) > 1}
    return pictures.Line(label, x, means, deviations)


def _sheet(rows: Sequence[Row], out: Path) -> Path:
    path = out / "report.csv"
    records = [_record(row) for row in rows]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def _record(row: Row) -> dict[str, Any]:
    """A group as one flat record: every number in full, accuracies as fractions, an empty cell where there is none."""
    record: dict[str, Any] = {"group": runs.cell(row.group.label)}
    record["baseline"] = runs.cell(row.baseline.label) if row.baseline else None
    record["monitored"] = row.group.monitored
    record |= {status: row.group.statuses[status] for status in runs.STATUSES}
    accuracies = {"test_accuracy": row.test, "validation_accuracy": row.validation}
    costs = {name: getattr(row, name) for name in ("steps", "seconds", "images_per_second")}
    for name, value in (accuracies | costs).items():
        record |= {f"{name}_mean": value and value.mean, f"{name}_std": value and value.std}
    record["target"] = row.target
    for unit in UNITS:
        time, speedup = row.time_to_target.get(unit), row.speedups.get(unit)
        spent = mean_std(time.reached) if time else None
        record |= {f"{unit}_to_target_mean": spent and spent.mean, f"{unit}_to_target_std": spent and spent.std}
        for part in ("value", "low", "high", "at_least"):
            record[f"speedup_{unit}_{part}"] = speedup and getattr(speedup, part)
    step = row.time_to_target.get("step")
    record |= {"reached": step and len(step.reached), "never_reached": step and step.never}
    record |= {f"difference_{part}": row.gain and getattr(row.gain, part) for part in ("mean", "low", "high", "p")}
    return record


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *(["---:"] * (len(headings) - 1))], *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown does not read as its own: a bar would end the cell, a star or an underline start emphasis."""
    for sign in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
