"""What a run was told before there was a settings.json: read out of .hydra/ as plain values, and never resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sconv import checks
from sconv.runs import bounded
from sconv.runs.bounded import BrokenRun
from sconv.runs.settings import NAME, Settings, read_settings

_READ = ("dataset", "model")


def settings_of(directory: Path) -> Settings:
    """What a run was told, be it by its settings.json or, without one, of its dataset and its model by its .hydra/.

    Raises BrokenRun.
    """
    if (directory / NAME).exists():
        return read_settings(directory)
    config = bounded.settings(directory / ".hydra" / "config.yaml")
    groups = {name: _filled(config[name], config, name) for name in _READ if name in config}
    try:
        there = bounded.settings(directory / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["cwd"]
    except (BrokenRun, KeyError, TypeError):
        there = ""
    return Settings(groups, {}, [], there if isinstance(there, str) else "")


def _filled(value: Any, config: Mapping[str, Any], name: str) -> Any:
    """The value with each text that is nothing but `${knob}` replaced by that plain knob at the top."""
    if isinstance(value, dict):
        return {key: _filled(each, config, f"{name}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, config, f"{name}[{place}]") for place, each in enumerate(value)]
    read = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    if read and read[1] in config:
        value = config[read[1]]
    # A backslash escapes what is then resolved a second time.
    if isinstance(value, (dict, list)) or (isinstance(value, str) and ("${" in value or value == "???")):
        raise BrokenRun(f"config.yaml: {name} is {checks.shown(value)}, expected a plain value")
    return value
