"""From a configuration to what a run will do: here is refused what would fail later. Starts no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.datasets import Dataset, updates
from sconv.datasets.dataset import MOST_UPDATES
from sconv.lr_finder.result import RangeTestSettings
from sconv.runner.config.data import load_dataset
from sconv.runner.devices import setup
from sconv.schedules import Schedule

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Plan:
    """What a run will do in `steps` updates. An `lr_max` that is still to be found is None, and the schedule's is 1."""

    schedule: Schedule
    dataset: Dataset
    steps: int
    lr_max: float | None

    def with_lr_max(self, found: float) -> Plan:
        """The same with the lr_max that was found: every policy is linear in it."""
        return replace(self, schedule=self.schedule.scaled(found), lr_max=found)


def plan(cfg: DictConfig, keep_data: bool = False) -> Plan:
    """The schedule, the data and the number of updates. Raises SettingError, or what loading the data raises.

    `keep_data` keeps the data for the next job of this process that asks for the same.
    """
    schedule = build_schedule(cfg)
    checks.integer("epochs", cfg.epochs, at_least=1)
    checks.integer("batch_size", cfg.batch_size, at_least=1)
    checks.integer("seed", cfg.seed, at_most=2**32 - 1)  # NumPy takes no larger one
    checks.choice("precision", cfg.precision, PRECISIONS)
    if cfg.steps_per_execution != "auto":
        checks.integer("steps_per_execution", cfg.steps_per_execution, at_least=1)
    if cfg.lr_max == checks.AUTO:
        check_range_test(cfg)
    setup.hold_threads(OmegaConf.select(cfg, "device.threads"))  # some datasets come through TensorFlow
    dataset = load_dataset(cfg.dataset, keep_data)
    parts = OmegaConf.select(cfg, "optimizer.gradient_accumulation_steps") or 1
    steps = updates(dataset.name, len(dataset.train), cfg.epochs, cfg.batch_size) // int(parts)
    schedule.sample(steps)
    return Plan(schedule, dataset, steps, None if cfg.lr_max == checks.AUTO else float(cfg.lr_max))


def build_schedule(cfg: DictConfig) -> Schedule:
    """The schedule; for an lr_max of 1 where it is to be found. Raises SettingError or SettingTypeError."""
    given = {}
    if cfg.lr_max != checks.AUTO:
        checks.lr_max(cfg.lr_max)
    elif OmegaConf.select(cfg, "schedule.lr_max") == checks.AUTO:
        given["lr_max"] = 1.0
    else:
        raise checks.SettingError(
            f"lr_max: got {checks.AUTO}, which {cfg.schedule._target_} is not given, "
            "expected 'schedule.lr_max=${lr_max}'"
        )
    schedule = instantiate(cfg.schedule, **given, _convert_="all")
    if not isinstance(schedule, Schedule):
        kind, source = type(schedule).__name__, cfg.schedule._target_
        raise checks.SettingTypeError(f"schedule: {source} returned a {kind}, expected a sconv.schedules.Schedule")
    return schedule


def check_range_test(cfg: DictConfig) -> None:
    """Refuse settings of the range test that would fail later."""
    checks.integer("max_steps", cfg.lr_find.max_steps, at_most=MOST_UPDATES)
    RangeTestSettings(**cfg.lr_find)


def flat_knobs(cfg: DictConfig) -> dict[str, Any]:
    """The knobs at the top of the configuration that are plain values."""
    return {str(key): cfg[key] for key in cfg if isinstance(cfg[key], (int, float, str))}
