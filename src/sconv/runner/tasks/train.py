"""task=train: one training run, from its configuration to its run directory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from sconv import checks, output, runs
from sconv.lr_finder import smoothing
from sconv.runner import resuming, stops
from sconv.runner.devices import distribution, precision
from sconv.runner.job import Job
from sconv.runner.plan import Plan, plan
from sconv.runner.sweeps.resume import fingerprint
from sconv.runner.tasks import end_of_run, going_on
from sconv.runner.tasks.lr_find import find_lr_max
from sconv.schedules import Schedule
from sconv.training import keras_internals

# Keras is imported inside functions: what can be refused without TensorFlow is refused before it starts.

GROUPS = ("schedule", "optimizer", "model", "dataset", "augment")  # what a run is compared by


def train(job: Job) -> None:
    """Train one model and leave a run directory."""
    with runs.RunWriter(job.directory, job.resumed) as run:
        try:
            job, planned = _prepared(job, run)
            _fit(job, run, planned)
        except KeyboardInterrupt:
            if not job.in_sweep and resuming.has_checkpoint(run.directory):
                print(f"{'resume':<14} {resuming.command(run.directory, job.cfg)}")
            raise
        finally:
            run.summary["seconds"] = {**run.summary.get("seconds", {}), "total": round(run.seconds, 3)}
    going_on.tidy(run)
    end_of_run.tell(run, planned.lr_max, job.in_sweep)


def _prepared(job: Job, run: runs.RunWriter) -> tuple[Job, Plan]:
    """What the run will do, everything found and recorded that is known before it; the job with what was found."""
    cfg = job.cfg
    if not job.resumed:
        run.record(fingerprint=fingerprint(cfg), seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit())
    with output.status("starting"):
        planned = plan(cfg, keep_data=job.in_sweep)
        device = distribution.start(cfg)
    if job.resumed:
        going_on.note_differences(run.summary, device)
        if planned.lr_max is None:
            planned = planned.with_lr_max(checks.number("lr_max", run.summary.get("lr_max"), above=0))
        return job, planned
    dataset, monitored = planned.dataset, runs.monitored(planned.dataset.validation)
    run.record(device=device, train_examples=len(dataset.train), class_names=dataset.class_names, monitored=monitored)
    job = precision.settle(job, run, dataset)
    cfg = job.cfg
    if planned.lr_max is None:
        planned = planned.with_lr_max(find_lr_max(job, run, planned))
    run.record(schedule=_resolved(planned.schedule, planned.steps))
    choices = {group: job.choices[group] for group in GROUPS}
    knobs = {str(name): value for name, value in cfg.items() if isinstance(value, (int, float, str))}
    run.hparams({**choices, **knobs, "lr_max": planned.lr_max}, monitored)
    return job, planned


def _fit(job: Job, run: runs.RunWriter, planned: Plan) -> None:
    """Build, fit and save; what diverges is tried again from its last checkpoint where that is asked for."""
    from sconv.training.recording import Diverged

    start = None if job.resumed else run.state()
    while True:
        try:
            return _fit_once(job, run, going_on.as_restarted(planned, run.summary))
        except Diverged as error:
            going_on.restart(job, run, planned.steps, error, start)


@keras_internals.forgetting_gradients()
def _fit_once(job: Job, run: runs.RunWriter, planned: Plan) -> None:
    """Build, fit and save; what was reached is recorded also where the fit was cut short."""
    from sconv.runner.build import build, record_model
    from sconv.runner.tasks.observers import TrainingObservers
    from sconv.runner.tasks.pruning import PruneHopeless
    from sconv.training.model_contract import chance
    from sconv.training.recording import Diverged

    assert planned.lr_max is not None
    cfg, dataset = job.cfg, planned.dataset
    model, stream = build(cfg, dataset, planned.lr_max)
    record_model(run, cfg, model)
    run.record(steps_per_execution=model.steps_per_execution, parameters=model.count_params())
    keeper = going_on.keeper(cfg, run, dataset, stream)
    found = keeper.find() if run.resumed and keeper is not None else None
    if found and going_on.note_resumed(run, planned, found, cfg.epochs):
        run.record(schedule=_resolved(planned.schedule, planned.steps))
    try:
        with stops.on_request() as request:
            observers = TrainingObservers(run, planned, model, stream, keeper, request, cfg.update_bn, job.in_sweep)
            pruning = [PruneHopeless(job.trial, cfg.epochs)] if job.trial else []
            model.fit(
                stream.batches,
                epochs=cfg.epochs,
                verbose=0,
                shuffle=False,  # the stream comes shuffled
                validation_data=_batches(dataset.monitored, model, cfg.batch_size),
                callbacks=[*observers.callbacks, *pruning],
            )
    except KeyboardInterrupt:
        observers.driver.close()
        _save(model, run.directory)
        raise
    except Diverged as error:
        run.record(diverged={"step": error.step, "learning_rate": error.learning_rate, "momentum": error.momentum})
        raise
    else:
        observers.check_complete()
        run.record(learned=smoothing.learned(observers.driver.losses, chance(dataset, model)))
        _save(model, run.directory)
        if dataset.validation is not None:
            request.obey()
            batches = _batches(dataset.test, model, cfg.batch_size)
            run.test(cfg.epochs, model.evaluate(batches, verbose=0, return_dict=True))
    finally:
        observers.record_outcome()


def _batches(split: Any, model: Any, batch_size: int) -> Any:
    """The batches of a split in order; evaluation bears larger ones than training."""
    from sconv.datasets.pipeline.batches import evaluation_batches
    from sconv.training.model_contract import label_depth
    from sconv.training.replicas import shared_out

    batches = evaluation_batches(split, max(batch_size, 250), label_depth(model, model.loss))
    return shared_out(batches, model.distribute_strategy)


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
