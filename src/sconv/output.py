"""Where output goes: a closed pipe or a vanished terminal ends no training, only a terminal can be drawn over."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# What a write says where its reader has gone, or where there is no room for what is told.
_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET, errno.ENOSPC, errno.EDQUOT)


class _Lasting(io.RawIOBase):
    """A file descriptor that turns to nowhere once its reader has gone."""

    def __init__(self, handle: int):
        self._handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return os.isatty(self._handle)

    def write(self, content: Any) -> int:
        try:
            return os.write(self._handle, content)
        except OSError as error:
            if error.errno not in _GONE:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._handle)
        os.close(nowhere)
        return len(content)


def outlast() -> None:
    """Have this process go on when what it says is not read to its end, and when its terminal is closed."""
    if sys.stdout is not sys.__stdout__:  # somebody listens in this process
        return
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def can_redraw(console: Console) -> bool:
    """Whether what stands on it can be drawn over: on a terminal; the cell of a notebook keeps all that it was told."""
    return console.is_terminal and "JPY_PARENT_PID" not in os.environ  # which a notebook's `!python` finds set


def status(doing: str) -> contextlib.AbstractContextManager[Any]:
    """Show that something takes its time, where that can be taken off again."""
    from rich.console import Console

    console = Console()
    return console.status(doing) if can_redraw(console) else contextlib.nullcontext()


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed before we began
        return open(os.devnull, "w", encoding="utf-8")
    stream.flush()
    raw = _Lasting(stream.fileno())
    by_line = raw.isatty() or stream is sys.__stderr__
    # A sign that the terminal's encoding lacks is written out.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=by_line
    )
