"""What of a configuration can be refused before anything is imported for it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.lr_finder.result import RangeTestSettings
from sconv.runner.config import limits
from sconv.runner.config.schema import Config

# What drives the learning rate: the schedule, whose own highest one it is.
_DRIVEN = "${lr_max}"
_GROUPS = ("task", "dataset", "augment", "model", "optimizer", "schedule", "device", "loss", "lr_find", "range_grid")


def validate(cfg: DictConfig, in_sweep: bool) -> None:
    """Refuse what no task can carry out, before anything is imported for it. Raises SettingError."""
    _refuse_unread(cfg)
    if cfg.resume_sweep and not in_sweep:
        raise checks.SettingError(f"resume_sweep: got {cfg.resume_sweep!r} without -m, expected the sweep's command")
    settings: Any = OmegaConf.to_container(cfg, resolve=False)
    for group in _GROUPS:
        _check_group(group, settings.get(group))
    limits.check(settings, limits.AT_THE_TOP)
    limits.check(settings["device"], limits.OF_DEVICES, "device.")
    _check_checkpoints(settings["checkpoint"])
    limits.check(settings["lr_find"], limits.OF_RANGE_TESTS, "lr_find.")
    try:
        RangeTestSettings(**cfg.lr_find)
    except checks.UserError as error:
        raise type(error)(f"lr_find.{error}") from None
    limits.check(settings["loss"], limits.OF_LOSSES, "loss.")
    limits.check(settings["optimizer"], limits.OF_OPTIMIZERS, "optimizer.")
    rate = settings["optimizer"].get("learning_rate", _DRIVEN)
    if rate not in (_DRIVEN, cfg.lr_max):
        raise checks.SettingError(
            f"optimizer.learning_rate: got {checks.shown(rate)}, which the schedule overrides, expected lr_max=..."
        )


def _check_checkpoints(settings: Any) -> None:
    """Refuse what says not how often, and what nobody reads."""
    if settings is None:
        return
    if not isinstance(settings, dict):
        raise checks.SettingTypeError(
            f"checkpoint: got {checks.shown(settings)}, expected null or checkpoint.every=..."
        )
    for name in settings:
        checks.choice("checkpoint", name, limits.OF_CHECKPOINTS)
    limits.check(settings, limits.OF_CHECKPOINTS, "checkpoint.")


def _check_group(group: str, settings: Any) -> None:
    """Refuse what is no group of settings, and one whose function has no name."""
    if settings in (None, "???"):
        raise checks.SettingError(f"{group}: got nothing, expected {group}=...")
    if not isinstance(settings, dict):
        raise checks.SettingTypeError(f"{group}: got {checks.shown(settings)}, expected {group}.<name>=...")
    target = settings.get("_target_", "none")
    if not isinstance(target, str) or not target:
        raise checks.SettingTypeError(f"{group}._target_: got {checks.shown(target)}, expected a function's name")


def _refuse_unread(cfg: DictConfig) -> None:
    """Refuse a setting that was added with + where it is none of ours and no other value reads it."""
    known = [knob.name for knob in fields(Config)]
    values = OmegaConf.to_yaml(cfg)
    for name in map(str, cfg):
        if name not in known and f"${{{name}" not in values:
            hint = checks.nearest(name, known) or ", and nothing reads it"
            raise checks.SettingError(f"{name}: there is no such setting{hint}")
