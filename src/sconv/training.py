"""One training run, from its configuration to its run directory."""

from __future__ import annotations

import dataclasses
import functools
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

from sconv import assembly, contracts, keras_internals, range_tests, runs, smoothing, sweeps
from sconv.datasets import Dataset
from sconv.schedules import Schedule

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

log = logging.getLogger(__name__)

GROUPS = ("schedule", "optimizer", "model", "dataset", "augment")  # what a run is compared by


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
            device = instantiate(cfg.device)
        monitored = runs.monitored(dataset.validation)
        run.record(
            device=device, train_examples=len(dataset.train), class_names=dataset.class_names, monitored=monitored
        )
        if assembly.wants_lr_max(cfg):
            cfg = assembly.with_lr_max(cfg, range_tests.find_lr_max(cfg, run, schedule, dataset))
            schedule = assembly.build_schedule(cfg)
        run.record(schedule=_resolved(schedule, steps))
        choices = {group: str(hydra.runtime.choices[group]) for group in GROUPS}
        run.hparams({**choices, **assembly.flat_knobs(cfg)}, monitored)
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
    from sconv.recording import Diverged

    model, stream = assembly.build(cfg, dataset)
    run.record(
        steps_per_execution=model.steps_per_execution,
        parameters=model.count_params(),
        compute_dtypes=assembly.compute_dtypes(model),
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
        run.record(learned=smoothing.learned(watch.driver.losses, contracts.chance(dataset, model)))
        _save(model, run.directory)
        if dataset.validation is not None:
            run.test(cfg.epochs, model.evaluate(evaluated(dataset.test), verbose=0, return_dict=True))
    finally:
        watch.record_outcome()


class Watch:
    """Everything that looks on while a model is fitted, and what it has seen."""

    def __init__(self, run: runs.RunWriter, schedule: Schedule, steps: int, model: Any, stream: Any, monitored: str):
        import keras

        from sconv.callbacks import ScheduleCallback
        from sconv.feeding import follow_epochs
        from sconv.optimizers import inner
        from sconv.progress import ProgressBar
        from sconv.recording import Clock

        self.run, self.steps, self.monitored = run, steps, monitored
        self.epochs = list[dict[str, float]]()
        self.driver, self.clock = ScheduleCallback(schedule, steps, run.steps), Clock()
        self.bar = ProgressBar(monitored=monitored)
        epochs = keras.callbacks.LambdaCallback(on_epoch_end=self._epoch_ended)
        # What is evaluated is what is saved: `fit` ends with the averaged weights.
        averaged = [keras.callbacks.SwapEMAWeights()] if inner(model.optimizer).use_ema else []
        self.callbacks = [follow_epochs(stream), epochs, self.driver, self.clock, self.bar, *averaged]

    def _epoch_ended(self, epoch: int, logs: dict[str, float]) -> None:
        self.epochs.append({"epoch": epoch + 1, **logs})
        self.run.epoch(epoch + 1, self.driver.attachment.position, self.clock.training, logs, self.monitored)

    def check_complete(self) -> None:
        """Raise CutShort unless all updates were made; under loss scaling some are skipped by design."""
        import keras

        from sconv.recording import CutShort

        made = self.driver.attachment.position
        scales = isinstance(self.driver.model.optimizer, keras.optimizers.LossScaleOptimizer)
        if made != self.steps and not (scales and 0 < made < self.steps):
            raise CutShort(made, self.steps)

    def record_outcome(self) -> None:
        """Put what was reached into the summary."""
        self.bar.stop()
        done = self.driver.attachment.position if self.driver.attachment else 0
        clock = self.clock
        seconds = {"training": clock.training, "evaluation": clock.evaluation, "compile": clock.compiling}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        self.run.record(steps=done, seconds=rounded, **_outcome(self.epochs, self.monitored))
        self.run.hparams_end(succeeded=done == self.steps)


def _evaluation(split: Any, model: Any, batch_size: int) -> Any:
    """The batches of a split in order; evaluation bears larger ones than training."""
    from sconv.datasets.streams import evaluation_batches

    return evaluation_batches(split, max(batch_size, 250), contracts.label_depth(model, model.loss))


def _save(model: Any, directory: Path) -> None:
    """Save model.keras in one move: complete or absent."""
    temporary = directory / ".saving.keras"
    try:
        model.save(temporary)
        os.replace(temporary, directory / "model.keras")
    finally:
        temporary.unlink(missing_ok=True)


def _outcome(epochs: list[dict[str, float]], monitored: str) -> dict[str, Any]:
    if not epochs:
        return {"final": None, "best": None}
    final, best = epochs[-1], max(epochs, key=lambda row: row.get("val_accuracy", -math.inf))
    if monitored != "test":  # the test split is evaluated once, at the end
        return {"final": final, "best": best}
    return {"final": final, "best": best, "test": {name: final[f"val_{name}"] for name in ("loss", "accuracy")}}


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
