"""What augmentation costs: python -m benchmarks.augment

Times epochs of ResNet-20 on made-up 32x32 images under each option of `augment`, in turn, round after round, and prints
the time on the clock and the time of the processor as ratios to `none` in the same round; on a machine that does other
things as well only the second one holds. Writes benchmarks/results/augment.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

from sconv import augmentation, devices, runs
from sconv.datasets import synthetic
from sconv.datasets.streams import TrainingStream
from sconv.models import resnet

BATCH, IMAGES, CLASSES = 128, 1280, 10
WAYS = {
    "none": augmentation.none(),
    "flip": augmentation.flip(),
    "standard": augmentation.standard(),
    "standard_cutout": augmentation.standard_cutout(),
    "mixup": augmentation.mixup(),
}
RESULTS = Path(__file__).parent / "results" / "augment.json"


def _ratio(times: list[float], reference: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(times, reference, strict=True)), 3)


def main() -> None:
    """Print and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    device = devices.set_up("cpu")
    split = synthetic.load((32, 32, 3), classes=CLASSES, train_size=IMAGES, test_size=CLASSES).train
    model = resnet.build((32, 32, 3), CLASSES, depth=20)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.CategoricalCrossentropy())
    streams = {name: TrainingStream(split, BATCH, 0, augment, CLASSES) for name, augment in WAYS.items()}
    clock: dict[str, list[float]] = {name: [] for name in WAYS}
    processor: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):  # the first one compiles
        for name, stream in streams.items():
            began, worked = time.perf_counter(), time.process_time()
            model.fit(stream.batches, verbose=0, shuffle=False)
            if number:
                clock[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - worked)
    rows = {
        name: {
            "seconds": round(statistics.median(clock[name]), 3),
            "ratio": _ratio(clock[name], clock["none"]),
            "processor_ratio": _ratio(processor[name], processor["none"]),
        }
        for name in WAYS
    }
    table = Table("augment", "seconds", "ratio", "ratio of processor time", box=None)
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
    machine = {"processor": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0)), **device}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"rounds": rounds, "machine": machine, "versions": runs.versions(), "ways": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
