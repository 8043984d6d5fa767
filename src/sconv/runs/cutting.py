"""Files that only grow, cut back to what a checkpoint has of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from sconv import checks

_GROWING = ("steps.csv", "epochs.csv")
_EVENTS = tuple(f"{part}events.out.tfevents.*" for part in ("", "train/", "validation/", "test/"))


def lengths(directory: Path) -> dict[str, int]:
    """How many bytes there are of each growing file of a run; they are on the disk when it returns."""
    found = {}
    for path in _growing(directory):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            found[path.relative_to(directory).as_posix()] = os.fstat(handle).st_size
        finally:
            os.close(handle)
    return found


def check_lengths(directory: Path, kept: Mapping[str, int]) -> None:
    """Raise DataError for a file that is shorter than it was."""
    for name, length in kept.items():
        path = directory / name
        if not path.is_file() or path.stat().st_size < length:
            raise checks.DataError(f"{path}: expected at least the {length:,} bytes that there were at the checkpoint")


def cut(directory: Path, kept: Mapping[str, int]) -> None:
    """Take off all that came after `lengths` gave these; raises DataError for a file that is shorter than it was."""
    check_lengths(directory, kept)
    for path in _growing(directory):
        name = path.relative_to(directory).as_posix()
        if name in kept:
            os.truncate(path, kept[name])
        else:
            path.unlink()


def events(folder: Path) -> list[Path]:
    """The files of TensorBoard's events in a folder, in the order in which it reads them."""
    return sorted(folder.glob("events.out.tfevents.*"))


def put_last(folder: Path, before: list[Path]) -> None:
    """Have a new file of events come after those that there were before it: its name is the time, and clocks jump."""
    for path in events(folder):
        if before and path not in before and path < before[-1]:
            with contextlib.suppress(PermissionError):  # Windows renames no open file
                path.rename(f"{before[-1]}.1")


def _growing(directory: Path) -> list[Path]:
    return sorted(path for pattern in (*_GROWING, *_EVENTS) for path in directory.glob(pattern))
