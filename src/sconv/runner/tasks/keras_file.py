"""A .keras file, looked at before Keras reads it, whose own safe mode has had gaps; and the model that comes out."""

from __future__ import annotations

import builtins
import json
import math
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sconv import checks

MOST_EXPANSION = 20  # times the size of the file: Keras stores, and weights compress little
MOST_CONFIG = 64 << 20  # bytes of config.json
MOST_PIXELS = 1 << 28  # of one input
MOST_CLASSES = 1 << 20
_CONFIG = "config.json"
# What carries code of the file's own, or reads files that it names.
_CLASSES = ("Lambda", "__lambda__", "__typespec__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_ROOMS = ("utils", "saving", "export", "datasets", "config", "callbacks", "distribution", "legacy", "wrappers")


def check_file(path: Path) -> list[str]:
    """Raise DataError unless it is a whole archive, no larger in memory than a model, of parts that only compute.

    Returns the names under which the parts that are none of Keras's own have to be registered.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise checks.DataError(f"run: {path} is no regular file")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST_EXPANSION * found.st_size:
                raise checks.DataError(f"run: {path} holds far more than its size, as no saved model does")
            if archive.getinfo(_CONFIG).file_size > MOST_CONFIG:
                raise checks.DataError(f"run: {path} has a configuration larger than {MOST_CONFIG:,} bytes")
            config = json.loads(archive.read(_CONFIG))
    except checks.DataError:
        raise
    except Exception as error:  # a damaged archive raises of a dozen kinds
        raise checks.DataError(f"run: {path} is broken: it is no whole .keras file") from error
    foreign = []
    for part in _parts(config):
        name, module = str(part["class_name"]), str(part.get("module"))
        own, _, rest = module.partition(".")
        # Older Keras takes a function that it does not know from Python's own.
        python = own == "builtins" and str(part.get("config")) in vars(builtins)
        if name in _CLASSES or python or (own == "keras" and rest.removeprefix("src.").split(".")[0] in _ROOMS):
            raise checks.DataError(f"run: {path} holds {checks.shown(name)}, which may run code of its own")
        if own not in ("keras", "builtins", "None"):
            foreign.append(str(part.get("registered_name")))
    return foreign


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Each part of a configuration that is to become an object, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def check_model(model: Any, path: Path) -> None:
    """Raise DataError unless a loaded model takes one input of a known size and gives one output an example."""
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    sides = [shape[1:] if isinstance(shape, tuple) else () for shape in shapes]
    known = all(len(each) and all(type(side) is int and side > 0 for side in each) for each in sides)
    if not known or len(sides[1]) != 1 or math.prod(sides[0]) > MOST_PIXELS or sides[1][0] > MOST_CLASSES:
        told = " to ".join(checks.shown(shape) for shape in shapes)
        raise checks.DataError(f"run: the model of {path} goes from {told}, expected one input and classes")
