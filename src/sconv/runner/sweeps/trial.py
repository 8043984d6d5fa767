"""A job as a trial of a search, told from what Hydra hands it, also in a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

SWEEPER = "hydra_plugins.sconv_search.SearchSweeper"
RANGE_TEST = "range_test"  # the directory of what is no trial, but tells which are tried first


@dataclass(frozen=True)
class Trial:
    """Which trial a job is, of the study in which directory, and how it may be pruned: after what share of its epochs.

    Its number is the job's.
    """

    directory: Path
    number: int
    pruner: dict[str, Any]
    after: float


def of_job(hydra: Any) -> Trial | None:
    """The trial that the job under this configuration of Hydra's is; None where nobody would prune it."""
    settings = hydra.sweeper
    if settings._target_ != SWEEPER or settings.pruner is None or settings.objectives != ["accuracy"]:
        return None
    pruner: Any = OmegaConf.to_container(settings.pruner)
    return Trial(Path(hydra.sweep.dir), hydra.job.num, pruner, settings.prune_after)
