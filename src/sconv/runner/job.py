"""What a task is handed: one value in place of Hydra's global state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sconv.runner.config import leftovers, run_names
from sconv.runner.sweeps import launchers
from sconv.runner.sweeps.trial import Trial, of_job


@dataclass(frozen=True)
class Job:
    """One run of one task: its configuration, the directory it leaves, and what it is part of.

    `choices` are the options by group, or a function's name where no option was chosen; `overrides` the arguments of
    the command line that are this job's; `has_workers`, whether its sweep's jobs run in processes of their own;
    `resumed`, whether it goes on where an earlier try was; `trial`, which trial of a search it is.
    """

    cfg: DictConfig
    directory: Path
    choices: Mapping[str, str]
    overrides: tuple[str, ...] = ()
    in_sweep: bool = False
    has_workers: bool = False
    resumed: bool = False
    trial: Trial | None = None

    @property
    def given(self) -> set[str]:
        """The names of the settings that the command line gives."""
        return {run_names.setting_of(override) for override in self.overrides}


def from_hydra(cfg: DictConfig) -> Job:
    """The job that Hydra is carrying out, without what replaced options left in its configuration."""
    hydra = HydraConfig.get()
    leftovers.drop(cfg, hydra)
    settings: Any = OmegaConf.to_container(cfg, resolve=False)
    named = {name: part["_target_"] for name, part in settings.items() if isinstance(part, dict) and "_target_" in part}
    with read_write(hydra), open_dict(hydra):  # type: ignore[arg-type]  # a DictConfig, whatever it is declared as
        hydra.runtime.choices = {**named, **hydra.runtime.choices}
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    choices: Any = OmegaConf.to_container(hydra.runtime.choices)
    in_sweep = hydra.mode == RunMode.MULTIRUN
    return Job(
        cfg,
        Path(hydra.runtime.output_dir),
        {str(group): str(option) for group, option in choices.items()},
        tuple(overrides),
        in_sweep,
        in_sweep and launchers.has_workers(hydra.launcher._target_),
        trial=of_job(hydra) if in_sweep else None,
    )
