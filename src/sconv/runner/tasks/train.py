"""One training run, from its configuration to its run directory."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from sconv import runs
from sconv.datasets import Dataset
from sconv.lr_finder import smoothing
from sconv.runner import build, plan
from sconv.runner.config import targets
from sconv.runner.sweeps import resume
from sconv.runner.tasks import lr_find
from sconv.runner.tasks.observers import Watch
from sconv.schedules import Schedule
from sconv.training import keras_internals, model_contract

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

log = logging.getLogger(__name__)

GROUPS = ("schedule", "optimizer", "model", "dataset", "augment")  # what a run is compared by


def train(cfg: DictConfig) -> None:
    """task=train: train one model and leave a run directory."""
    hydra = HydraConfig.get()
    began = time.perf_counter()
    with runs.RunWriter(Path(hydra.runtime.output_dir)) as run:
        run.record(
            fingerprint=resume.fingerprint(cfg), seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit()
        )
        with Console().status("starting"):
            schedule, dataset, steps = plan.judge(cfg)
            device = targets.instantiate("device", cfg.device)
        monitored = runs.monitored(dataset.validation)
        run.record(
            device=device, train_examples=len(dataset.train), class_names=dataset.class_names, monitored=monitored
        )
        if plan.wants_lr_max(cfg):
            cfg = plan.with_lr_max(cfg, lr_find.find_lr_max(cfg, run, schedule, dataset))
            schedule = plan.build_schedule(cfg)
        run.record(schedule=_resolved(schedule, steps))
        choices = {group: str(hydra.runtime.choices[group]) for group in GROUPS}
        run.hparams({**choices, **plan.flat_knobs(cfg)}, monitored)
        try:
            _fit(cfg, run, schedule, dataset, steps)
        finally:
            run.summary["seconds"] = {
                **run.summary.get("seconds", {}),
                "total": round(time.perf_counter() - began, 3),
            }
    _report(run)


@keras_internals.forgetting_gradients()
def _fit(cfg: DictConfig, run: runs.RunWriter, schedule: Schedule, dataset: Dataset, steps: int) -> None:
    """Build, fit and save; what was reached is recorded also where the fit was cut short."""
    from sconv.training.recording import Diverged

    model, stream = build.build(cfg, dataset)
    run.record(
        steps_per_execution=model.steps_per_execution,
        parameters=model.count_params(),
        compute_dtypes=build.compute_dtypes(model),
    )
    watch = Watch(run, schedule, steps, model, stream, runs.monitored(dataset.validation))
    evaluated = functools.partial(_evaluation, model=model, batch_size=cfg.batch_size)
    try:
        model.fit(
            stream.batches,
            epochs=cfg.epochs,
            verbose=0,
            shuffle=False,  # the stream comes shuffled
            validation_data=evaluated(dataset.monitored),
            callbacks=watch.callbacks,
        )
    except KeyboardInterrupt:
        watch.driver.close()
        _save(model, run.directory)
        raise
    except Diverged as error:
        run.record(diverged={"step": error.step, "learning_rate": error.learning_rate, "momentum": error.momentum})
        raise
    else:
        watch.check_complete()
        run.record(learned=smoothing.learned(watch.driver.losses, model_contract.chance(dataset, model)))
        _save(model, run.directory)
        if dataset.validation is not None:
            run.test(cfg.epochs, model.evaluate(evaluated(dataset.test), verbose=0, return_dict=True))
    finally:
        watch.record_outcome()


def _evaluation(split: Any, model: Any, batch_size: int) -> Any:
    """The batches of a split in order; evaluation bears larger ones than training."""
    from sconv.datasets.pipeline.batches import evaluation_batches

    return evaluation_batches(split, max(batch_size, 250), model_contract.label_depth(model, model.loss))


def _save(model: Any, directory: Path) -> None:
    """Save model.keras in one move: complete or absent."""
    temporary = directory / ".saving.keras"
    try:
        model.save(temporary)
        os.replace(temporary, directory / "model.keras")
    finally:
        temporary.unlink(missing_ok=True)


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
    validation = runs.accuracy(summary, "validation")
    if validation is not None:
        console.print(f"val accuracy   {validation:.4f}")
    console.print(f"test accuracy  [bold]{summary['test']['accuracy']:.4f}[/bold]")
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    if not in_sweep:
        _say_where(run, console)
    if not summary["learned"]:
        ends = "the training loss ends where it began, or at chance"
        console.print(f"nothing learned: {ends}; try another rate (lr_max=auto looks for one) or another model=")


def _say_where(run: runs.RunWriter, console: Console) -> None:
    seconds = run.summary["seconds"]
    training, total = seconds["training"], seconds["total"]
    console.print(f"steps          {run.summary['steps']:,} in {training:.1f} s of training, {total:.1f} s in all")
    console.print(f"run            {os.path.relpath(run.directory)}")
    console.print("curves         tensorboard --logdir outputs")
