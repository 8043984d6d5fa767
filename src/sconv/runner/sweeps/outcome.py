"""What became of the jobs of a sweep, told from their run directories, so also where other processes ran them."""

from __future__ import annotations

import collections
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from sconv import checks, runs

# What accuracies on a split are called in a table.
SHORT = {"validation": "val acc", "test": "test acc"}
_OVER = {"finished", "diverged", "pruned"}  # statuses of runs of which nothing more is to come
_NARROW = 60  # columns of a terminal that has no room for steps and seconds


def outcome(directory: Path, console: Console) -> int:
    """Print a table of the sweep's jobs and one of their means over seeds.

    Returns the exit code: 0, 3 where some diverged, 1 where some failed.
    """
    jobs = sorted(summaries(directory), key=lambda job: (len(job[0].name.partition("-")[0]), job[0].name))
    overrides = _own_overrides([path for path, _ in jobs])
    shown = runs.splits([summary for _, summary in jobs])
    tables = [_table(jobs, overrides, shown), _means([summary for _, summary in jobs], overrides, shown)]
    for table in tables:
        if console.width < _NARROW:
            del table.columns[2 + len(shown) :]
        if table.row_count:
            console.print(table)
    for path, summary in jobs:
        if "error" in summary:
            console.print(checks.printable(f"{path.name}: {summary['error']}"), markup=False, soft_wrap=True)
    where = checks.printable(directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory)
    console.print(f"sweep  {where}", markup=False, soft_wrap=True)
    ended = {summary["status"] for _, summary in jobs}
    if "finished" in ended:
        command = shlex.join(["python", "-m", "sconv.report", str(where)])
        console.print(f"report {command}", markup=False, soft_wrap=True)
        console.print(f"curves {runs.curves(directory)}\n{runs.CYCLE}", markup=False, soft_wrap=True)
    if ended - _OVER:
        console.print(f"resume the same command with resume_sweep={where}", markup=False, soft_wrap=True)
    if ended <= _OVER - {"diverged"}:
        return runs.ExitCode.FINISHED
    return runs.ExitCode.DIVERGED if ended <= _OVER else runs.ExitCode.FAILED


def summaries(directory: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Each run and its summary; one that cannot be read is broken, which keeps nobody from the others."""

    def summary(path: Path) -> dict[str, Any]:
        try:
            return runs.read_summary(path)
        except runs.BrokenRun:
            return {"status": "broken"}

    return [(path, summary(path)) for path in runs.find(directory)]


def _table(jobs: Sequence[tuple[Path, dict[str, Any]]], overrides: list[list[str]], shown: Sequence[str]) -> Table:
    """What became of each job."""
    table = _headed("job", "status", [*(SHORT[split] for split in shown), "steps", "seconds in all"])
    for (path, summary), own in zip(jobs, overrides, strict=True):
        accuracies = [runs.accuracy(summary, split) for split in shown]
        table.add_row(
            Text(checks.printable(f"{path.name.partition('-')[0]} {' '.join(own)}".strip())),
            "killed" if runs.killed(summary) else summary["status"],
            *("" if accuracy is None else f"{accuracy:.4f}" for accuracy in accuracies),
            str(summary.get("steps", "")),
            f"{summary.get('seconds', {}).get('total') or 0:.1f}",
        )
    return table


def _means(jobs: list[dict[str, Any]], overrides: list[list[str]], shown: Sequence[str]) -> Table:
    """Of each group of finished jobs that differ in their seeds alone, mean and standard deviation; empty without one.

    Of seconds those of training, which start-up and evaluation do not blur.
    """
    groups = collections.defaultdict[str, list[dict[str, Any]]](list)
    for summary, own in zip(jobs, overrides, strict=True):
        if summary["status"] == "finished":
            groups[" ".join(one for one in own if not one.startswith("seed="))].append(summary)
    table = _headed("mean ± std", "n", [*(SHORT[split] for split in shown), "seconds of training"])
    for name, of_it in groups.items() if any(len(group) > 1 for group in groups.values()) else ():
        accuracies = [[runs.accuracy(summary, split) for summary in of_it] for split in shown]
        seconds = [summary.get("seconds", {}).get("training") for summary in of_it]
        cells = [*(_spread(values, ".4f") for values in accuracies), _spread(seconds, ".1f")]
        table.add_row(Text(checks.printable(name or "all")), str(len(of_it)), *cells)
    return table


def _headed(first: str, second: str, numbers: Sequence[str]) -> Table:
    columns = [Column(heading, justify="right") for heading in numbers]
    return Table(Column(first, overflow="fold"), second, *columns, box=None, pad_edge=False, header_style="bold")


def _spread(values: Sequence[float | None], form: str) -> str:
    """Mean ± standard deviation, of one value without; empty where some are missing."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return ""
    return f"{fmean(known):{form}}" + (f" ± {stdev(known):{form}}" if len(known) > 1 else "")


def _own_overrides(jobs: Sequence[Path]) -> list[list[str]]:
    """What each job was told, less what all were; a folder's name, where that is all there is, may be cut short."""

    def told(job: Path) -> dict[str, None]:
        try:
            overrides = runs.read_settings(job).overrides
        except runs.BrokenRun:
            overrides = job.name.partition("-")[2].split(",")
        return dict.fromkeys(one for one in overrides if not one.startswith("resume_sweep="))

    overrides = [told(job) for job in jobs]
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    return [[one for one in each if one not in shared] for each in overrides]
