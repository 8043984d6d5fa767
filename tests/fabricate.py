"""Run directories made up for the tests: written by RunWriter, with .hydra/ as Hydra leaves it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sconv import runs

CONFIG: dict[str, Any] = {
    "task": {"_target_": "sconv.runner.tasks.train.train"},
    "dataset": {"_target_": "sconv.datasets.synthetic.load", "shape": [8, 8, 1], "classes": 10, "seed": 0},
    "model": {"_target_": "sconv.models.mlp.build", "hidden": [128]},
    "optimizer": {"_target_": "keras.optimizers.SGD", "learning_rate": "${lr_max}", "momentum": 0.9},
    "schedule": {"_target_": "sconv.schedules.baseline", "lr_max": "${lr_max}"},
    "loss": {"_target_": "keras.losses.SparseCategoricalCrossentropy"},
    "lr_max": 0.1,
    "epochs": 10,
    "batch_size": 32,
    "seed": 0,
    "name": None,
}
CHOICES = {"task": "train", "dataset": "synthetic", "model": "mlp", "optimizer": "sgd", "schedule": "baseline"}
STEPS_AN_EPOCH = 20


class _NoEvents:
    flush = close = staticmethod(lambda: None)


class DivergedError(Exception):
    status = "diverged"


def run(
    directory: Path,
    accuracies: Sequence[float],
    *,
    seed: int = 0,
    schedule: str = "baseline",
    seconds_an_epoch: float = 2.0,
    settings: Mapping[str, Any] | None = None,
    choices: Mapping[str, str] | None = None,
    ends: BaseException | None = None,
    summary: Mapping[str, Any] | None = None,
    test: float | None = None,
) -> Path:
    """Write a run whose epochs have these accuracies, on the test split; on a validation split where `test` is given,
    the final accuracy on the test split. `settings` are dotted names, `ends` an exception.
    """
    config = copy.deepcopy(CONFIG)
    config["seed"], config["epochs"] = seed, len(accuracies)
    config["dataset"]["validation"] = None if test is None else 0.1
    config["schedule"]["_target_"] = f"sconv.schedules.{schedule}"
    for name, value in (settings or {}).items():
        *nodes, leaf = name.split(".")
        node = config
        for part in nodes:
            node = node[part]
        node[leaf] = value
    hydra = {
        "hydra": {"runtime": {"choices": {**CHOICES, "schedule": schedule, **(choices or {}), "hydra/help": "default"}}}
    }
    (directory / ".hydra").mkdir(parents=True)
    overrides = [f"schedule={schedule}", f"seed={seed}"]
    for name, content in (("config", config), ("hydra", hydra), ("overrides", overrides)):
        (directory / ".hydra" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with contextlib.suppress(DivergedError, RuntimeError, KeyboardInterrupt):
        _write(directory, np.asarray(accuracies, float), seed, seconds_an_epoch, ends, summary or {}, test)
    return directory


def _write(
    directory: Path,
    accuracies: np.ndarray,
    seed: int,
    seconds_an_epoch: float,
    ends: BaseException | None,
    summary: Mapping[str, Any],
    test: float | None,
) -> None:
    steps = STEPS_AN_EPOCH * len(accuracies)
    with runs.RunWriter(directory) as writer:
        # TensorBoard's events are not what is read.
        writer._scalars = lambda *_: None
        writer._writer = lambda *_: _NoEvents
        monitored = "test" if test is None else "validation"
        writer.record(monitored=monitored, seed=seed, train_examples=640, steps=steps, **summary)
        rates = np.interp(np.arange(steps), [0, steps * 0.3, steps - 1], [0.004, 0.1, 0.0001])
        writer.steps(0, rates, 1.0 - rates, np.geomspace(2.3, 0.1, steps))
        rows = []
        for epoch, accuracy in enumerate(accuracies, start=1):
            metrics = {
                "loss": 1.2 - accuracy,
                "accuracy": accuracy,
                "val_loss": 1.3 - accuracy,
                "val_accuracy": accuracy,
            }
            writer.epoch(epoch, epoch * STEPS_AN_EPOCH, epoch * seconds_an_epoch, metrics, monitored)
            rows.append({"epoch": epoch, **metrics})
        best = max(rows, key=lambda row: row["val_accuracy"], default=None)
        seconds = len(accuracies) * seconds_an_epoch
        writer.record(final=rows[-1] if rows else None, best=best)
        if test is not None:
            writer.test(len(rows), {"loss": 1.3 - test, "accuracy": test})
        elif rows:
            writer.record(test={name: rows[-1][f"val_{name}"] for name in ("loss", "accuracy")})
        writer.record(seconds={"training": seconds, "evaluation": 1.0, "compile": 0.5, "total": seconds + 2})
        if ends is not None:
            raise ends


def rising(epochs: int, time_constant: float, ceiling: float = 0.95) -> np.ndarray:
    """Test accuracies that rise to `ceiling` as 1 - exp(-epoch / time_constant)."""
    return ceiling * (1 - np.exp(-np.arange(1, epochs + 1) / time_constant))


def sweep(root: Path, seeds: int = 5, groups: int = 2, epochs: int = 20) -> Path:
    """A sweep of `groups` schedules and learning rates over `seeds`; one job diverged, one failed."""
    random = np.random.default_rng(0)
    names = ["baseline", "onecycle", "onecycle_fastai", "cosine"]
    for group in range(groups):
        schedule, rate = names[group % 4], [0.1, 0.3, 0.03, 0.5, 0.7][group // 4 % 5]
        for seed in range(seeds):
            speed = (6.0 if schedule == "baseline" else 2.5) * np.exp(0.15 * random.normal())
            accuracies = rising(epochs, speed) + 0.004 * random.normal(size=epochs)
            settings = {"lr_max": rate, "batch_size": 32 * (1 + group // 20)}
            path = root / f"{group * seeds + seed}-schedule={schedule},lr_max={rate},seed={seed}"
            run(path, accuracies, seed=seed, schedule=schedule, settings=settings)
    return root
