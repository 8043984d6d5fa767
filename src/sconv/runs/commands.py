"""The command line that a run was started with, as Hydra wrote it down."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from sconv import checks
from sconv.runs import bounded

# In TensorBoard where it is served as it is by default: learning rate and momentum of each step, as they were.
CYCLE = "http://localhost:6006/?tagFilter=rate%7Cmomentum&smoothing=0#timeseries"


def curves(directory: Path) -> str:
    """The command that serves the curves of a run, or of all in a folder: a run's below outputs/, of all there."""
    here = checks.printable(os.path.relpath(directory))
    outputs = here if (directory / "multirun.yaml").exists() or not here.startswith(f"outputs{os.sep}") else "outputs"
    return shlex.join(["tensorboard", "--logdir", outputs])


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
