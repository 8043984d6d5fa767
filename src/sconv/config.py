"""The configuration: where `conf/` is, the types of the flat knobs, and the names of run directories.

Composing a configuration imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from sconv import checks, launchers, limits

# Inside the package in a wheel, at the top of the repository in a checkout.
_PACKAGED = Path(__file__).resolve().parent / "conf"
CONF = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2] / "conf"


@dataclass
class Config:
    """The knobs and the groups; Hydra refuses a value of another type and a name that is not here."""

    task: Any = MISSING
    # Which part of it; for any dataset, see sconv.contracts.load_dataset.
    dataset: Any = field(default_factory=lambda: {"classes": None, "train_size": None, "validation": None})
    augment: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    device: Any = MISSING
    loss: dict[str, Any] = MISSING
    lr_max: Any = MISSING  # a number, or auto
    lr_find: Any = MISSING
    range_grid: Any = MISSING
    # Its default may come with the optimizer, which is composed before config.yaml has its say.
    weight_decay: float | None = None
    l2: float | None = MISSING
    decay_all: bool = MISSING
    lr_factors: Any = None  # a mapping would take no new names from the command line
    epochs: int = MISSING
    batch_size: int = MISSING
    seed: int = MISSING
    precision: str = MISSING
    steps_per_execution: Any = MISSING
    name: str | None = None
    resume_sweep: str | None = None
    run: str | None = MISSING
    images: str | None = MISSING
    target_whitelist: list[str] = field(default_factory=list)


def register() -> None:
    """Tell Hydra about the schema and OmegaConf about the resolvers that `conf/config.yaml` uses."""
    ConfigStore.instance().store(name="schema", node=Config)
    resolvers: dict[str, Callable[..., Any]] = {"pid": os.getpid, "what": _what, "folder": _folder, "sweep": _sweep}
    for name, function in resolvers.items():
        # Kept, as Hydra's `now` is: a worker process names the directories as the one that started it did.
        OmegaConf.register_new_resolver(f"sconv.{name}", function, replace=True, use_cache=name == "pid")


# What drives the learning rate: the schedule, whose own highest one it is.
_DRIVEN = "${lr_max}"


def judge(cfg: DictConfig, in_sweep: bool) -> None:
    """Refuse what no task can carry out, before anything is imported for it. Raises SettingError."""
    _refuse_unread(cfg)
    if cfg.resume_sweep and not in_sweep:
        raise checks.SettingError(f"resume_sweep: got {cfg.resume_sweep!r} without -m, expected the sweep's command")
    settings: Any = OmegaConf.to_container(cfg, resolve=False)
    for group, values in settings.items():
        target = values.get("_target_", "none") if isinstance(values, dict) else "none"
        if not isinstance(target, str) or not target:
            raise checks.SettingTypeError(f"{group}._target_: got {checks.shown(target)}, expected a function's name")
    for group in ("lr_find", "range_grid"):
        if not isinstance(settings[group], dict):
            raise checks.SettingTypeError(f"{group}: got {checks.shown(settings[group])}, expected {group}.<name>=...")
    limits.check(settings, limits.AT_THE_TOP)
    limits.check(settings["loss"], limits.OF_LOSSES, "loss.")
    limits.check(settings["optimizer"], limits.OF_OPTIMIZERS, "optimizer.")
    rate = settings["optimizer"].get("learning_rate", _DRIVEN)
    if rate != _DRIVEN:
        raise checks.SettingError(
            f"optimizer.learning_rate: got {checks.shown(rate)}, which the schedule overrides, expected lr_max=..."
        )


def _refuse_unread(cfg: DictConfig) -> None:
    """Refuse a setting that was added with + where it is none of ours and no other value reads it."""
    known = [knob.name for knob in fields(Config)]
    values = OmegaConf.to_yaml(cfg)
    for name in map(str, cfg):
        if name not in known and f"${{{name}" not in values:
            hint = checks.nearest(name, known) or ", and nothing reads it"
            raise checks.SettingError(f"{name}: there is no such setting{hint}")


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
