"""resume=<run directory>: a run that goes on where it was, by its own record alone."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from sconv import checks, runs
from sconv.runner.config.schema import Config
from sconv.runner.config.trusted import MODELS, OWN, SCHEDULES, check_targets, foreign
from sconv.runner.devices import cluster, precision, setup
from sconv.runner.job import Job
from sconv.training import checkpoint_file

FOLDER = "checkpoints"
_TASK = "sconv.runner.tasks.train.train"
# What the command line may give besides, and what of that is a change of the run.
_BESIDE = ("resume", "resume_allow", "allowed_targets")
_CHANGES = ("epochs",)
# What a run's record may name: ours, and Keras's by their public names and as what they are.
_OF_KERAS = [f"keras.{src}{part}.*" for src in ("", "src.") for part in ("losses", "optimizers", "applications")]
_AUGMENTS = tuple(
    f"sconv.datasets.pipeline.augmentation.{name}" for name in ("flip", "mixup", "none", "standard", "standard_cutout")
)
ALLOWED = (*OWN, *MODELS, *SCHEDULES, *_AUGMENTS, _TASK, "sconv.runner.devices.setup.set_up", *_OF_KERAS)


def has_checkpoint(directory: Path) -> bool:
    """Whether there is one to go on from."""
    return bool(checkpoint_file.listed(directory / FOLDER))


def command(directory: Path, cfg: DictConfig) -> str:
    """What to type, in the shell, to have a run go on: with what it needs of the user's own."""
    path = os.path.relpath(directory)
    if not re.fullmatch(r"[\w./+@:-]+", path):
        path = '"{}"'.format(re.sub(r'(\\*)"', r'\1\1\\"', path))  # as Hydra quotes
    own = foreign(OmegaConf.to_container(cfg, resolve=True), ALLOWED)
    allowed = [f"allowed_targets=[{','.join(own)}]"] if own else []
    return shlex.join(["python", "-m", "sconv", f"resume={path}", *allowed, *_workers(cfg.device)])


def _workers(device: DictConfig) -> list[str]:
    """What tells the chief of several workers who they are."""
    if not cluster.is_spread(device):
        return []
    told = [] if device.hosts is None else [f"device.hosts=[{','.join(device.hosts)}]", f"device.index={device.index}"]
    return ["device=multi_worker", *told]


def taken_up(job: Job) -> Job | None:
    """The job that `resume` names, to be gone on with in its directory; None where it has finished.

    Without a checkpoint it begins anew there. The directory must be held. Raises SettingError, or BrokenRun.
    """
    directory, asked = job.directory, job.cfg
    _check_command(job)
    runs.settled(directory)
    record, summary = runs.read_settings(directory), runs.read_facts(directory, "summary.json") or {}
    if (record.settings.get("task") or {}).get("_target_") != _TASK:
        raise checks.SettingError(f"resume: got {checks.shown(asked.resume)}, expected a run of task=train")
    changed = {name: asked[name] for name in _CHANGES if name in job.given and asked[name] != record.settings[name]}
    if summary.get("status") == "finished" and not changed:
        return None
    _check_changes(changed, record, asked)
    own = record.settings.get("device") or {}
    given = OmegaConf.select(asked, "device.onednn")
    setup.choose_onednn(given if any(map(_is_of_device, job.given)) else own.get("onednn"))
    check_targets(record.settings, (*ALLOWED, *asked.allowed_targets))
    beside = {"resume": asked.resume, "resume_allow": list(asked.resume_allow)}
    # Who the workers are is never as it was: each of them has to be told.
    if own.get("kind") == cluster.MULTI_WORKER or any(map(_is_of_device, job.given)):
        beside["device"] = asked.device
    cfg = _configuration(record, {**changed, **beside})
    taken = dataclasses.replace(job, cfg=cfg, choices=record.choices, overrides=())
    if not has_checkpoint(directory):
        if summary.get("status") == "finished":
            raise checks.SettingError(f"resume: {asked.resume} has finished, and has no checkpoint to go on from")
        runs.clear(directory)
        return taken
    return goes_on(taken, summary)


def change_record(directory: Path, changed: Mapping[str, Any]) -> None:
    """Have a run's own record say what it goes on under."""
    record = runs.read_settings(directory)
    runs.write_settings(directory, dataclasses.replace(record, settings={**record.settings, **changed}))
    path = directory / ".hydra" / "config.yaml"
    kept = runs.read_yaml(path)  # its interpolations as they are
    path.write_text(OmegaConf.to_yaml({**kept, **changed}), encoding="utf-8")


def goes_on(job: Job, summary: Mapping[str, Any]) -> Job:
    """The job with what its earlier try found by trying: it would find something else today."""
    found: dict[str, Any] = {}
    # Checked here: a text might be an interpolation to what merges it.
    if job.cfg.precision == checks.AUTO:
        chosen = summary.get("precision")
        chosen = chosen.get("chosen") if isinstance(chosen, dict) else None
        found["precision"] = checks.choice("precision", chosen, (precision.PLAIN, precision.HALF))
    if job.cfg.steps_per_execution == checks.AUTO:
        each = summary.get("steps_per_execution")
        found["steps_per_execution"] = checks.integer("steps_per_execution", each, at_least=1)
    cfg = cast(DictConfig, OmegaConf.merge(job.cfg, found))
    return dataclasses.replace(job, cfg=cfg, resumed=True)


def _check_command(job: Job) -> None:
    for name in sorted(name for name in job.given - {*_BESIDE, *_CHANGES} if not _is_of_device(name)):
        expected = "a run goes on as it began: resume=... alone, or with resume_allow=[epochs] epochs=..."
        raise checks.SettingError(f"{name}: got another value beside resume, expected nothing: {expected}")
    for name in job.cfg.resume_allow:
        checks.choice("resume_allow", name, _CHANGES)


def _is_of_device(name: str) -> bool:
    """Where a run computes is no part of what it is."""
    return name.partition(".")[0] == "device"


def _check_changes(changed: Mapping[str, Any], record: runs.Settings, asked: DictConfig) -> None:
    for name in changed:
        if name not in asked.resume_allow:
            raise checks.SettingError(
                f"{name}: got {changed[name]}, but the run was planned for {record.settings[name]}, and a schedule of "
                f"another length is another one from its first step; resume_allow=[{name}] goes on all the same"
            )


def _configuration(record: runs.Settings, changed: Mapping[str, Any]) -> DictConfig:
    """The configuration that ran, of plain values; files that it names relative to another folder are found there."""
    known = {knob.name: record.settings[knob.name] for knob in fields(Config) if knob.name in record.settings}
    there = Path(record.directory)
    if there != Path.cwd():
        for group in ("dataset", "model"):
            known[group] = {name: _found(value, there) for name, value in (known.get(group) or {}).items()}
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Config), known, changed))


def _found(value: Any, there: Path) -> Any:
    is_there = isinstance(value, str) and value and "\0" not in value and (there / value).exists()
    return str(there / value) if is_there else value
