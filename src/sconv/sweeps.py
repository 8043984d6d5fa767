"""What became of the jobs of a sweep, told from their run directories, so also where other processes ran them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sconv import runs

# The directory of the sweep that this process started: Hydra tells its callbacks, and nobody else.
started: list[Path] = []


class NoteDirectory(Callback):
    """Note where a sweep puts its jobs as it starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        started.append(Path(config.hydra.sweep.dir).absolute())


def outcome(directory: Path, console: Console) -> int:
    """Print a table of the sweep's jobs; return the exit code: 0, 3 where some diverged, 1 where some failed."""
    jobs = [(path, runs.read_summary(path)) for path in sorted(runs.find(directory), key=_number)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", overflow="fold")
    table.add_column("status")
    for heading in ("test acc", "steps", "seconds"):
        table.add_column(heading, justify="right")
    for path, summary in jobs:
        final = summary.get("final") or {}
        accuracy = final.get("val_accuracy")
        cells = (
            path.name,
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


def _number(path: Path) -> int:
    head = path.name.split("-")[0]
    return int(head) if head.isdigit() else 0


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
