"""TensorFlow's start: what it says then goes to the run's log, not to the terminal."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


class _QuietImport(MetaPathFinder):
    """Has TensorFlow's own import, whoever asks for it first, speak to the log."""

    def find_spec(self, name: str, *_: Any, **__: Any) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = to_log()(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def install(several_workers: bool = False) -> None:
    """Keep TensorFlow's chatter off the terminal while it is imported, whenever that will be.

    Of several workers also what it says where one of them is gone: that comes as an error too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if several_workers else "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


@contextlib.contextmanager
def to_log() -> Iterator[None]:
    """Have what C++ code writes to stderr go to the file of the log, where there is one: a crash leaves its reason."""
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    if not files:
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(files[0].baseFilename, "a") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
