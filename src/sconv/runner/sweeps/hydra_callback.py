"""What Hydra tells of a sweep: that it starts, where, and of how many jobs."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sconv import checks, runs
from sconv.runner.sweeps import launchers
from sconv.runner.sweeps.follow import Follower, pace

# The sweep that this process started: Hydra tells its callbacks, and nobody else.
started: list[Sweep] = []


@dataclass(frozen=True)
class Sweep:
    """Where a sweep puts its jobs, how many there are (None: the sweeper decides as it goes), when it began, the name
    of the function that tells its outcome, and who tells of jobs in worker processes.
    """

    directory: Path
    jobs: int | None
    began: float
    outcome: str = "sconv.runner.sweeps.outcome.outcome"
    follower: Follower | None = None


class NoteSweep(Callback):
    """Note a sweep as it starts, or stop it where its directory holds runs of something else."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        sweeps = launchers.swept(config.hydra.overrides.task)
        counts = [len(list(override.sweep_iterator())) for override in sweeps if override.is_discrete_sweep()]
        jobs = math.prod(counts) if len(counts) == len(sweeps) else None
        # A directory that is refused is an error of the sweep itself, which comes next and stops it.
        with contextlib.suppress(OmegaConfBaseException):
            outcome = OmegaConf.select(config, "task._outcome_", default="sconv.runner.sweeps.outcome.outcome")
            directory, follower = Path(config.hydra.sweep.dir).absolute(), None
            if not config.resume_sweep or directory.resolve() != Path(config.resume_sweep).resolve():
                _stop_unless_free(directory)
            if launchers.has_workers(config.hydra.launcher._target_):
                follower = Follower(directory, jobs, [override.key_or_group for override in sweeps])
                follower.start()
            started.append(Sweep(directory, jobs, time.monotonic(), outcome, follower))


def _stop_unless_free(directory: Path) -> None:
    try:
        runs.check_free("hydra.sweep.dir", directory)
    except checks.UserError as error:
        sys.exit(error)  # type: ignore[arg-type] # no text: the command line tells it, as it tells any other


def progress(done: int) -> str:
    """How far the sweep is after `done` jobs, and how long the rest will take at this pace; empty after the last."""
    jobs = started[-1].jobs if started else None
    if jobs is None or done >= jobs:
        return ""
    return f"{pace(done, jobs, time.monotonic() - started[-1].began)}\n"
