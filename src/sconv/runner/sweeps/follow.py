"""A line on the terminal as each job of a sweep in worker processes ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from sconv import runs
from sconv.runner.sweeps.outcome import _SHORT, _summaries

# Seconds between two looks at the run directories of jobs in worker processes.
_PAUSE = 0.5


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


def pace(done: int, jobs: int, seconds: float) -> str:
    """How far a sweep is that took so long for so many of its jobs, and how long it will take for the rest."""
    left = timedelta(seconds=round(seconds / done * (jobs - done)))
    return f"{done} of {jobs} jobs" + (f", about {left} left" if done < jobs else "")
