"""What became of the jobs of a sweep, told from their run directories, so also where other processes ran them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from sconv import runs

# The sweep that this process started: Hydra tells its callbacks, and nobody else.
started: list[Sweep] = []


@dataclass(frozen=True)
class Sweep:
    """Where a sweep puts its jobs, how many there are (None: the sweeper decides as it goes), when it began, and the
    name of the function that tells its outcome.
    """

    directory: Path
    jobs: int | None
    began: float
    outcome: str = "sconv.sweeps.outcome"


class NoteSweep(Callback):
    """Note a sweep as it starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # A glob is counted by what it finds in the configuration's groups.
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides(list(config.hydra.overrides.task))
        sweeps = [override for override in parsed if override.is_sweep_override()]
        counts = [len(list(override.sweep_iterator())) for override in sweeps if override.is_discrete_sweep()]
        jobs = math.prod(counts) if len(counts) == len(sweeps) else None
        # A directory that is refused is an error of the sweep itself, which comes next and stops it.
        with contextlib.suppress(OmegaConfBaseException):
            outcome = OmegaConf.select(config, "task._outcome_", default="sconv.sweeps.outcome")
            started.append(Sweep(Path(config.hydra.sweep.dir).absolute(), jobs, time.monotonic(), outcome))


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
    for directory in runs.find(Path(cfg.resume_sweep)):
        summary = runs.read_summary(directory)
        if all(summary.get(key) == value for key, value in wanted.items()):
            return directory
    return None


def progress(done: int) -> str:
    """How far the sweep is after `done` jobs, and how long the rest will take at this pace; empty after the last."""
    jobs = started[-1].jobs if started else None
    if jobs is None or done >= jobs:
        return ""
    left = (time.monotonic() - started[-1].began) / done * (jobs - done)
    return f"{done} of {jobs} jobs, about {timedelta(seconds=round(left))} left\n"


def outcome(directory: Path, console: Console) -> int:
    """Print a table of the sweep's jobs; return the exit code: 0, 3 where some diverged, 1 where some failed."""
    jobs = [(path, runs.read_summary(path)) for path in sorted(runs.find(directory), key=_number)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", overflow="fold")
    table.add_column("status")
    for heading in ("test acc", "steps", "seconds"):
        table.add_column(heading, justify="right")
    labels = _labels([path.name for path, _ in jobs])
    for label, (_, summary) in zip(labels, jobs, strict=True):
        final = summary.get("final") or {}
        accuracy = final.get("val_accuracy")
        cells = (
            label,
            summary["status"],
            "" if accuracy is None else f"{accuracy:.4f}",
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
    if ended <= {"finished"}:
        return 0
    return 3 if ended <= {"finished", "diverged"} else 1


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
