"""One training run, from its configuration to its run directory."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from sconv import assembly, range_tests, runs, sweeps
from sconv.datasets import Dataset
from sconv.schedules import Schedule

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> None:
    """task=train: train one model and leave a run directory."""
    hydra = HydraConfig.get()
    began = time.perf_counter()
    with runs.RunWriter(Path(hydra.runtime.output_dir)) as run:
        run.record(
            fingerprint=sweeps.fingerprint(cfg), seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit()
        )
        with Console().status("starting"):
            schedule, dataset, steps = assembly.judge(cfg)
            device = instantiate(cfg.device, precision=cfg.precision)
        run.record(device=device, train_examples=len(dataset.train))
        if assembly.wants_lr_max(cfg):
            cfg = assembly.with_lr_max(cfg, range_tests.find_lr_max(cfg, run, schedule, dataset))
            schedule = instantiate(cfg.schedule, _convert_="all")
        run.record(schedule=_resolved(schedule, steps))
        choices = {group: str(hydra.runtime.choices[group]) for group in ("schedule", "optimizer", "model", "dataset")}
        run.hparams({**choices, **assembly.flat_knobs(cfg)})
        try:
            _fit(cfg, run, schedule, dataset, steps)
        finally:
            run.summary["seconds"] = {
                **run.summary.get("seconds", {}),
                "total": round(time.perf_counter() - began, 3),
            }
    _report(run)


def _fit(cfg: DictConfig, run: runs.RunWriter, schedule: Schedule, dataset: Dataset, steps: int) -> None:
    """Build, compile, fit and save; what was reached is recorded also where the fit was cut short."""
    import keras

    from sconv.callbacks import ScheduleCallback
    from sconv.datasets.streams import evaluation_batches
    from sconv.optimizers import detach
    from sconv.progress import ProgressBar
    from sconv.recording import Clock, Diverged, StepRecorder

    model, stream = assembly.build(cfg, dataset)
    run.record(steps_per_execution=model.steps_per_execution, parameters=model.count_params())
    driver = ScheduleCallback(schedule, steps)
    recorder, clock, bar = StepRecorder(driver, run.steps), Clock(), ProgressBar()
    epochs: list[dict[str, float]] = []

    def epoch_ended(epoch: int, logs: dict[str, float]) -> None:
        epochs.append({"epoch": epoch + 1, **logs})
        run.epoch(epoch + 1, driver.attachment.position, clock.training, logs)

    epoch_keeper = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: stream.epoch.assign(epoch), on_epoch_end=epoch_ended
    )
    try:
        model.fit(
            stream.batches,
            epochs=cfg.epochs,
            verbose=0,
            shuffle=False,  # the stream comes shuffled
            validation_data=evaluation_batches(dataset.test, max(cfg.batch_size, 250)),
            callbacks=[epoch_keeper, recorder, driver, clock, bar],
        )
    except KeyboardInterrupt:
        recorder.flush()
        detach(model.optimizer)
        _save(model, run.directory)
        raise
    except Diverged as error:
        run.record(
            diverged={"step": error.step, "learning_rate": error.learning_rate, "momentum": error.momentum},
        )
        raise
    else:
        _save(model, run.directory)
    finally:
        bar.stop()
        done = driver.attachment.position if hasattr(driver, "attachment") else 0
        seconds = {"training": clock.training, "evaluation": clock.evaluation, "compile": clock.compiling}
        run.record(
            steps=done,
            seconds={name: round(value, 3) for name, value in seconds.items()},
            **_outcome(epochs),
        )
        run.hparams_end(succeeded=done == steps)


def _save(model: Any, directory: Path) -> None:
    """Save model.keras in one move: complete or absent."""
    temporary = directory / ".saving.keras"
    model.save(temporary)
    os.replace(temporary, directory / "model.keras")


def _outcome(epochs: list[dict[str, float]]) -> dict[str, Any]:
    if not epochs:
        return {"final": None, "best": None}
    best = max(epochs, key=lambda row: row.get("val_accuracy", -math.inf))
    return {"final": epochs[-1], "best": best}


def _resolved(schedule: Schedule, steps: int) -> dict[str, Any]:
    """The schedule as it is carried out, for the summary."""
    phases = [
        {**dataclasses.asdict(phase), "until_step": knot}
        for phase, knot in zip(schedule.phases, schedule.knots(steps), strict=True)
    ]
    return {"name": schedule.name, "steps": steps, "phases": phases}


def _report(run: runs.RunWriter) -> None:
    """A short summary for the person who waited; one line of it where a sweep's table will follow."""
    summary, console = run.summary, Console(highlight=False, soft_wrap=True)
    final, best, seconds = summary["final"], summary["best"], summary["seconds"]
    accuracy = f"{final['val_accuracy']:.4f} (best {best['val_accuracy']:.4f} in epoch {best['epoch']})"
    console.print(f"test accuracy  [bold]{accuracy}[/bold]")
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    training, total = seconds["training"], seconds["total"]
    console.print(f"steps          {summary['steps']:,} in {training:.1f} s of training, {total:.1f} s in all")
    console.print(f"run            {os.path.relpath(run.directory)}")
    console.print("curves         tensorboard --logdir outputs")
