"""What of a configuration can be refused before anything is imported for it: what each knob may be.

Also the settings of Keras's optimizers and losses, which Keras takes whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.datasets.dataset import MOST_UPDATES
from sconv.lr_finder.result import RangeTestSettings
from sconv.runner.config.schema import Config
from sconv.training.intervals import intervals

# What drives the learning rate: the schedule, whose own highest one it is.
_DRIVEN = "${lr_max}"
_GROUPS = ("task", "dataset", "augment", "model", "optimizer", "schedule", "device", "loss", "lr_find", "range_grid")
Check = Callable[[str, Any], Any]


def _or_null(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


_share: Check = partial(checks.number, at_least=0, below=1)
_above_zero: Check = partial(checks.number, above=0)
_not_negative: Check = partial(checks.number, at_least=0)

# Keras takes no whole number for these: 1 means 1.0.
RATES: dict[str, Check] = {
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "rho", "ema_momentum"), _share),
    **dict.fromkeys(("epsilon", "clip_threshold"), _above_zero),
    **dict.fromkeys(("clipnorm", "global_clipnorm", "clipvalue", "loss_scale_factor"), _or_null(_above_zero)),
    **dict.fromkeys(("weight_decay", "adam_weight_decay"), _or_null(_not_negative)),
}
# By the group that they are in, and its name.
_LIMITS: dict[str, dict[str, Check]] = {
    "": {
        "lr_max": lambda name, value: None if value == checks.AUTO else checks.lr_max(value),
        "epochs": partial(checks.integer, at_least=1),
        "freeze_epochs": checks.integer,
        "batch_size": partial(checks.integer, at_least=1),
        "seed": partial(checks.integer, at_most=2**32 - 1),  # NumPy takes no larger one
        "precision": partial(checks.choice, allowed=("float32", "mixed_bfloat16", "mixed_float16", checks.AUTO)),
        "accelerate": checks.boolean,
        "on_divergence": partial(checks.choice, allowed=("stop", "restart")),
        "update_bn": partial(checks.choice, allowed=(True, False, checks.AUTO)),
        "steps_per_execution": lambda name, value: value == checks.AUTO or checks.integer(name, value, at_least=1),
        "weight_decay": _or_null(_not_negative),
        "l2": _or_null(_not_negative),
    },
    "device": {
        "threads": _or_null(partial(checks.integer, at_least=1, at_most=4096)),
        "replicas": _or_null(partial(checks.integer, at_least=1)),
        "port": partial(checks.integer, at_least=1, at_most=2**16 - 1),
        "timeout": _above_zero,
        "xla": _or_null(checks.boolean),
        "onednn": _or_null(checks.boolean),
        "deterministic": checks.boolean,
    },
    "lr_find": {"max_steps": partial(checks.integer, at_most=MOST_UPDATES)},
    "loss": {"label_smoothing": _share, "from_logits": checks.boolean},
    "optimizer": {
        **RATES,
        **dict.fromkeys(("nesterov", "use_ema", "amsgrad", "centered", "relative_step"), checks.boolean),
        "ema_overwrite_frequency": _or_null(partial(checks.integer, at_least=1)),
        "gradient_accumulation_steps": _or_null(partial(checks.integer, at_least=2)),
        "ns_steps": partial(checks.integer, at_least=1),
    },
}
# What trains, and so does it on several replicas.
_SPREAD = tuple(f"sconv.runner.tasks.{task}.{task}" for task in ("train", "lr_find", "range_grid", "show"))
_OF_CHECKPOINTS: dict[str, Check] = {
    "every": lambda name, value: intervals(name, value),
    "keep": partial(checks.integer, at_least=1),
}


def validate(cfg: DictConfig, in_sweep: bool) -> None:
    """Refuse what no task can carry out, before anything is imported for it. Raises SettingError."""
    _refuse_unread(cfg)
    if cfg.resume_sweep and not in_sweep:
        raise checks.SettingError(f"resume_sweep: got {cfg.resume_sweep!r} without -m, expected the sweep's command")
    settings: Any = OmegaConf.to_container(cfg, resolve=False)
    for group in _GROUPS:
        _check_group(group, settings.get(group))
    for group, limits in _LIMITS.items():
        _check_limits(f"{group}." if group else "", limits, settings[group] if group else settings)
    _check_checkpoints(settings["checkpoint"])
    _check_spread(settings)
    if cfg.freeze_epochs and (not cfg.lr_factors or cfg.freeze_epochs > cfg.epochs):
        raise checks.SettingError(
            f"freeze_epochs: got {cfg.freeze_epochs} of epochs={cfg.epochs}, lr_factors={cfg.lr_factors}, "
            "expected some of the epochs, and lr_factors that name the layers to freeze: 'lr_factors={backbone: 0.01}'"
        )
    if cfg.progressive_resizing is not None:
        sizes = cfg.progressive_resizing
        read = OmegaConf.to_container(sizes, resolve=True) if OmegaConf.is_config(sizes) else sizes
        checks.shares("progressive_resizing", read, cfg.epochs)
    try:
        RangeTestSettings(**cfg.lr_find)
    except checks.UserError as error:
        raise type(error)(f"lr_find.{error}") from None
    rate = settings["optimizer"].get("learning_rate", _DRIVEN)
    if rate not in (_DRIVEN, cfg.lr_max):
        raise checks.SettingError(
            f"optimizer.learning_rate: got {checks.shown(rate)}, which the schedule overrides, expected lr_max=..."
        )


def _check_spread(settings: Mapping[str, Any]) -> None:
    """Refuse several replicas where nothing would use them, or each worker would find another precision."""
    kind, task = settings["device"].get("kind"), settings["task"]["_target_"]
    if kind not in ("mirrored", "multi_worker"):
        return
    if task not in _SPREAD:
        raise checks.SettingError(f"device: got {kind} for a task on one device, expected auto, cpu or gpu")
    if kind == "multi_worker" and settings["precision"] == checks.AUTO:
        raise checks.SettingError("precision: got auto with device=multi_worker, expected the same one for each worker")


def _check_checkpoints(settings: Any) -> None:
    """Refuse what says not how often, and what nobody reads."""
    if settings is None:
        return
    if not isinstance(settings, dict):
        raise checks.SettingTypeError(
            f"checkpoint: got {checks.shown(settings)}, expected null or checkpoint.every=..."
        )
    for name in settings:
        checks.choice("checkpoint", name, _OF_CHECKPOINTS)
    _check_limits("checkpoint.", _OF_CHECKPOINTS, settings)


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


def _check_limits(prefix: str, limits: Mapping[str, Check], settings: Mapping[str, Any]) -> None:
    """Refuse the first of the settings, not resolved, that is out of its limits.

    A value that is read from elsewhere is checked there, and one with a `_target_` is built.
    """
    for name, value in settings.items():
        is_read = isinstance(value, str) and "${" in value
        is_built = isinstance(value, Mapping) and "_target_" in value
        if name in limits and not is_read and not is_built:
            limits[name](f"{prefix}{name}", value)
