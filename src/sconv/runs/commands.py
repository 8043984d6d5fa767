"""The command line that a run was started with, as Hydra wrote it down."""

from __future__ import annotations

import shlex
from pathlib import Path

from sconv import checks
from sconv.runs import bounded


def command(directory: Path) -> str | None:
    """The command of a run, of a job of a sweep that of the whole sweep; None where there is no record of it.

    What tells Hydra where to write, and how to start the jobs, is left out: it changes no number.
    """
    records = {directory.parent / "multirun.yaml": ["-m"], directory / ".hydra" / "hydra.yaml": []}
    for path, flags in records.items():
        try:
            given = bounded.settings(path)["hydra"]["overrides"]["task"]
        except (bounded.BrokenRun, KeyError, TypeError):
            continue
        if isinstance(given, list) and all(isinstance(word, str) for word in given):
            return checks.printable(shlex.join(["python", "-m", "sconv", *flags, *given]))
    return None
