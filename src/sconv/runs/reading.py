"""Reading run directories."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks
from sconv.runs import bounded, results
from sconv.runs.bounded import BrokenRun
from sconv.runs.status import STATUSES

STEP_COLUMNS = ("step", "learning_rate", "momentum", "loss")
EPOCH_COLUMNS = ("epoch", "step", "seconds", "loss", "accuracy", "val_loss", "val_accuracy")


# Larger ones are of more epochs and updates than are drawn.
LARGEST_TABLES = {"epochs.csv": 16 * bounded.MEGABYTE, "steps.csv": 256 * bounded.MEGABYTE}
LARGEST_NUMBER = float(np.finfo(np.float32).max)


def read_summary(directory: Path) -> dict[str, Any]:
    """The summary of a run directory, `monitored` and `test` also where it was written before there were any.

    Raises BrokenRun where it is missing, or is none.
    """
    summary = bounded.facts(directory / "summary.json")
    _check_kinds(summary)
    path = directory / ".hydra" / "config.yaml"
    if not summary.get("final") or "monitored" in summary or not path.is_file():
        return summary
    dataset = bounded.settings(path).get("dataset")
    return results.completed(summary, dataset.get("validation") if isinstance(dataset, dict) else None)


def killed(summary: Mapping[str, Any]) -> bool:
    """Whether a run says that it is running while its process, one of this machine, is gone."""
    return _here(summary) and not _exists(summary["process"]["pid"])


def alive(summary: Mapping[str, Any]) -> bool:
    """Whether a run is running in another process of this machine."""
    return _here(summary) and summary["process"]["pid"] != os.getpid() and _exists(summary["process"]["pid"])


def _here(summary: Mapping[str, Any]) -> bool:
    running, process = summary.get("status") == "running" and os.name == "posix", summary.get("process")
    return running and _is_process(process) and (process or {})["host"] == platform.node()


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
    return sorted(folder for folder, names in _walk(root) if "summary.json" in names)


def _walk(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each folder at or below `root` and what lies in it; links are not followed, nor is any depth too deep."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError):
            entries = list(os.scandir(folder))
            waiting += [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            yield folder, {entry.name for entry in entries}


@dataclass(frozen=True)
class Run:
    """A run directory to be shown: the configuration with its interpolations kept, epochs one array a column."""

    directory: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    choices: dict[str, str]
    epochs: dict[str, np.ndarray]


def overrides(directory: Path) -> list[str]:
    """The command line of a run by its .hydra/overrides.yaml; raises BrokenRun."""
    return bounded.texts(directory / ".hydra" / "overrides.yaml")


def facts_of_others(directory: Path, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A JSON file of each other run of a run's sweep, of those where it can be read."""
    for other in find(directory.parent):
        with contextlib.suppress(BrokenRun):
            if other != directory and (other / name).exists():
                yield other, bounded.facts(other / name)


def begun(root: Path) -> list[Path]:
    """The directories at or below `root` where a run began, also those whose summary is missing."""
    configured = [
        folder for folder, names in _walk(root) if ".hydra" in names and (folder / ".hydra" / "config.yaml").exists()
    ]
    return sorted({*find(root), *configured})


def read(directory: Path) -> Run:
    """Read a run directory, all but its steps; raises BrokenRun where something is missing, cut short or no run's."""
    summary = read_summary(directory)
    config, hydra = (bounded.settings(directory / ".hydra" / name) for name in ("config.yaml", "hydra.yaml"))
    if "seed" in config and isinstance(config["seed"], (dict, list)):
        raise BrokenRun(f"config.yaml: seed is {checks.shown(config['seed'])}, no number")
    try:
        choices = {group: str(option) for group, option in hydra["hydra"]["runtime"]["choices"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenRun("hydra.yaml: names no options") from error
    epochs = read_epochs(directory, complete=summary["status"] == "finished")
    if summary["status"] == "finished":
        _check_finished(summary, epochs)
    summary, config, choices = (checks.printable_throughout(values) for values in (summary, config, choices))
    return Run(directory, summary, config, choices, epochs)


def read_steps(directory: Path) -> dict[str, np.ndarray]:
    """The columns of steps.csv; NaN where a cell is empty. Raises BrokenRun."""
    text = bounded.text(directory / "steps.csv", LARGEST_TABLES["steps.csv"])
    try:
        header, *rows, _ = text.split("\n")  # a row cut short has no end of line
        cells = [row.replace(",,", ",nan,") for row in rows]  # a schedule without momentum
        table = np.loadtxt(cells, delimiter=",", ndmin=2, comments=None) if cells else np.empty((0, len(STEP_COLUMNS)))
        columns = dict(zip(header.split(","), table.T, strict=True))
        columns = {column: columns[column] for column in STEP_COLUMNS}
    except (ValueError, KeyError) as error:
        raise BrokenRun(f"steps.csv: {checks.shown(str(error))}") from error
    if not _are_numbers(columns["step"], columns["learning_rate"]):
        raise BrokenRun("steps.csv: a step or a learning rate is no number")
    return columns


def read_epochs(directory: Path, complete: bool = True) -> dict[str, np.ndarray]:
    """The columns of epochs.csv; unless it should be `complete`, a last row that a kill cut short is left out."""
    text = bounded.text(directory / "epochs.csv", LARGEST_TABLES["epochs.csv"])
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""))
        if rows and len(rows[-1]) < len(header) and not complete:
            rows.pop()
        if any(len(row) != len(header) for row in rows) or not set(EPOCH_COLUMNS) <= set(header):
            raise BrokenRun("epochs.csv: rows or columns are missing")
        table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(header))
    except (ValueError, csv.Error) as error:
        raise BrokenRun(f"epochs.csv: {checks.shown(str(error))}") from error
    return dict(zip(header, table.T, strict=True))


def _are_numbers(*columns: np.ndarray) -> bool:
    """Whether all are finite, and a float32 can hold them."""
    return bool((np.abs(np.concatenate(columns)) <= LARGEST_NUMBER).all())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(number is None or _is_number(number) for number in value.values())


def _is_process(value: Any) -> bool:
    is_one = isinstance(value, dict) and type(value.get("pid")) is int and _is_text(value.get("host"))
    return is_one and 0 < value["pid"] < 2**31


# What of a summary is read by name, and what it is where it is there.
_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("seed", "steps", "train_examples"), _is_number),
    **dict.fromkeys(("final", "best"), lambda value: value is None or _are_metrics(value)),
    **dict.fromkeys(("test", "seconds"), _are_metrics),
    **dict.fromkeys(("started", "error", "fingerprint"), _is_text),
    "monitored": lambda value: value in results.SPLITS,
    "process": _is_process,
    "class_names": lambda value: isinstance(value, list) and all(map(_is_text, value)),
}


def _check_kinds(summary: Mapping[str, Any]) -> None:
    if summary.get("status") not in STATUSES:
        raise BrokenRun(f"summary.json: no status out of {', '.join(STATUSES)}")
    for name, is_right in _KINDS.items():
        if name in summary and not is_right(summary[name]):
            raise BrokenRun(f"summary.json: {name} is {checks.shown(summary[name])}")


def _check_finished(summary: Mapping[str, Any], epochs: Mapping[str, np.ndarray]) -> None:
    for split in {"test", summary.get("monitored", "test")}:
        accuracy = results.accuracy(summary, split)
        if accuracy is None or not 0 <= accuracy <= 1:
            raise BrokenRun(f"summary.json: finished without a {split} accuracy")
    if not len(epochs["step"]) or not _are_numbers(*(epochs[name] for name in EPOCH_COLUMNS)):
        raise BrokenRun("epochs.csv: finished, but epochs are missing")
    numbers = (summary.get("steps"), (summary.get("seconds") or {}).get("training"), summary.get("seed"))
    if not all(map(_is_number, numbers)):
        raise BrokenRun("summary.json: steps, seconds or seed is no number")
