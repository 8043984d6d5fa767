"""Signals that ask a run to end: Ctrl-C, SIGTERM as of Docker and `timeout`, Slurm's warning SIGUSR1 and submitit's."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from sconv.runs import ExitCode

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
_SIGNALS = [signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__]


class Interrupted(KeyboardInterrupt):
    """What a signal ends a run with; `then` is what a launcher would have done, once all is left in order."""

    def __init__(self, number: int, then: Callable[[int, None], Any] | None = None):
        super().__init__()
        self.number, self.then = number, then


def exit_code(error: KeyboardInterrupt) -> int:
    """As a shell has it: 128 and the number of the signal."""
    return 128 + error.number if isinstance(error, Interrupted) else int(ExitCode.INTERRUPTED)


class Request:
    """Whether a signal has come, and since when."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._since, self._then, self._heard = 0.0, None, False

    def receive(self, number: int, frame: FrameType | None = None, then: Any = None) -> None:
        """Take a signal down; a second one ends the process at once."""
        if self._number is not None and not self._heard:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._heard = False
        self._number, self._since, self._then = number, time.monotonic(), then

    def hear(self) -> None:
        """Take down that another worker has got one; its own, which may come a little later, is then no second one."""
        if self._number is None:
            self.receive(signal.SIGTERM)
            self._heard = True

    def is_due(self, patience: float = 0.0) -> bool:
        """Whether one came, so many seconds ago."""
        return self._number is not None and time.monotonic() - self._since >= patience

    def obey(self) -> None:
        """Raise Interrupted where a signal has come."""
        if self._number is not None:
            raise Interrupted(self._number, self._then)


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


def _raise(number: int, frame: FrameType | None, then: Any = None) -> None:
    raise Interrupted(number, then)


# What we may stand in for; anybody else's handler is left alone, and so is a signal that is ignored.
_REPLACED = (signal.SIG_DFL, signal.default_int_handler, _raise)


@contextlib.contextmanager
def _handling(handler: Callable[..., None]) -> Iterator[None]:
    """Put a handler on the signals that nobody handles, for a while; Python has the main thread alone do so."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            found = signal.getsignal(number)
            then = _queues_again(found)
            if then is None and (found not in _REPLACED or number.name == "SIGUSR2"):
                continue
            before[number] = found
            signal.signal(number, handler if then is None else functools.partial(handler, then=then))
    try:
        yield
    finally:
        for taken, found in before.items():
            signal.signal(taken, found)


def _queues_again(found: Any) -> Callable[[int, None], Any] | None:
    """submitit's handler of the signal that warns a job, which has it queued again and ends it; else None."""
    if isinstance(found, functools.partial):  # in our keeping
        return found.keywords.get("then")
    own = (getattr(found, "__module__", None) or "").split(".")[0] == "submitit"
    return found if own and "requeue" in getattr(found, "__name__", "") else None
