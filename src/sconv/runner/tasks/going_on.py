"""How a run's training goes on: after a kill from its checkpoint, after a divergence with half the learning rate."""

from __future__ import annotations

import dataclasses
import logging
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import runs
from sconv.datasets import Dataset
from sconv.runner import resuming
from sconv.runner.job import Job
from sconv.runner.plan import Plan
from sconv.training import checkpoint_file

# Keras is imported inside functions: what can be refused without TensorFlow is refused before it starts.

log = logging.getLogger(__name__)

_MOST_RESTARTS = 8  # with 1/256 of the learning rate it is not the learning rate
_SOON = 0.05  # of all steps
_LOOKED_AT = 2**26  # bytes of the data that tell them from others


def keeper(cfg: DictConfig, run: runs.RunWriter, dataset: Dataset, stream: Any) -> Any:
    """What writes a run's checkpoints and finds them; None where there are to be none."""
    from sconv.training.checkpoint import Checkpoint

    if cfg.checkpoint is None:
        return None
    given: Any = OmegaConf.to_container(cfg.checkpoint)
    settings = {"data": _looks(dataset), "batch_size": cfg.batch_size}
    halved = ("lr_max",) if run.summary.get("restarts") else ()
    allow = (*cfg.resume_allow, *halved)
    return Checkpoint(run.directory / resuming.FOLDER, **given, stream=stream, settings=settings, allow=allow)


def note_differences(before: Mapping[str, Any], device: Mapping[str, Any]) -> None:
    """Warn where a run goes on with other software, threads or oneDNN than it began with: its numbers may be others."""
    theirs = {**(before.get("versions") or {}), **(before.get("device") or {})}
    for name, value in {**runs.versions(), **{name: device.get(name) for name in ("threads", "onednn")}}.items():
        if name in theirs and theirs[name] != value:
            log.warning("resume: %s was %s and is %s: the numbers may be others", name, theirs[name], value)


def note_resumed(run: runs.RunWriter, planned: Plan, found: tuple[Any, Mapping[str, Any]], epochs: int) -> bool:
    """Put into the summary, and say, from which step the run goes on; returns whether not as it was planned."""
    path, state = found
    step = (state["schedule"] or {}).get("position", 0)
    before = (run.summary.get("schedule") or {}).get("steps", planned.steps)
    changed = {} if before == planned.steps else {"epochs": epochs}
    if changed:
        resuming.change_record(run.directory, changed)
    resumed = [*run.summary.get("resumed", []), {"step": step, "at": runs.now(), "changed": changed}]
    run.record(resumed=resumed)
    (run.directory / "model.keras").unlink(missing_ok=True)  # of where it was interrupted
    Console(highlight=False, soft_wrap=True).print(
        f"{'going on':<14} at step {step:,} of {planned.steps:,} ({path.name})"
    )
    return bool(changed)


def as_restarted(planned: Plan, summary: Mapping[str, Any]) -> Plan:
    """The plan under the learning rate that the restarts so far have left."""
    share = 0.5 ** len(summary.get("restarts") or ())
    assert planned.lr_max is not None
    return dataclasses.replace(planned, schedule=planned.schedule.scaled(share), lr_max=planned.lr_max * share)


def restart(job: Job, run: runs.RunWriter, steps: int, error: Any, start: Mapping[str, Any] | None) -> None:
    """Prepare another try from the last good checkpoint, or from the `start`; raise the error where none is asked for.

    One that a try began at which soon diverged again is no good one, and neither is any after it.
    """
    from sconv.runner.tasks.giving_up import Lost

    before = run.summary.get("restarts") or []
    if job.cfg.on_divergence != "restart" or len(before) == _MOST_RESTARTS:
        raise error
    folder = run.directory / resuming.FOLDER
    kept = checkpoint_file.listed(folder)
    lost = isinstance(error, Lost)  # and has been for longer than there are checkpoints
    if lost or (before and error.step <= before[-1]["diverged_at"] + steps * _SOON):
        while kept and (lost or list(kept[-1][0]) >= before[-1]["from"]):
            kept.pop()[1].unlink()
    if not kept:
        if start is None:
            raise error
        run.restore(start)
    place = list(kept[-1][0]) if kept else [0, 0]
    run.summary.pop("diverged", None)
    run.record(restarts=[*before, {"diverged_at": error.step, "from": place, "at": runs.now()}])
    log.warning("%s: going back to epoch %s, batch %s, with half the learning rate", error, place[0] + 1, place[1] + 1)


def tidy(run: runs.RunWriter) -> None:
    """Of a finished run leave the last checkpoint alone: more epochs would begin there."""
    folder = run.directory / resuming.FOLDER
    if kept := checkpoint_file.listed(folder):
        checkpoint_file.prune(folder, kept[-1][0], keep=1, best=None)


def _looks(dataset: Dataset) -> str:
    """What tells these training data from others: how many there are, and what is in them or in part of them."""
    train = dataset.train
    images, labels = getattr(train, "images", None), getattr(train, "labels", None)
    if images is None or labels is None:
        return f"{len(train)} streamed"
    every = max(1, images.nbytes // _LOOKED_AT)
    summed = zlib.crc32(np.asarray(labels).tobytes(), zlib.crc32(images[::every].tobytes()))
    return f"{len(train)} with checksum {summed:08x}"
