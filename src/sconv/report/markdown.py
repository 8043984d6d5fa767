"""report.md with its pictures, and report.csv: to paste into an issue, a paper or a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sconv import plots, runs
from sconv.report import verdict, wording
from sconv.report.comparison import UNITS, Comparison, Row
from sconv.report.context import context, line
from sconv.report.gallery import FIRST, gallery
from sconv.report.groups import settings
from sconv.report.search import Pictures
from sconv.report.statistics import Speedup


def write(comparison: Comparison, out: Path, searched: Pictures | None = None) -> list[Path]:
    """Write report.md, its pictures, those of a search, and report.csv into `out`; returns the paths of the two."""
    groups = [row.group for row in comparison.rows]
    cells = wording.cells(comparison.rows)
    made_of = line(context(groups))
    said = [sentence for _, sentence in verdict.sentences(comparison.rows)]
    parts = ["# Comparison of runs", f"{verdict.TITLE}:", _list([*said, *verdict.savings(comparison.charts)])]
    pictures = gallery(comparison, made_of)
    for name, (_, figure) in pictures.items():
        plots.save(figure, out / name)
    images = [(name.startswith(FIRST), f"![{_plain(title)}]({name})") for name, (title, _) in pictures.items()]
    parts += [image for is_first, image in images if is_first]
    parts += [_plain(made_of), _table(list(cells), zip(*cells.values(), strict=True))]
    parts += [image for is_first, image in images if not is_first]
    for name, (title, content) in (searched or {}).items():
        (out / name).write_bytes(content)
        parts.append(f"![search: {_plain(title)}]({name})")
    parts.append(_list(comparison.notes))
    if differences := settings(groups):
        labels = ["setting", *(group.label for group in groups)]
        parts += ["## What the groups differ in", _table(labels, ([name, *values] for name, values in differences))]
    report, sheet = out / "report.md", out / "report.csv"
    report.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    records = [_record(row) for row in comparison.rows]
    with open(sheet, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([records[0], *(record.values() for record in records)])
    return [report, sheet]


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
        time = row.time_to_target.get(unit)
        record[f"{unit}_to_target_median"] = time.median if time and time.costs else None
        record |= _parts(f"speedup_{unit}", row.speedups.get(unit))
    record |= _parts("speedup_images_per_second", row.pace)
    step = row.time_to_target.get("step")
    record |= {"reached": step and len(step.reached), "never_reached": step and step.never}
    record |= {f"difference_{part}": row.gain and getattr(row.gain, part) for part in ("mean", "low", "high", "p")}
    return record


def _parts(name: str, speedup: Speedup | None) -> dict[str, Any]:
    return {f"{name}_{part}": speedup and getattr(speedup, part) for part in ("value", "low", "high", "at_least")}


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(each)}" for each in lines)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *(["---:"] * (len(headings) - 1))], *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown does not read as its own: a bar would end the cell, a star or an underline start emphasis."""
    return " ".join(re.sub(r"([\\|*_`<\[])", r"\\\1", text).split())
