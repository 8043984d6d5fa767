"""settings.json: what a run was told, as plain values that can be read back without carrying anything out."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sconv.runs.reading import BrokenRun

NAME = "settings.json"
_LARGEST = 1_000_000  # bytes
_DEEPEST = 50
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Settings:
    """The resolved configuration, the options by group, the command line, and the directory it was given in."""

    settings: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    directory: str


def write_settings(directory: Path, settings: Settings) -> None:
    """Write settings.json into a run directory, in one move; values that JSON does not know become texts."""
    temporary = directory / f".{NAME}.tmp"
    temporary.write_text(json.dumps(asdict(settings), indent=2, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, directory / NAME)


def read_settings(directory: Path) -> Settings:
    """What a run was told; raises BrokenRun where there is no such record, or one that no run wrote.

    Nothing in it is resolved, and nothing can be: a text that OmegaConf would take for an interpolation or for a
    missing value is refused.
    """
    try:
        told = json.loads(_bounded(directory / NAME))
    except OSError as error:
        raise BrokenRun(f"{NAME}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BrokenRun(f"{NAME}: no JSON: {str(error)[:100]}") from error
    if not isinstance(told, dict) or told.keys() != Settings.__annotations__.keys():
        raise BrokenRun(f"{NAME}: expected {', '.join(Settings.__annotations__)}")
    settings, choices, overrides, where = (told[name] for name in Settings.__annotations__)
    if not isinstance(settings, dict):
        raise BrokenRun(f"{NAME}: settings: expected a mapping")
    _check_plain(settings, "settings", _DEEPEST)
    if not (isinstance(choices, dict) and isinstance(overrides, list) and isinstance(where, str)):
        raise BrokenRun(f"{NAME}: choices, overrides or directory is of another type")
    if not all(isinstance(text, str) for text in (*choices.values(), *overrides)):
        raise BrokenRun(f"{NAME}: choices or overrides hold what is no text")
    return Settings(settings, choices, overrides, where)


def _bounded(path: Path) -> str:
    """The text of a file of a bounded size; what waits for a writer, as a pipe does, is none."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise BrokenRun(f"{path.name}: expected a file of at most {_LARGEST:,} bytes")
        return file.read(_LARGEST).decode()


def _check_plain(value: Any, name: str, depth: int) -> None:
    """Raise BrokenRun for what is nested too deep, and for a text that is more than a text to OmegaConf."""
    if depth == 0:
        raise BrokenRun(f"{NAME}: {name[:100]}: nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, name, depth)
            _check_plain(item, f"{name}.{key}", depth - 1)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_plain(item, f"{name}[{place}]", depth - 1)
    elif not isinstance(value, _PLAIN):
        raise BrokenRun(f"{NAME}: {name[:100]}: expected plain values")
    elif isinstance(value, str) and ("${" in value or value == "???"):
        raise BrokenRun(f"{NAME}: {name[:100]}: holds an interpolation or a missing value, expected plain values")
