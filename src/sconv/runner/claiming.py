"""A job takes its directory: as a new one, or where an earlier try at it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sconv import runs
from sconv.runner import resuming
from sconv.runner.job import Job
from sconv.runner.sweeps.resume import fingerprint


def setting_of(job: Job) -> str:
    """What decides where a job's directory is."""
    if job.cfg.resume:
        return "resume"
    return "hydra.sweep.subdir" if job.in_sweep else "hydra.run.dir"


def claim(job: Job) -> Job | None:
    """The job, its directory taken: with the configuration in it, or as what goes on there; None where it has finished.

    Hydra would write the configuration over that of another run. The directory must be held.
    """
    if job.cfg.resume:
        return resuming.taken_up(job)
    parts = {"config": job.cfg, "hydra": HydraConfig.instance().cfg, "overrides": list(job.overrides)}
    texts = {f"{name}.yaml": OmegaConf.to_yaml(part) for name, part in parts.items()}
    again = bool(job.cfg.resume_sweep) or _is_queued_again()
    if again and runs.is_unfinished_try(job.directory, texts["overrides.yaml"]):
        summary = runs.read_facts(job.directory, "summary.json") or {}
        if resuming.has_checkpoint(job.directory) and summary.get("fingerprint") == fingerprint(job.cfg):
            return resuming.goes_on(job, summary)
    runs.claim(setting_of(job), job.directory, texts, _record(job), resumed=again)
    return job


def _record(job: Job) -> runs.Settings | None:
    """What settings.json says of a job; None where a setting reads from nowhere, which is told of as the run begins."""
    try:
        settings: Any = OmegaConf.to_container(job.cfg, resolve=True)
    except OmegaConfBaseException:
        return None
    return runs.Settings(settings, dict(job.choices), list(job.overrides), str(Path.cwd()))


def _is_queued_again() -> bool:
    """Whether Slurm has begun this job before, and taken its machine away."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")
