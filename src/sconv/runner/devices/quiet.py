"""TensorFlow's start, without its chatter on the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# What TensorFlow's C++ code says to stderr while it starts, whatever TF_CPP_MIN_LOG_LEVEL is.
_CHATTER = re.compile(
    rb"^([IWE]0000 |\d{4}-\d\d-\d\d .*: [IWE] |WARNING: All log messages before|To enable the following instr)"
)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep TensorFlow's chatter off the terminal while it starts; anything else that is said comes through after."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            kept.seek(0)
            said = [line for line in kept if not _CHATTER.match(line)]
            os.write(2, b"".join(said))
