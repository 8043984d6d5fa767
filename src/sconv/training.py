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

from sconv import checks, contracts, devices, runs, sweeps
from sconv.datasets import Dataset, updates
from sconv.schedules import Schedule

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

log = logging.getLogger(__name__)

GROUPS = ("schedule", "optimizer", "model", "dataset", "augment")  # what a run is compared by
SLOW = 0.05


def train(cfg: DictConfig) -> None:
    """task=train: train one model and leave a run directory."""
    hydra = HydraConfig.get()
    began = time.perf_counter()
    with runs.RunWriter(Path(hydra.runtime.output_dir)) as run:
        run.record(
            fingerprint=sweeps.fingerprint(cfg), seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit()
        )
        with Console().status("starting"):
            schedule = _judge(cfg)
            # Before the data: a loader that uses TensorFlow starts it, and then the number of threads is fixed.
            device = instantiate(cfg.device, precision=cfg.precision)
        dataset = contracts.load_dataset(cfg.dataset)
        steps = _updates(cfg, schedule, dataset)
        run.record(device=device, schedule=_resolved(schedule, steps), train_examples=len(dataset.train))
        run.record(class_names=dataset.class_names)
        choices = {group: str(hydra.runtime.choices[group]) for group in GROUPS}
        run.hparams({**choices, **_flat_knobs(cfg)})
        try:
            _fit(cfg, run, schedule, dataset, steps)
        finally:
            run.summary["seconds"] = {
                **run.summary.get("seconds", {}),
                "total": round(time.perf_counter() - began, 3),
            }
    _report(run)


def _judge(cfg: DictConfig) -> Schedule:
    """The schedule, with everything refused that would fail later and that can be told without the data."""
    checks.integer("epochs", cfg.epochs, at_least=1)
    checks.integer("batch_size", cfg.batch_size, at_least=1)
    checks.integer("seed", cfg.seed)
    checks.choice("precision", cfg.precision, devices.PRECISIONS)
    if cfg.steps_per_execution != "auto":
        checks.integer("steps_per_execution", cfg.steps_per_execution, at_least=1)
    return instantiate(cfg.schedule, _convert_="all")


def _updates(cfg: DictConfig, schedule: Schedule, dataset: Dataset) -> int:
    """The number of optimizer updates, for which the schedule must have room."""
    steps = updates(dataset.name, len(dataset.train), cfg.epochs, cfg.batch_size)
    schedule.sample(steps)
    return steps


def _fit(cfg: DictConfig, run: runs.RunWriter, schedule: Schedule, dataset: Dataset, steps: int) -> None:
    """Build, compile, fit and save; what was reached is recorded also where the fit was cut short."""
    import keras

    from sconv.callbacks import ScheduleCallback
    from sconv.datasets.streams import TrainingStream, evaluation_batches
    from sconv.optimizers import detach
    from sconv.parameter_groups import group_parameters
    from sconv.progress import ProgressBar
    from sconv.recording import Clock, Diverged, StepRecorder

    keras.utils.clear_session()
    keras.utils.set_random_seed(cfg.seed)
    loss, augment = (instantiate(cfg[group], _convert_="all") for group in ("loss", "augment"))
    model = contracts.build_model(cfg.model, dataset, loss)
    depth, evaluation_size = contracts.label_depth(model, loss), max(cfg.batch_size, 250)
    stream = TrainingStream(dataset.train, cfg.batch_size, cfg.seed, augment, depth)
    per_execution = cfg.steps_per_execution
    if per_execution == "auto":
        per_execution = steps_per_execution(model, stream)
    optimizer = instantiate(cfg.optimizer, _convert_="all")
    group_parameters(optimizer, model, l2=cfg.l2, decay_all=cfg.decay_all, lr_factors=cfg.lr_factors)
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=["accuracy"],
        steps_per_execution=per_execution,
    )
    run.record(steps_per_execution=per_execution, parameters=model.count_params())
    driver = ScheduleCallback(schedule, steps)
    recorder, clock, bar = StepRecorder(driver, run.steps), Clock(), ProgressBar()
    # What is evaluated is what is saved: `fit` ends with the averaged weights.
    averaged = [keras.callbacks.SwapEMAWeights()] if optimizer.use_ema else []
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
            validation_data=evaluation_batches(dataset.watched, evaluation_size, depth),
            callbacks=[epoch_keeper, recorder, driver, clock, bar, *averaged],
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
        if dataset.validation is not None:
            batches = evaluation_batches(dataset.test, evaluation_size, depth)
            run.record(test=model.evaluate(batches, verbose=0, return_dict=True))
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


def steps_per_execution(model: Any, stream: Any) -> int:
    """About a second of training for each return to Python, at least ten returns an epoch; a power of two.

    A training step costs about three forward passes; a forward pass is timed outside a compiled function, which
    overrates small models a little. One that takes SLOW seconds hides the return by itself: several of them in a
    loop would only take longer to compile.
    """
    images, _ = next(iter(stream.batches))
    model(images)
    began = time.perf_counter()
    model(images)
    step = 3 * (time.perf_counter() - began)
    most = 1.0 if step > SLOW else max(1.0, min(1.0 / step, stream.steps_per_epoch / 10))
    return 2 ** int(math.log2(most))


def _save(model: Any, directory: Path) -> None:
    """Save model.keras in one move: complete or absent."""
    temporary = directory / ".saving.keras"
    try:
        model.save(temporary)
        os.replace(temporary, directory / "model.keras")
    finally:
        temporary.unlink(missing_ok=True)


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


def _flat_knobs(cfg: DictConfig) -> dict[str, Any]:
    """The knobs at the top of the configuration that are plain values."""
    return {str(key): cfg[key] for key in cfg if isinstance(cfg[key], (int, float, str))}


def _report(run: runs.RunWriter) -> None:
    """A short summary for the person who waited; one line of it where a sweep's table will follow."""
    summary, console = run.summary, Console(highlight=False, soft_wrap=True)
    final, best, seconds = summary["final"], summary["best"], summary["seconds"]
    accuracy = f"{final['val_accuracy']:.4f} (best {best['val_accuracy']:.4f} in epoch {best['epoch']})"
    if "test" in summary:
        console.print(f"validation     {accuracy}")
        accuracy = f"{summary['test']['accuracy']:.4f}"
    console.print(f"test accuracy  [bold]{accuracy}[/bold]")
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    training, total = seconds["training"], seconds["total"]
    console.print(f"steps          {summary['steps']:,} in {training:.1f} s of training, {total:.1f} s in all")
    console.print(f"run            {os.path.relpath(run.directory)}")
    console.print("curves         tensorboard --logdir outputs")
