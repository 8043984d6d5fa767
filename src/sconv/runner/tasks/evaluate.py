"""task=evaluate: what a finished run's model gets right, and what it takes for what."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sconv import checks, plots, runs
from sconv.datasets import Dataset
from sconv.runner.config import targets
from sconv.runner.config.data import load_dataset
from sconv.runner.config.trusted import trusted
from sconv.runner.job import Job
from sconv.runner.tasks.saved_model import class_names, load_model, probabilities, run_directory
from sconv.training.model_contract import label_depth

# Keras is imported inside functions: what can be refused without TensorFlow is refused before it starts.

SHOWN = 20  # classes on the terminal at most; the files have all


@dataclass(frozen=True)
class Evaluation:
    """The outcome on a test split: `confusion[true, predicted]` counts examples.

    `mirrored` is the share that is right by the mean of each image's and its mirror image's probabilities, where asked.
    """

    loss: float
    confusion: np.ndarray
    mirrored: float | None = None

    @property
    def accuracy(self) -> float:
        """Share of the examples that are right."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def class_accuracy(self) -> np.ndarray:
        """Share of each class's examples that are right; NaN for a class without any."""
        counts = self.confusion.sum(axis=1)
        return np.divide(np.diag(self.confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def evaluate(job: Job, mirrored: bool = False) -> None:
    """Judge the model of `run` on that run's own test split, or on another `dataset=`.

    `mirrored` also tells the accuracy by the mean of each image's and its mirror image's probabilities.
    """
    cfg, directory = job.cfg, run_directory(job.cfg)
    checks.boolean("task.mirrored", mirrored)
    targets.instantiate("device", cfg.device)
    model = load_model(cfg, directory)
    dataset = _dataset(job, directory)
    names = class_names(directory, model, dataset.class_names)
    result = _evaluated(model, dataset, names, mirrored)
    _keep(job.directory, directory, dataset, result, names)
    _tell(result, dataset, names, job.directory)


def _dataset(job: Job, directory: Path) -> Dataset:
    """The dataset of the command line where it names one, else the run's own, if that may be trusted.

    Settings of the dataset that the command line gives alone are those of the run's own.
    """
    if job.given & {"dataset", "dataset._target_"}:
        return load_dataset(job.cfg.dataset)
    try:
        record = runs.settings_of(directory)
    except runs.BrokenRun as error:
        raise checks.DataError(f"run: {directory}: {error}, expected the directory of a run") from error
    own = record.settings.get("dataset")
    if not isinstance(own, dict):
        raise checks.DataError(f"run: {directory} tells of no dataset, expected dataset=... beside it")
    settings = _from_where_it_ran(trusted(own, job.cfg.allowed_targets), Path(record.directory))
    for name in (name for name in job.given if name.startswith("dataset.")):
        OmegaConf.update(settings, name.removeprefix("dataset."), OmegaConf.select(job.cfg, name))
    return load_dataset(settings)


def _from_where_it_ran(settings: DictConfig, there: Path) -> DictConfig:
    """The settings of a run's data with the files that they name relative to the folder the run was made in."""
    for name, value in settings.items():
        if isinstance(value, str) and value and (there / value).exists():
            settings[name] = str(there / value)
    return settings


def _evaluated(model: Any, dataset: Dataset, names: Sequence[str], mirrored: bool) -> Evaluation:
    import keras

    from sconv.datasets.pipeline.batches import evaluation_batches

    shape = tuple(model.input_shape[1:])
    if dataset.input_shape != shape or list(dataset.class_names) != list(names):
        found, wanted = (checks.shown(tuple(each)) for each in (dataset.class_names, names))
        raise checks.SettingError(
            f"dataset: {dataset.name} has inputs {dataset.input_shape} of classes {found}, expected {shape} of {wanted}"
        )
    if mirrored and len(shape) != 3:
        raise checks.SettingError(f"task.mirrored: got true and inputs of shape {shape}, expected images")
    batches = evaluation_batches(dataset.test, 250)
    outputs = model.predict(batches, verbose=0).astype(np.float64)
    labels = dataset.test.labels
    loss = keras.losses.get(model.loss) or keras.losses.SparseCategoricalCrossentropy()
    depth = label_depth(model, loss)
    truth = labels.reshape(-1, 1) if depth is None else np.eye(depth)[labels]
    shares = probabilities(outputs, loss)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, shares.argmax(axis=1)), 1)
    right = None
    if mirrored:
        others = model.predict(batches.map(lambda images, _: images[:, :, ::-1]), verbose=0).astype(np.float64)
        right = float(np.mean((shares + probabilities(others, loss)).argmax(axis=1) == labels))
    return Evaluation(float(loss(truth, outputs)), confusion, right)


def _keep(output: Path, directory: Path, dataset: Dataset, result: Evaluation, names: Sequence[str]) -> None:
    """Write evaluation.json, classes.csv, confusion.csv and confusion.png."""
    outcome = {"run": str(directory), "dataset": dataset.name, "examples": int(result.confusion.sum())}
    figures = {"accuracy": result.accuracy, "loss": result.loss}
    if result.mirrored is not None:
        figures["accuracy_mirrored"] = result.mirrored
    (output / "evaluation.json").write_text(json.dumps({**outcome, **figures}, indent=2) + "\n")
    with open(output / "classes.csv", "w", newline="") as file:
        shares = ["" if np.isnan(share) else share for share in result.class_accuracy]
        of_class = zip(map(runs.cell, names), result.confusion.sum(axis=1), shares, strict=True)
        csv.writer(file).writerows([("class", "examples", "accuracy"), *of_class])
    with open(output / "confusion.csv", "w", newline="") as file:
        cells = [runs.cell(name) for name in names]
        counts = ((cell, *row) for cell, row in zip(cells, result.confusion, strict=True))
        csv.writer(file).writerows([("true \\ predicted", *cells), *counts])
    title = f"{dataset.name}: accuracy {result.accuracy:.4f}"
    plots.save(plots.confusion(result.confusion, names, title), output / "confusion.png")


def _tell(result: Evaluation, dataset: Dataset, names: Sequence[str], output: Path) -> None:
    console = Console(highlight=False)
    table = _table(result, names, whole=len(names) <= SHOWN)
    if Measurement.get(console, console.options.update(width=1000), table).maximum > console.width:
        table = _table(result, names, whole=False)
    console.print(table)
    name = escape(checks.printable(dataset.name))
    console.print(f"accuracy       [bold]{result.accuracy:.4f}[/bold] of {result.confusion.sum():,} of {name}")
    console.print(f"loss           {result.loss:.4f}")
    if result.mirrored is not None:
        console.print(f"mirrored too   {result.mirrored:.4f}, by each image and its mirror image together")
    for name in ("confusion.png", "confusion.csv", "classes.csv"):
        console.print(checks.printable(os.path.relpath(output / name)), markup=False, soft_wrap=True)


def _table(result: Evaluation, names: Sequence[str], whole: bool) -> Table:
    """The accuracy of each class and its row of the confusion matrix; or of the worst classes, and their errors."""
    names = [checks.printable(name) for name in names]
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for heading in ("class", "examples", "accuracy"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=heading != "class")
    for column in names if whole else ("most often taken for",):
        table.add_column(Text(column), justify="right" if whole else "left")
    worst: list[int] = np.argsort(result.class_accuracy)[:SHOWN].tolist()
    order = range(len(names)) if whole else worst
    for true in order:
        row, share = result.confusion[true], result.class_accuracy[true]
        others = np.where(np.arange(len(names)) == true, 0, row)
        cells = [f"[bold green]{count}[/]" if place == true else f"{count or ''}" for place, count in enumerate(row)]
        mistaken = f"{names[int(others.argmax())]} ({others.max()})" if others.max() else ""
        told = "-" if np.isnan(share) else f"{share:.4f}"
        table.add_row(Text(names[true]), str(row.sum()), told, *(cells if whole else (Text(mistaken),)))
    return table
