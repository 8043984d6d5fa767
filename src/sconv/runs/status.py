"""How a run stands, and how a command that ended tells a shell."""

from __future__ import annotations

from enum import IntEnum

STATUSES = ("finished", "diverged", "pruned", "failed", "interrupted", "running")


class ExitCode(IntEnum):
    """What a command returns."""

    FINISHED = 0
    FAILED = 1
    USER_ERROR = 2  # something the user can mend
    DIVERGED = 3
    INTERRUPTED = 130  # as a shell has it: 128 and the number of the signal
