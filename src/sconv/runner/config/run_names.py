"""What the directories of runs and sweeps are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sconv import checks
from sconv.runner.sweeps import launchers


def _what(name: str | None, choices: Mapping[str, Any], run: str | None, *targets: Any) -> str:
    """What a run is called: its name, else what is done with another run, else the options that matter most.

    `targets` are the functions of schedule, model and dataset: the user's own go by their names, in place of the option
    that they replace.
    """
    if run is not None:
        return _folder([name or f"{choices['task']}-{Path(run).name}"])
    options = [str(choices[group]) for group in ("schedule", "model", "dataset")]
    pairs = zip(options, targets, strict=True)
    what = [str(target) if target and not str(target).startswith("sconv.") else option for option, target in pairs]
    return _folder([name or "-".join(what if choices["task"] == "train" else [str(choices["task"]), *what])])


def _sweep(resumed: str | None, launcher: str, overrides: Sequence[str], new: str) -> str:
    """The directory of a sweep that the launcher can carry out: the one that is taken up again, else a new one."""
    launchers.judge(launcher, overrides)
    if resumed and not Path(resumed, "multirun.yaml").is_file():
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, expected the directory of a sweep")
    return resumed or new


def _folder(parts: Sequence[str]) -> str:
    """One folder's name out of overrides: nothing that nests or that a shell trips over, and not too long."""
    kept = [part for part in parts if not part.startswith("resume_sweep=")]
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(kept))[:120].strip("_") or "run"
