"""TensorFlow's start, whoever imports it first: it speaks to the run's log, and comes soon."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


class _Import(MetaPathFinder):
    """Takes TensorFlow's own import under its wing."""

    def find_spec(self, name: str, *_: Any, **__: Any) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            carried_out = to_log()(_uncollected()(spec.loader.exec_module))
            spec.loader.exec_module = carried_out  # type: ignore[method-assign]
        return spec


def prepare(several_workers: bool = False) -> None:
    """See to how TensorFlow starts, whenever that will be; what the environment says already is left alone.

    Of several workers what it says where one of them is gone is kept off the terminal too: that comes as an error.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if several_workers else "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _Import) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Import())


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection; what came meanwhile stays, and is left out of it from then on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


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
