"""Reading run directories."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks
from sconv.runs import results
from sconv.runs.status import STATUSES

STEP_COLUMNS = ("step", "learning_rate", "momentum", "loss")
EPOCH_COLUMNS = ("epoch", "step", "seconds", "loss", "accuracy", "val_loss", "val_accuracy")


def read_summary(directory: Path) -> dict[str, Any]:
    """The summary of a run directory, `monitored` and `test` also where it was written before there were any."""
    summary = json.loads((directory / "summary.json").read_text())
    path = directory / ".hydra" / "config.yaml"
    older = isinstance(summary, dict) and summary.get("final") and "monitored" not in summary
    if not older or not path.is_file():
        return summary
    return results.completed(summary, (_yaml(path).get("dataset") or {}).get("validation"))


def killed(summary: Mapping[str, Any]) -> bool:
    """Whether a run says that it is running while its process, one of this machine, is gone."""
    return _here(summary) and not _exists(summary["process"]["pid"])


def alive(summary: Mapping[str, Any]) -> bool:
    """Whether a run is running in another process of this machine."""
    return _here(summary) and summary["process"]["pid"] != os.getpid() and _exists(summary["process"]["pid"])


def _here(summary: Mapping[str, Any]) -> bool:
    running = summary["status"] == "running" and os.name == "posix"
    return running and summary.get("process", {}).get("host") == platform.node()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def find(root: Path) -> list[Path]:
    """The run directories at or below `root`, in the order of their names."""
    return sorted(path.parent for path in root.rglob("summary.json"))


class BrokenRun(checks.UserError):
    """A run directory that cannot be read."""


@dataclass(frozen=True)
class Run:
    """A run directory as it was read: the configuration with its interpolations kept, epochs one array a column."""

    directory: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    choices: dict[str, str]
    epochs: dict[str, np.ndarray]


def begun(root: Path) -> list[Path]:
    """The directories at or below `root` where a run began, also those whose summary is missing."""
    configured = (path.parent.parent for path in root.rglob(".hydra/config.yaml"))
    return sorted({*find(root), *configured})


def read(directory: Path) -> Run:
    """Read a run directory, all but its steps; raises BrokenRun where something is missing, cut short or no run's."""
    try:
        summary = read_summary(directory)
        config, hydra = (_yaml(directory / ".hydra" / name) for name in ("config.yaml", "hydra.yaml"))
        if not isinstance(summary, dict) or summary.get("status") not in STATUSES:
            raise BrokenRun(f"summary.json: no status out of {', '.join(STATUSES)}")
        choices = {str(group): str(option) for group, option in hydra["hydra"]["runtime"]["choices"].items()}
        epochs = _columns(directory / "epochs.csv", complete=summary["status"] == "finished")
        if summary["status"] == "finished":
            _check_finished(summary, epochs)
    except FileNotFoundError as error:
        raise BrokenRun(f"{Path(error.filename).name} is missing") from error
    except OSError as error:
        raise BrokenRun(f"{Path(error.filename or directory).name}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BrokenRun(" ".join(f"not a run's: {error}".split())[:160]) from error
    return Run(directory, summary, config, choices, epochs)


def read_steps(directory: Path) -> dict[str, np.ndarray]:
    """The columns of steps.csv; NaN where a cell is empty. Raises BrokenRun."""
    try:
        header, *rows, _ = (directory / "steps.csv").read_text().split("\n")  # a row cut short has no end of line
        cells = [row.replace(",,", ",nan,") for row in rows]  # a schedule without momentum
        table = np.loadtxt(cells, delimiter=",", ndmin=2) if cells else np.empty((0, len(STEP_COLUMNS)))
        columns = dict(zip(header.split(","), table.T, strict=True))
        return {column: columns[column] for column in STEP_COLUMNS}
    except (OSError, ValueError, KeyError) as error:
        raise BrokenRun(f"steps.csv: {error}") from error


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    # The C loader takes 1 ms for what the Python one takes 7; some builds of PyYAML come without it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_text(), loader)
    except yaml.YAMLError as error:
        raise BrokenRun(f".hydra/{path.name}: not YAML") from error
    if not isinstance(content, dict):
        raise BrokenRun(f".hydra/{path.name}: empty or no mapping")
    return content


def _columns(path: Path, complete: bool) -> dict[str, np.ndarray]:
    """epochs.csv as arrays; a last row that a kill cut short is left out, unless the file should be `complete`."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    if rows and len(rows[-1]) < len(header) and not complete:
        rows.pop()
    if any(len(row) != len(header) for row in rows) or not set(EPOCH_COLUMNS) <= set(header):
        raise BrokenRun(f"{path.name}: rows or columns are missing")
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(header))
    return dict(zip(header, table.T, strict=True))


def _check_finished(summary: Mapping[str, Any], epochs: Mapping[str, np.ndarray]) -> None:
    for split in {"test", summary.get("monitored", "test")}:
        if not isinstance(results.accuracy(summary, split), (int, float)):
            raise BrokenRun(f"summary.json: finished without a {split} accuracy")
    if not np.isfinite([*epochs["step"], *epochs["seconds"], *epochs["val_accuracy"]]).all() or not len(epochs["step"]):
        raise BrokenRun("epochs.csv: finished, but epochs are missing")
    numbers = (summary["steps"], summary["seconds"]["training"], summary["seed"])
    if not all(isinstance(value, (int, float)) for value in numbers):
        raise BrokenRun("summary.json: steps, seconds or seed is no number")
