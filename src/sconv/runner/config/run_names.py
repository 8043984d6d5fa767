"""What the directories of runs and sweeps are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


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


def job_name(*, _root_: DictConfig) -> str:
    """What a job of a sweep is called: what it was told, less Hydra's `exclude_keys`; without a rest as a run."""
    hydra = _root_.hydra
    alike = hydra.job.config.override_dirname.exclude_keys
    own = [told for told in hydra.overrides.task if setting_of(told) not in alike]
    return folder(own) if own else run_name(_root_=_root_)


def setting_of(override: str) -> str:
    """The name of the setting that an override of the command line gives."""
    return override.lstrip("+~").partition("=")[0]


def directory(resumed: str | None, new: str) -> str:
    """What is taken up again, else a new directory."""
    return resumed or new


def folder(parts: Sequence[str]) -> str:
    """One folder's name out of overrides: nothing that nests or that a shell trips over, and not too long."""
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(parts))[:120].strip("_") or "run"
