"""The configuration: where `conf/` is, the types of the flat knobs, and the names of run directories.

Composing a configuration imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from sconv import checks

# Inside the package in a wheel, at the top of the repository in a checkout.
_PACKAGED = Path(__file__).resolve().parent / "conf"
CONF = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2] / "conf"


@dataclass
class Config:
    """The knobs and the groups; Hydra refuses a value of another type and a name that is not here."""

    task: Any = MISSING
    dataset: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    device: Any = MISSING
    loss: Any = MISSING
    lr_max: Any = MISSING
    lr_find: Any = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    seed: int = MISSING
    precision: str = MISSING
    steps_per_execution: Any = MISSING
    name: str | None = None
    resume_sweep: str | None = None


def register() -> None:
    """Tell Hydra about the schema and OmegaConf about the resolvers that `conf/config.yaml` uses."""
    ConfigStore.instance().store(name="schema", node=Config)
    resolvers: dict[str, Callable[..., Any]] = {"pid": os.getpid, "what": _what, "folder": _folder, "sweep": _sweep}
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(f"sconv.{name}", function, replace=True)


def _what(name: str | None, choices: Mapping[str, Any]) -> str:
    """What a run is called: its name, else the options that matter most; a task that does not train says so."""
    first = "schedule" if choices["task"] == "train" else "task"
    return _folder([name or "-".join(str(choices[group]) for group in (first, "model", "dataset"))])


def _sweep(resumed: str | None, new: str) -> str:
    """The directory of a sweep: the one that is taken up again, else a new one."""
    if resumed and not Path(resumed, "multirun.yaml").is_file():
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, expected the directory of a sweep")
    return resumed or new


def _folder(parts: Sequence[str]) -> str:
    """One folder's name out of overrides: nothing that nests or that a shell trips over, and not too long."""
    kept = [part for part in parts if not part.startswith("resume_sweep=")]
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(kept))[:120].strip("_") or "run"
