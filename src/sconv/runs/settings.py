"""settings.json: what a run was told, as plain values that can be read back without carrying anything out."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sconv.runs import bounded
from sconv.runs.bounded import BrokenRun

NAME = "settings.json"


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
    told = bounded.facts(directory / NAME)
    if told.keys() != Settings.__annotations__.keys():
        raise BrokenRun(f"{NAME}: expected {', '.join(Settings.__annotations__)}")
    settings, choices, overrides, where = (told[name] for name in Settings.__annotations__)
    if not isinstance(settings, dict):
        raise BrokenRun(f"{NAME}: settings: expected a mapping")
    _check_plain(settings, "settings")
    if not (isinstance(choices, dict) and isinstance(overrides, list) and isinstance(where, str)):
        raise BrokenRun(f"{NAME}: choices, overrides or directory is of another type")
    if not all(isinstance(text, str) for text in (*choices.values(), *overrides)):
        raise BrokenRun(f"{NAME}: choices or overrides hold what is no text")
    return Settings(settings, choices, overrides, where)


def _check_plain(value: Any, name: str) -> None:
    """Raise BrokenRun for a text that is more than a text to OmegaConf."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, name)
            _check_plain(item, f"{name}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_plain(item, f"{name}[{place}]")
    elif isinstance(value, str) and ("${" in value or value == "???"):
        raise BrokenRun(f"{NAME}: {name[:100]}: holds an interpolation or a missing value, expected plain values")
