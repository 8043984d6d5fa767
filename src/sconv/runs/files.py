"""The files of a run directory, one at a time: facts as JSON, the planned schedule as CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks
from sconv.runs import bounded

LARGEST_SCHEDULE = 256 * bounded.MEGABYTE
SCHEDULE_COLUMNS = ("step", "epoch", "phase", "learning_rate", "momentum")


def read_facts(directory: Path, name: str) -> dict[str, Any] | None:
    """A JSON file of a run directory; None where it is not there. Raises BrokenRun."""
    path = directory / name
    return bounded.facts(path) if path.exists() else None


def write_facts(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as a JSON file; it is replaced in one move, never half-written.

    On a full disk it is written over in place, where it fits into the room that the file has: so that a run which ends
    for want of room can say so.
    """
    # JSON knows no NaN: what is not a number is null.
    plain = json.loads(json.dumps(values, default=_plain), parse_constant=lambda _: None)
    temporary = path.with_name(f".{path.name}.tmp")
    content = (json.dumps(plain, indent=2) + "\n").encode()
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        if not path.is_file() or len(content) > 512 * path.stat().st_blocks:
            raise
        with open(path, "r+b") as file:
            file.write(content)
            file.truncate()


def note_error(directory: Path, said: str) -> None:
    """Leave the one line that was said about a run's error in its summary, also where it ended before it had one."""
    with contextlib.suppress(OSError, bounded.BrokenRun):
        summary = read_facts(directory, "summary.json") or {"status": "failed"}
        write_facts(directory / "summary.json", {**summary, "error": said})


def read_schedule(directory: Path) -> tuple[np.ndarray, np.ndarray | None, list[int]]:
    """Learning rates, momenta and the last step of each phase, as `write_schedule` was told them; raises BrokenRun."""
    content = bounded.text(directory / "schedule.csv", LARGEST_SCHEDULE)
    try:
        rows = list(csv.DictReader(io.StringIO(content, newline="")))
        rates = np.array([float(row["learning_rate"]) for row in rows])
        momenta = np.array([float(row["momentum"]) for row in rows]) if rows[0]["momentum"] else None
        phases = np.array([int(row["phase"]) for row in rows])
    except (ValueError, TypeError, LookupError, csv.Error) as error:
        raise bounded.BrokenRun(f"schedule.csv: {checks.shown(str(error))}") from error
    return rates, momenta, [*np.flatnonzero(np.diff(phases)).tolist(), len(rows) - 1]


def write_schedule(
    directory: Path, rates: np.ndarray, momenta: np.ndarray | None, knots: Sequence[int], steps_per_epoch: int
) -> None:
    """Write schedule.csv: of each update the learning rate, the momentum (None: left alone) and the phase, from 1."""
    held = [""] * len(rates) if momenta is None else [short(value) for value in momenta]
    phases = np.searchsorted(knots, np.arange(len(rates))) + 1
    with open(directory / "schedule.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(SCHEDULE_COLUMNS)
        for step, (phase, rate, momentum) in enumerate(zip(phases, rates, held, strict=True)):
            writer.writerow((step, short(step / steps_per_epoch), phase, short(rate), momentum))


def cell(text: str) -> str:
    """A text as a cell that a spreadsheet shows and does not carry out, as it would what begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def short(value: Any) -> Any:
    """Nine digits: enough to give a float32 back exactly."""
    return f"{value:.9g}" if isinstance(value, (float, np.floating)) else value


def _plain(value: Any) -> Any:
    """NumPy's numbers as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"cannot write {type(value).__name__} to summary.json")
