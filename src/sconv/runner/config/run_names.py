"""What the directories of runs and sweeps are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import runs


def run_name(*, _root_: DictConfig) -> str:
    """What a run is called: its name, else what is done with another run, else the options that matter most.

    Functions of the user's own go by their names, in place of the option that they replace.
    """
    options: Any = OmegaConf.to_container(_root_.hydra.runtime.choices)
    task = options.get("task")
    if _root_.name:
        return folder([_root_.name])
    if _root_.run is not None:
        return folder([f"{task}-{Path(_root_.run).name}"])
    parts = [] if task == "train" else [task]
    for group in ("schedule", "model", "dataset"):
        target = str(OmegaConf.select(_root_, f"{group}._target_"))
        parts.append(options.get(group) if target.startswith("sconv.") else target)
    return folder(["-".join(map(str, parts))])


def run_directory(resumed: str | None, new: str) -> str:
    """The run that is taken up again, else a new directory. Raises SettingError before anything is made there."""
    if resumed:
        runs.check_own("resume", Path(resumed))
    return resumed or new


def sweep_directory(resumed: str | None, new: str) -> str:
    """The sweep that is taken up again, else a new directory."""
    return resumed or new


def folder(parts: Sequence[str]) -> str:
    """One folder's name out of overrides: nothing that nests or that a shell trips over, and not too long."""
    kept = [part for part in parts if not part.startswith("resume_sweep=")]
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(kept))[:120].strip("_") or "run"
