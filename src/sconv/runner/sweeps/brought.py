"""What a job leaves on a machine that shares no disk with the sweep's, brought back with its result."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# Checkpoints stay where they are: only that machine could go on from them.
_LEFT_BEHIND = "checkpoints"
_LARGEST = 2**28  # bytes of one run, which pass through the memory of three processes


class Brought(int):
    """A job's exit code that carries its files, and writes them into the sweep of whoever receives it.

    As an int, for that is what a job returns; a launcher that sends it to another process sends the files.
    """

    sweep: str
    directory: str
    files: dict[str, bytes]

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, (int(self), self.sweep, self.directory, self.files)


def carrying(code: int, sweep: str, directory: Path) -> int:
    """The exit code, with the files of a run where the sweep's own folder is not to be seen from here."""
    if (directory.parent / "multirun.yaml").is_file():  # which is written as the sweep starts
        return code
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    kept = [path for path in paths if path.relative_to(directory).parts[0] != _LEFT_BEHIND]
    if sum(path.stat().st_size for path in kept) > _LARGEST:
        log.warning("more than %d MB: the model stays on this machine, in %s", _LARGEST // 2**20, directory)
        kept = [path for path in kept if path.suffix != ".keras"]
    brought = Brought(code)
    brought.sweep, brought.directory = sweep, directory.name
    brought.files = {str(path.relative_to(directory)): path.read_bytes() for path in kept}
    return brought


def unpack(code: int, sweep: str, directory: str, files: dict[str, bytes]) -> int:
    """Write the files of a run into a folder of the sweep, unless they are there; returns the exit code."""
    run = Path(sweep) / directory
    if not (run / ".hydra").is_dir():
        for name, content in files.items():
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    return code
