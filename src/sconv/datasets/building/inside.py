"""Files of a folder that may be a stranger's: regular ones, and within it."""

from __future__ import annotations

import functools
import io
import os
import stat
from collections.abc import Sequence

LARGEST = 1 << 28  # bytes of a file with one image
A_LINK = "a link out of its folder; cp -rL copies what it leads to"


def opened(path: str | os.PathLike[str], most: int | None = None) -> io.FileIO:
    """A regular file, opened for reading without a buffer. Raises OSError; pipes and devices are not waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    file = io.FileIO(handle)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        file.close()
        raise OSError(f"larger than {most:,} bytes" if stat.S_ISREG(found.st_mode) else "no regular file")
    return file


def leads_out(path: str, folder: str) -> bool:
    """Whether a path is a link that leads out of a folder, whose own path is real, or to a folder, maybe round."""
    return os.path.islink(path) and (os.path.isdir(path) or not _lies_in(os.path.realpath(path), folder))


def outside(files: Sequence[str], root: str) -> list[int]:
    """The places of those files, named relative to a root, that are elsewhere: by .., as absolute paths, by links."""
    real = functools.lru_cache(maxsize=None)(os.path.realpath)  # of the many files of a folder, once

    def lies_outside(file: str) -> bool:
        if "\0" in file:
            return True
        folder, name = os.path.split(os.path.join(root, file))
        path = os.path.join(real(folder), name)
        return not _lies_in(os.path.realpath(path) if name in ("..", ".") or os.path.islink(path) else path, real(root))

    return [place for place, file in enumerate(files) if lies_outside(file)]


def _lies_in(real: str, folder: str) -> bool:
    return real.startswith(folder.rstrip(os.sep) + os.sep)
