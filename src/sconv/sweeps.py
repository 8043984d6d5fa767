"""What became of the jobs of a sweep, told from their run directories, so also where other processes ran them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from sconv import checks, launchers, runs

# The sweep that this process started: Hydra tells its callbacks, and nobody else.
started: list[Sweep] = []
# Seconds between two looks at the run directories of jobs in worker processes.
_PAUSE = 0.5
_SHORT = {"validation": "val acc", "test": "test acc"}


class Follower:
    """Prints a line as each job of a sweep ends, seen by its run directory alone.

    `jobs` as in Sweep; `swept` are the names of the settings that tell the jobs apart.
    """

    def __init__(self, directory: Path, jobs: int | None, swept: Collection[str] = ()):
        before = [path for path, summary in _summaries(directory) if summary["status"] == "finished"]
        self._directory, self._jobs, self._swept = directory, jobs and jobs - len(before), swept
        self._began, self._clock = time.time(), time.monotonic()
        self._told: set[Path] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin to look, until `stop`."""
        self._thread.start()

    def stop(self, wait: bool = True) -> None:
        """Look no more; but first wait for the jobs that a launcher left running when one of them was killed."""
        while wait and any(runs.alive(summary) for _, summary in self._ours()):
            time.sleep(_PAUSE)
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(_PAUSE):
            self._look()
        self._look()

    def _ours(self) -> list[tuple[Path, dict[str, Any]]]:
        """The jobs of this sweep, less those of an earlier try: the process of one of these may be anybody's by now."""
        found = _summaries(self._directory)
        return [(path, told) for path, told in found if (path / "summary.json").stat().st_mtime >= self._began]

    def _look(self) -> None:
        for directory, summary in self._ours():
            if directory not in self._told and summary["status"] != "running":
                self._told.add(directory)
                print(self._line(directory.name, summary), flush=True)

    def _line(self, name: str, summary: Mapping[str, Any]) -> str:
        number, _, overrides = name.partition("-")
        own = [each for each in overrides.split(",") if each.partition("=")[0] in self._swept]
        words = [f"#{number} {' '.join(own)}".strip() + f": {summary['status']}"]
        found = {split: runs.accuracy(summary, split) for split in runs.SPLITS}
        words += [f"{_SHORT[split]} {value:.4f}" for split, value in found.items() if value is not None]
        done = len(self._told)
        words += [] if self._jobs is None else [pace(done, self._jobs, time.monotonic() - self._clock)]
        return "; ".join(words) + ("\n" + summary["error"] if "error" in summary else "")


@dataclass(frozen=True)
class Sweep:
    """Where a sweep puts its jobs, how many there are (None: the sweeper decides as it goes), when it began, the name
    of the function that tells its outcome, and who tells of jobs in worker processes.
    """

    directory: Path
    jobs: int | None
    began: float
    outcome: str = "sconv.sweeps.outcome"
    follower: Follower | None = None


class NoteSweep(Callback):
    """Note a sweep as it starts, or stop it where its directory holds runs of something else."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        sweeps = launchers.swept(config.hydra.overrides.task)
        counts = [len(list(override.sweep_iterator())) for override in sweeps if override.is_discrete_sweep()]
        jobs = math.prod(counts) if len(counts) == len(sweeps) else None
        # A directory that is refused is an error of the sweep itself, which comes next and stops it.
        with contextlib.suppress(OmegaConfBaseException):
            outcome = OmegaConf.select(config, "task._outcome_", default="sconv.sweeps.outcome")
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


def fingerprint(cfg: DictConfig) -> str:
    """What recognises a job when its sweep is taken up again: a hash of its resolved configuration."""
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    values.pop("resume_sweep")
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def finished_before(cfg: DictConfig) -> Path | None:
    """The run directory of the sweep taken up again in which this very job has finished, if there is one."""
    if not cfg.resume_sweep:
        return None
    wanted = {"status": "finished", "fingerprint": fingerprint(cfg)}
    for directory, summary in _summaries(Path(cfg.resume_sweep)):
        if all(summary.get(key) == value for key, value in wanted.items()):
            return directory
    return None


def progress(done: int) -> str:
    """How far the sweep is after `done` jobs, and how long the rest will take at this pace; empty after the last."""
    jobs = started[-1].jobs if started else None
    if jobs is None or done >= jobs:
        return ""
    return f"{pace(done, jobs, time.monotonic() - started[-1].began)}\n"


def pace(done: int, jobs: int, seconds: float) -> str:
    """How far a sweep is that took so long for so many of its jobs, and how long it will take for the rest."""
    left = timedelta(seconds=round(seconds / done * (jobs - done)))
    return f"{done} of {jobs} jobs" + (f", about {left} left" if done < jobs else "")


def outcome(directory: Path, console: Console) -> int:
    """Print a table of the sweep's jobs; return the exit code: 0, 3 where some diverged, 1 where some failed."""
    jobs = sorted(_summaries(directory), key=lambda job: _number(job[0]))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", overflow="fold")
    table.add_column("status")
    shown = runs.splits([summary for _, summary in jobs])
    for heading in (*(_SHORT[split] for split in shown), "steps", "seconds"):
        table.add_column(heading, justify="right")
    labels = _labels([path.name for path, _ in jobs])
    for label, (_, summary) in zip(labels, jobs, strict=True):
        accuracies = [runs.accuracy(summary, split) for split in shown]
        cells = (
            label,
            "killed" if runs.killed(summary) else summary["status"],
            *("" if accuracy is None else f"{accuracy:.4f}" for accuracy in accuracies),
            str(summary.get("steps", "")),
            f"{summary.get('seconds', {}).get('total', 0):.1f}",
        )
        table.add_row(*cells)
    console.print(table)
    for path, summary in jobs:
        if "error" in summary:
            console.print(f"{path.name}: {summary['error']}", markup=False, soft_wrap=True)
    console.print(f"sweep  {_relative(directory)}", soft_wrap=True)
    ended = {summary["status"] for _, summary in jobs}
    if ended - {"finished", "diverged"}:
        console.print(f"resume the same command with resume_sweep={_relative(directory)}", soft_wrap=True)
    if ended <= {"finished"}:
        return 0
    return 3 if ended <= {"finished", "diverged"} else 1


def _summaries(directory: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Each run and its summary; one that cannot be read is broken, which keeps nobody from the others."""

    def summary(path: Path) -> dict[str, Any]:
        try:
            return runs.read_summary(path)
        except (OSError, ValueError):
            return {"status": "broken"}

    return [(path, summary(path)) for path in runs.find(directory)]


def _labels(names: list[str]) -> list[str]:
    """The names of jobs without the overrides that all of them have."""
    parts = [dict.fromkeys(name.partition("-")[2].split(",")) for name in names]
    shared = set.intersection(*map(set, parts)) if len(parts) > 1 else set()
    own = [",".join(part for part in each if part not in shared) for each in parts]
    return [f"{name.partition('-')[0]} {label}".strip() for name, label in zip(names, own, strict=True)]


def _number(path: Path) -> int:
    head = path.name.split("-")[0]
    return int(head) if head.isdigit() else 0


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
