"""sconv's runner, from its configuration to its run directory; or less of it, to see what the rest costs."""

from __future__ import annotations

from pathlib import Path

import keras
from omegaconf import DictConfig, OmegaConf

from benchmarks.peers.keras_models import composed, in_turn, load_weights
from benchmarks.worker import Task, Turns
from sconv import runs
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.runner import stops
from sconv.runner.build import build
from sconv.runner.config import targets
from sconv.runner.plan import Plan, plan
from sconv.runner.tasks.observers import TrainingObservers
from sconv.training.callbacks import ScheduleCallback


def prepared(task: Task) -> tuple[DictConfig, Plan, keras.Model, TrainingStream]:
    """All that the runner makes of the task's configuration before it trains."""
    cfg = composed(task)
    planned = plan(cfg)
    targets.instantiate("device", cfg.device)
    return cfg, planned, *build(cfg, planned.dataset, planned.lr_max)


def train(task: Task, turns: Turns, way: str = "recorded") -> None:
    """Train the task; `way` is recorded, scheduled (and nothing written) or constant (no callback at all)."""
    cfg, planned, model, stream = prepared(task)
    load_weights(model, task.weights)
    with runs.RunWriter(Path(task.directory)) as run, stops.on_request() as request:
        if way == "recorded":
            OmegaConf.save(cfg, Path(task.directory) / "config.yaml")
            # Neither is of every epoch: a checkpoint is written every few minutes, the statistics once at the end.
            callbacks = TrainingObservers(run, planned, model, stream, None, request, update_bn=False).callbacks
        else:
            callbacks = [ScheduleCallback(planned.schedule, planned.steps)] if way == "scheduled" else []
        turns.ready(model.count_params(), steps_per_execution=model.steps_per_execution)
        model.fit(stream.batches, epochs=task.epochs, verbose=0, shuffle=False, callbacks=in_turn(turns, callbacks))
