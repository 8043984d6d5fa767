"""What became of the jobs of a sweep, told from their run directories, so also where other processes ran them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from sconv import checks, runs

# What accuracies on a split are called in a table.
SHORT = {"validation": "val acc", "test": "test acc"}


def outcome(directory: Path, console: Console) -> int:
    """Print a table of the sweep's jobs; return the exit code: 0, 3 where some diverged, 1 where some failed."""
    jobs = sorted(summaries(directory), key=lambda job: (len(job[0].name.partition("-")[0]), job[0].name))
    shown = runs.splits([summary for _, summary in jobs])
    numbers = [Column(heading, justify="right") for heading in (*(SHORT[split] for split in shown), "steps", "seconds")]
    table = Table(Column("job", overflow="fold"), "status", *numbers, box=None, pad_edge=False, header_style="bold")
    labels = _labels([path.name for path, _ in jobs])
    for label, (_, summary) in zip(labels, jobs, strict=True):
        accuracies = [runs.accuracy(summary, split) for split in shown]
        table.add_row(
            Text(checks.printable(label)),
            "killed" if runs.killed(summary) else summary["status"],
            *("" if accuracy is None else f"{accuracy:.4f}" for accuracy in accuracies),
            str(summary.get("steps", "")),
            f"{summary.get('seconds', {}).get('total') or 0:.1f}",
        )
    console.print(table)
    for path, summary in jobs:
        if "error" in summary:
            console.print(checks.printable(f"{path.name}: {summary['error']}"), markup=False, soft_wrap=True)
    where = checks.printable(directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory)
    console.print(f"sweep  {where}", markup=False, soft_wrap=True)
    ended = {summary["status"] for _, summary in jobs}
    if ended - {"finished", "diverged"}:
        console.print(f"resume the same command with resume_sweep={where}", markup=False, soft_wrap=True)
    if ended <= {"finished"}:
        return runs.ExitCode.FINISHED
    return runs.ExitCode.DIVERGED if ended <= {"finished", "diverged"} else runs.ExitCode.FAILED


def summaries(directory: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Each run and its summary; one that cannot be read is broken, which keeps nobody from the others."""

    def summary(path: Path) -> dict[str, Any]:
        try:
            return runs.read_summary(path)
        except runs.BrokenRun:
            return {"status": "broken"}

    return [(path, summary(path)) for path in runs.find(directory)]


def _labels(names: list[str]) -> list[str]:
    """The names of jobs without the overrides that all of them have."""
    parts = [dict.fromkeys(name.partition("-")[2].split(",")) for name in names]
    shared = set.intersection(*map(set, parts)) if len(parts) > 1 else set()
    own = [",".join(part for part in each if part not in shared) for each in parts]
    return [f"{name.partition('-')[0]} {label}".strip() for name, label in zip(names, own, strict=True)]
