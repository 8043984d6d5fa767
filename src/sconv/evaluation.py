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
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from sconv import checks, plots, runs
from sconv.contracts import label_depth, load_dataset
from sconv.datasets import Dataset
from sconv.targets import trusted

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

SHOWN = 20  # classes on the terminal at most; the files have all


@dataclass(frozen=True)
class Evaluation:
    """The outcome on a test split: `confusion[true, predicted]` counts examples."""

    loss: float
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of the examples that are right."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def class_accuracy(self) -> np.ndarray:
        """Share of each class's examples that are right; NaN for a class without any."""
        counts = self.confusion.sum(axis=1)
        return np.divide(np.diag(self.confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def evaluate(cfg: DictConfig) -> None:
    """task=evaluate: judge the model of `run` on that run's own test split, or on another `dataset=`."""
    directory = run_directory(cfg)
    instantiate(cfg.device, precision="float32")
    model = load_model(directory)
    dataset = _dataset(cfg, directory)
    names = class_names(directory, model, dataset.class_names)
    result = _judge(model, dataset, names)
    _keep(Path(HydraConfig.get().runtime.output_dir), directory, dataset, result, names)
    _tell(result, dataset, names)


def run_directory(cfg: DictConfig) -> Path:
    """The directory `run` names, if a model was saved there."""
    if cfg.run is None:
        raise checks.SettingError(
            "run: got nothing, expected the directory of a run, such as outputs/<date>/<time>-..."
        )
    directory = Path(cfg.run)
    if not (directory / "model.keras").is_file():
        why = "has no model.keras" if directory.is_dir() else "is no directory"
        raise checks.SettingError(f"run: got {cfg.run!r}, which {why}, expected the directory of a finished run")
    return directory


def load_model(directory: Path) -> Any:
    """The model of a run, compiled as it was trained; by Keras's own loader, in its safe mode."""
    import keras

    try:
        return keras.saving.load_model(directory / "model.keras")
    except Exception as error:  # Keras raises many kinds
        cause = " ".join(str(error).split())[:300]
        raise checks.DataError(f"run: {directory / 'model.keras'} cannot be loaded: {cause}") from error


def class_names(directory: Path, model: Any, otherwise: Sequence[str] = ()) -> list[str]:
    """What the model's classes are called: as its run tells, else as given, else by number."""
    outputs = max(2, int(model.output_shape[-1]))
    for names in (runs.read_summary(directory).get("class_names"), otherwise):
        if names and len(names) == outputs:
            return list(names)
    return [str(number) for number in range(outputs)]


def probabilities(outputs: np.ndarray, loss: Any) -> np.ndarray:
    """Probabilities [count, classes] out of what a model gives: those, logits, or one output for the second of two."""
    import keras

    if getattr(loss, "from_logits", False):
        squash = keras.ops.sigmoid if outputs.shape[-1] == 1 else keras.ops.softmax
        outputs = keras.ops.convert_to_numpy(squash(outputs))
    return np.concatenate([1 - outputs, outputs], axis=-1) if outputs.shape[-1] == 1 else outputs


def _dataset(cfg: DictConfig, directory: Path) -> Dataset:
    """The dataset of the command line where it names one, else the run's own, if that may be trusted."""
    given = any(override.lstrip("+").startswith("dataset") for override in HydraConfig.get().overrides.task)
    settings = cfg.dataset if given else trusted(_config(directory).dataset, cfg.target_whitelist)
    return load_dataset(settings)


def _config(directory: Path) -> DictConfig:
    """The configuration the run was made with, its interpolations unresolved."""
    path = directory / ".hydra" / "config.yaml"
    if not path.is_file():
        raise checks.DataError(f"run: {path} is missing, expected the directory of a run of the command line")
    return DictConfig(OmegaConf.load(path))


def _judge(model: Any, dataset: Dataset, names: Sequence[str]) -> Evaluation:
    import keras

    from sconv.datasets.streams import evaluation_batches

    shape = tuple(model.input_shape[1:])
    if dataset.input_shape != shape or list(dataset.class_names) != list(names):
        found, wanted = (checks.shown(tuple(each)) for each in (dataset.class_names, names))
        raise checks.SettingError(
            f"dataset: {dataset.name} has inputs {dataset.input_shape} of classes {found}, expected {shape} of {wanted}"
        )
    outputs = model.predict(evaluation_batches(dataset.test, 250), verbose=0).astype(np.float64)
    labels = dataset.test.labels
    loss = keras.losses.get(model.loss) or keras.losses.SparseCategoricalCrossentropy()
    depth = label_depth(model, loss)
    truth = labels.reshape(-1, 1) if depth is None else np.eye(depth)[labels]
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, probabilities(outputs, loss).argmax(axis=1)), 1)
    return Evaluation(float(loss(truth, outputs)), confusion)


def _keep(output: Path, directory: Path, dataset: Dataset, result: Evaluation, names: Sequence[str]) -> None:
    """Write evaluation.json, classes.csv, confusion.csv and confusion.png."""
    outcome = {"run": str(directory), "dataset": dataset.name, "examples": int(result.confusion.sum())}
    figures = {"accuracy": result.accuracy, "loss": result.loss}
    (output / "evaluation.json").write_text(json.dumps({**outcome, **figures}, indent=2) + "\n")
    with open(output / "classes.csv", "w", newline="") as file:
        of_class = zip(names, result.confusion.sum(axis=1), result.class_accuracy, strict=True)
        csv.writer(file).writerows([("class", "examples", "accuracy"), *of_class])
    with open(output / "confusion.csv", "w", newline="") as file:
        counts = ((name, *row) for name, row in zip(names, result.confusion, strict=True))
        csv.writer(file).writerows([("true \\ predicted", *names), *counts])
    title = f"{dataset.name}: accuracy {result.accuracy:.4f}"
    plots.save(plots.confusion(result.confusion, names, title), output / "confusion.png")


def _tell(result: Evaluation, dataset: Dataset, names: Sequence[str]) -> None:
    console = Console(highlight=False)
    console.print(_table(result, names))
    console.print(f"accuracy       [bold]{result.accuracy:.4f}[/bold] of {result.confusion.sum():,} of {dataset.name}")
    console.print(f"loss           {result.loss:.4f}")
    output = HydraConfig.get().runtime.output_dir
    for name in ("confusion.png", "confusion.csv", "classes.csv"):
        console.print(os.path.relpath(Path(output, name)), markup=False, soft_wrap=True)


def _table(result: Evaluation, names: Sequence[str]) -> Table:
    """The accuracy of each class and its row of the confusion matrix; of many classes the worst, and their errors."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for heading in ("class", "examples", "accuracy"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    whole = len(names) <= SHOWN
    for column in names if whole else ("most often taken for",):
        table.add_column(column, justify="right" if whole else "left")
    worst: list[int] = np.argsort(result.class_accuracy)[:SHOWN].tolist()
    order = range(len(names)) if whole else worst
    for true in order:
        row, share = result.confusion[true], result.class_accuracy[true]
        others = np.where(np.arange(len(names)) == true, 0, row)
        cells = [f"[bold green]{count}[/]" if place == true else f"{count or ''}" for place, count in enumerate(row)]
        mistaken = f"{names[int(others.argmax())]} ({others.max()})" if others.max() else ""
        table.add_row(names[true], str(row.sum()), f"{share:.4f}", *(cells if whole else (mistaken,)))
    return table
