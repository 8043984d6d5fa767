"""From a configuration to what a run will do: here is refused what would fail later. Starts no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.datasets import Dataset, updates
from sconv.runner.config import targets
from sconv.runner.config.data import load_dataset
from sconv.runner.devices import setup
from sconv.schedules import Schedule


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
    setup.hold_threads(OmegaConf.select(cfg, "device.threads"))  # some datasets come through TensorFlow
    dataset = load_dataset(cfg.dataset, keep_data)
    parts = OmegaConf.select(cfg, "optimizer.gradient_accumulation_steps") or 1
    steps = updates(dataset.name, len(dataset.train), cfg.epochs, cfg.batch_size) // int(parts)
    schedule.sample(steps)
    return Plan(schedule, dataset, steps, None if cfg.lr_max == checks.AUTO else float(cfg.lr_max))


def build_schedule(cfg: DictConfig) -> Schedule:
    """The schedule; for an lr_max of 1 where it is to be found. Raises SettingError or SettingTypeError."""
    given = {"lr_max": 1.0} if cfg.lr_max == checks.AUTO else {}
    if given and OmegaConf.select(cfg, "schedule.lr_max") != checks.AUTO:
        raise checks.SettingError(
            f"lr_max: got {checks.AUTO}, which {cfg.schedule._target_} is not given, "
            "expected 'schedule.lr_max=${lr_max}'"
        )
    schedule = targets.instantiate("schedule", cfg.schedule, **given)
    if not isinstance(schedule, Schedule):
        kind, source = type(schedule).__name__, cfg.schedule._target_
        raise checks.SettingTypeError(f"schedule: {source} returned a {kind}, expected a sconv.schedules.Schedule")
    return schedule
