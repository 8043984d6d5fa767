"""A sweep taken up again: which of its jobs have finished before."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv.runner.sweeps.outcome import summaries

# What has no part in what a job computes, or only where it fails.
NOT_OF_THE_JOB = ("resume_sweep", "resume", "resume_allow", "checkpoint", "on_divergence")


def fingerprint(cfg: DictConfig) -> str:
    """What recognises a job when its sweep is taken up again: a hash of its resolved configuration."""
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    for name in NOT_OF_THE_JOB:
        values.pop(name)
    return digest(values)


def digest(values: Any) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def finished_before(cfg: DictConfig) -> Path | None:
    """The run directory of the sweep taken up again in which this very job has finished, if there is one."""
    if not cfg.resume_sweep:
        return None
    wanted = {"status": "finished", "fingerprint": fingerprint(cfg)}
    there = summaries(Path(cfg.resume_sweep))
    return next((path for path, summary in there if wanted.items() <= summary.items()), None)
