"""task=predict: a class and its probability for each image file."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from sconv import checks, runs
from sconv.datasets.building import image_decoding
from sconv.runner.config import targets
from sconv.runner.job import Job
from sconv.runner.tasks.saved_model import class_names, load_model, probabilities, run_directory

log = logging.getLogger(__name__)

BATCH = 250
SHOWN = 20  # rows on the terminal at most; the file has all


def predict(job: Job) -> None:
    """Classify the files that `images` names with the model of `run`, into predictions.csv."""
    cfg = job.cfg
    directory, files = run_directory(cfg), _files(cfg.images)
    targets.instantiate("device", cfg.device)
    model = load_model(cfg, directory)
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise checks.SettingError(f"run: its model takes inputs of {shape}, expected images [height, width, 1 or 3]")
    names = class_names(directory, model)
    rows = []
    for paths, images in _batches(files, shape):
        outputs = model.predict(images, verbose=0)
        for path, row in zip(paths, probabilities(outputs, model.loss), strict=True):
            rows.append((runs.cell(str(path)), runs.cell(names[row.argmax()]), f"{row.max():.6f}"))
    if not rows:
        raise checks.DataError(f"images: got {cfg.images!r}, expected an image or a folder with some: none can be read")
    output = job.directory / "predictions.csv"
    with open(output, "w", newline="") as file:
        csv.writer(file).writerows([("file", "class", "probability"), *rows])
    _tell(rows, output)


def _files(images: str | None) -> list[Path]:
    """The file, or all files at any depth of the folder, by name."""
    if images is None:
        raise checks.SettingError("images: got nothing, expected an image file or a folder of them")
    path = Path(images)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise checks.SettingError(f"images: got {images!r}, expected an image file or a folder of them")
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def _batches(files: Sequence[Path], shape: tuple[int, ...]) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Files that are images and their pixels [count, *shape], a batch at a time; the others are named and left out.

    They are decoded and resized as `dataset=image_folder` does it.
    """
    paths: list[Path] = []
    pixels: list[np.ndarray] = []
    console = Console()
    for path in track(files, "predicting", console=console, transient=True, disable=not console.is_terminal):
        image = np.empty(shape, np.uint8)
        try:
            image_decoding.decode(str(path), image, resize=True)
        except Exception as error:  # PIL's plugins raise many kinds
            log.warning("%s is left out: %s", path, image_decoding.reason(path, error))
            continue
        pixels.append(image)
        paths.append(path)
        if len(paths) == BATCH:
            yield paths, np.stack(pixels)
            paths, pixels = [], []
    if paths:
        yield paths, np.stack(pixels)


def _tell(rows: Sequence[tuple[str, str, str]], output: Path) -> None:
    console = Console(highlight=False)
    table = Table("file", "class", "probability", box=None, pad_edge=False, header_style="bold")
    for path, name, probability in rows[:SHOWN]:
        table.add_row(*(Text(checks.printable(cell)) for cell in (path, name, f"{float(probability):.4f}")))
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"... {len(rows) - SHOWN:,} more")
    console.print(checks.printable(os.path.relpath(output)), markup=False, soft_wrap=True)
