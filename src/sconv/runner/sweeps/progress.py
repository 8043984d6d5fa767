"""What is said as a job of a sweep ends, told from the run directories, so also by workers that know no other job."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from sconv import runs
from sconv.runner.sweeps import launchers
from sconv.runner.sweeps.outcome import SHORT, summaries
from sconv.runner.sweeps.trial import RANGE_TEST, SWEEPER

# Values of one setting: nobody waits for a sweep over more.
_MOST = 100_000


def progress(job: Path, names_it: bool = False) -> str:
    """What is said as one job of a sweep ends: how far the sweep is and how long the rest will take at this pace.

    `names_it` tells before that what became of the job, for those whose own words nobody saw.
    """
    said = [_line(job, runs.read_summary(job))] if names_it and (job / "summary.json").is_file() else []
    sweep = job.parent / "multirun.yaml"  # written as the sweep starts
    if sweep.is_file():
        began = sweep.stat().st_mtime
        there = [(one, summary["status"]) for one, summary in summaries(job.parent) if one.name != RANGE_TEST]
        ended = [one for one, status in there if status != "running"]
        done = sum((one / "summary.json").stat().st_mtime >= began for one in ended)
        jobs = (_planned(sweep) or 0) - (len(ended) - done)
        if 0 < done < jobs:
            said.append(pace(done, jobs, time.time() - began))
    return "; ".join(said) + "\n" * bool(said)


def _planned(sweep: Path) -> int | None:
    """How many jobs a sweep has by its multirun.yaml, which somebody else may have written."""
    try:
        hydra = runs.read_yaml(sweep)["hydra"]
        told, sweeper = hydra["overrides"]["task"], hydra.get("sweeper") or {}
        if sweeper.get("_target_") == SWEEPER:
            trials = sweeper["n_trials"]
            return trials if type(trials) is int else None
    except (runs.BrokenRun, LookupError, TypeError, AttributeError):
        return None
    return _count([text for text in told if isinstance(text, str)]) if isinstance(told, list) else None


def _count(overrides: Sequence[str]) -> int | None:
    """How many jobs a sweep has; None where the sweeper decides as it goes, or where they are past counting."""
    try:
        swept = launchers.swept(overrides)
    except HydraException:
        return None
    counts = [_length(override.sweep_iterator()) for override in swept if override.is_discrete_sweep()]
    return math.prod(counts) if len(counts) == len(swept) and _MOST not in counts else None


def _length(values: Iterable[Any]) -> int:
    return sum(1 for _ in itertools.islice(values, _MOST))


def _line(job: Path, summary: Mapping[str, Any]) -> str:
    number, _, overrides = job.name.partition("-")
    accuracies = [(short, runs.accuracy(summary, split)) for split, short in SHORT.items()]
    words = [f"#{number} {overrides.replace(',', ' ')}".strip() + f": {summary['status']}"]
    words += [f"{short} {accuracy:.4f}" for short, accuracy in accuracies if accuracy is not None]
    return "; ".join(words) + (f"; {summary['error']}" if "error" in summary else "")


def pace(done: int, jobs: int, seconds: float) -> str:
    """How far a sweep is that took so long for so many of its jobs, and how long it will take for the rest."""
    left = timedelta(seconds=round(seconds / done * (jobs - done)))
    return f"{done} of {jobs} jobs, about {left} left"
