"""From a configuration to the parts of a run: what is wanted is judged first, then data and model are put together."""

from __future__ import annotations

import copy
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.datasets import Dataset, updates
from sconv.datasets.dataset import MOST_UPDATES
from sconv.lr_finder import result
from sconv.runner.config import data, targets
from sconv.runner.devices import quiet, setup
from sconv.schedules import Schedule

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Stands for an lr_max that is still to be found: any value shows what else is wrong.
_PLACEHOLDER = 1.0


def judge(cfg: DictConfig) -> tuple[Schedule, Dataset, int]:
    """The schedule, the data and the number of updates, with everything refused that would fail later.

    Where `lr_max` is auto the schedule is the one for an lr_max of 1.
    """
    if not wants_lr_max(cfg):
        checks.lr_max(cfg.lr_max)
    schedule = build_schedule(with_lr_max(cfg))
    checks.integer("epochs", cfg.epochs, at_least=1)
    checks.integer("batch_size", cfg.batch_size, at_least=1)
    checks.integer("seed", cfg.seed, at_most=2**32 - 1)  # NumPy takes no larger one
    checks.choice("precision", cfg.precision, PRECISIONS)
    if cfg.steps_per_execution != "auto":
        checks.integer("steps_per_execution", cfg.steps_per_execution, at_least=1)
    if wants_lr_max(cfg):
        judge_range_test(cfg)
    setup.hold_threads(OmegaConf.select(cfg, "device.threads"))
    with quiet.quiet_start():  # some datasets come through TensorFlow
        dataset = data.load_dataset(cfg.dataset)
    parts = OmegaConf.select(cfg, "optimizer.gradient_accumulation_steps") or 1
    steps = updates(dataset.name, len(dataset.train), cfg.epochs, cfg.batch_size) // int(parts)
    schedule.sample(steps)
    return schedule, dataset, steps


def build_schedule(cfg: DictConfig) -> Schedule:
    """The schedule, for an lr_max that is a number. Raises SettingError, or SettingTypeError where it is none."""
    schedule = targets.instantiate("schedule", cfg.schedule)
    if not isinstance(schedule, Schedule):
        kind, source = type(schedule).__name__, cfg.schedule._target_
        raise checks.SettingTypeError(f"schedule: {source} returned a {kind}, expected a sconv.schedules.Schedule")
    return schedule


def judge_range_test(cfg: DictConfig) -> None:
    """Refuse settings of the range test that would fail later."""
    checks.integer("max_steps", cfg.lr_find.max_steps, at_most=MOST_UPDATES)
    result.RangeTestSettings(**cfg.lr_find)


def wants_lr_max(cfg: DictConfig) -> bool:
    """Whether lr_max is to be found by a range test."""
    return isinstance(cfg.lr_max, str) and cfg.lr_max == checks.AUTO


def with_lr_max(cfg: DictConfig, value: float | None = None) -> DictConfig:
    """The configuration with `value` for an lr_max of auto; None stands in for one that is still to be found."""
    if not wants_lr_max(cfg):
        return cfg
    cfg = copy.deepcopy(cfg)
    cfg.lr_max = _PLACEHOLDER if value is None else value
    return cfg


def flat_knobs(cfg: DictConfig) -> dict[str, Any]:
    """The knobs at the top of the configuration that are plain values."""
    return {str(key): cfg[key] for key in cfg if isinstance(cfg[key], (int, float, str))}
