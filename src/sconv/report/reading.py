"""The training runs among all folders that there are, and what is said of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sconv import checks, runs
from sconv.runs import Run

# What the task that trains is called, and what it was called in the first runs there are.
TRAINING = ("sconv.runner.tasks.train.train", "sconv.training.train")
UNKNOWN = "unknown"


def read(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Every training run at or below `paths`, each once; a line for each that cannot be read, one for all else."""
    found: list[Run] = []
    notes: list[str] = []
    others: list[str] = []
    for path in paths:
        if not path.is_dir():
            raise checks.UserError(f"report: {path} is no directory")
    directories = {directory.resolve(): directory for path in paths for directory in runs.begun(path)}
    if not directories:
        raise checks.UserError(f"report: no runs in {', '.join(map(str, paths))}")
    for directory in sorted(directories.values(), key=_by_number):
        try:
            run = runs.read(directory)
            if _task(run.config) in TRAINING:
                found.append(run)
            else:
                others.append(_task(run.config))
        except runs.BrokenRun as error:
            if (task := _task_of_broken(directory)) in (*TRAINING, UNKNOWN):
                notes.append(checks.printable(f"left out: {directory}: {error}"))
            else:
                others.append(task)
    if others:
        tasks = ", ".join(sorted({task.rpartition(".")[2] for task in others}))
        notes.append(checks.printable(f"{len(others)} other folder{'s' if len(others) > 1 else ''}: {tasks}"))
    return found, notes


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Job 10 of a sweep comes after job 9."""
    return [(int(digits or 0), word) for digits, word in re.findall(r"(\d*)(\D*)", str(path))]


def _task(config: Mapping[str, Any]) -> str:
    task = config.get("task")
    return str(task.get("_target_")) if isinstance(task, dict) else UNKNOWN


def _task_of_broken(directory: Path) -> str:
    try:
        return _task(runs.read_yaml(directory / ".hydra" / "config.yaml"))
    except runs.BrokenRun:
        return UNKNOWN
