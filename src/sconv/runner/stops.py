"""Signals that ask a run to end: Ctrl-C, SIGTERM as of Docker and `timeout`, and Slurm's warning SIGUSR1."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from sconv.runs import ExitCode

_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGUSR1") if name in signal.Signals.__members__]


class Interrupted(KeyboardInterrupt):
    """What a signal ends a run with."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """As a shell has it: 128 and the number of the signal."""
    return 128 + error.number if isinstance(error, Interrupted) else int(ExitCode.INTERRUPTED)


class Request:
    """Whether a signal has come, and since when."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._since = 0.0

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal down; a second one ends the process at once."""
        if self._number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._number, self._since = number, time.monotonic()

    def is_due(self, patience: float = 0.0) -> bool:
        """Whether one came, so many seconds ago."""
        return self._number is not None and time.monotonic() - self._since >= patience

    def obey(self) -> None:
        """Raise Interrupted where a signal has come."""
        if self._number is not None:
            raise Interrupted(self._number)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Have a signal raise Interrupted wherever the program is."""
    with _handling(_raise):
        yield


@contextlib.contextmanager
def on_request() -> Iterator[Request]:
    """Have a signal wait until it is asked for."""
    request = Request()
    with _handling(request.receive):
        yield request


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


# What we may stand in for; anybody else's handler is left alone, and so is a signal that is ignored.
_REPLACED = (signal.SIG_DFL, signal.default_int_handler, _raise)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Put a handler on the signals that nobody handles, for a while; Python has the main thread alone do so."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if (found := signal.getsignal(number)) in _REPLACED:
                before[number] = found
                signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
