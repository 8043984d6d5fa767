"""How time and memory grow: python -m benchmarks.growth

Each size in a process of its own, round after round: an update and the start of training under schedules of 10^2 and
10^7 steps; an epoch over 10,000 to 500,000 images; the memory of a streamed epoch over ten times the data; the report
over 10 to 1,000 runs. Prints each beside the smallest size. Writes benchmarks/results/growth.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness

SHAPE, BATCH, CLASSES = (8, 8, 1), 128, 10
STEPS = 2000  # of a long schedule that are made
SIZES: dict[str, tuple[int, ...]] = {
    "schedule": (100, 10_000_000),
    "epoch": (10_000, 100_000, 500_000),
    "stream": (20_000, 200_000),
    "report": (10, 100, 1000),
}
SEEDS = 5  # runs of a group in the report


def _model() -> Any:
    import keras

    from sconv.models import mlp
    from sconv.runner.devices import setup

    setup.set_up("cpu")
    model = mlp.build(SHAPE, CLASSES, hidden=(16,))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", steps_per_execution=16)
    return model


def _split(count: int) -> Any:
    from sconv.datasets import Split

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return Split(images, random.integers(0, CLASSES, count))


def schedule(size: int) -> dict[str, float]:
    """Seconds until the first update and for each one after it, and memory, under a schedule of `size` steps."""
    import warnings

    from sconv.datasets.pipeline.batches import TrainingStream
    from sconv.schedules import onecycle_fastai
    from sconv.training.callbacks import ScheduleCallback

    warnings.simplefilter("ignore")  # that a fit of another length leaves it unfinished, or goes on at its end
    stream, model = TrainingStream(_split(BATCH * STEPS), BATCH, 0), _model()
    made = functools.partial(model.fit, stream.batches, verbose=0, shuffle=False)
    made(steps_per_epoch=16)  # what TensorFlow itself takes at first
    before = _peak()
    callback = ScheduleCallback(onecycle_fastai(0.01), size, record=True)
    began = time.perf_counter()
    made(steps_per_epoch=16, callbacks=[callback])
    first = time.perf_counter() - began
    began = time.perf_counter()
    made(callbacks=[callback])
    return {"start": first, "each": (time.perf_counter() - began) / STEPS, "megabytes": _peak() - before}


def epoch(size: int) -> dict[str, float]:
    """Seconds of an epoch over `size` images, for each of them."""
    from sconv.datasets.pipeline.batches import TrainingStream

    stream, model = TrainingStream(_split(size), BATCH, 0), _model()
    made = functools.partial(model.fit, stream.batches, verbose=0, shuffle=False)
    made(steps_per_epoch=16)
    began = time.perf_counter()
    made()
    return {"each": (time.perf_counter() - began) / size}


def stream(size: int) -> dict[str, float]:
    """Memory that a streamed epoch over `size` images takes beyond what was there before it."""
    import tensorflow as tf

    from sconv.datasets.dataset import Stream
    from sconv.datasets.pipeline.batches import TrainingStream

    def examples() -> tf.data.Dataset:
        made = tf.data.Dataset.range(size)
        return made.map(lambda row: (tf.fill((32, 32, 3), tf.cast(row % 256, tf.uint8)), row % CLASSES))

    def decode(raw: tf.Tensor) -> tf.Tensor:
        return raw[:8, :8, :1]

    source = Stream(examples, decode, size, SHAPE, lambda: np.arange(size) % CLASSES, shuffle_buffer=5000)
    batches, model = TrainingStream(source, BATCH, 0).batches, _model()
    before = _peak()
    began = time.perf_counter()
    model.fit(batches, verbose=0, shuffle=False)
    return {"each": (time.perf_counter() - began) / size, "megabytes": _peak() - before}


def report(size: int) -> dict[str, float]:
    """Seconds of the report over `size` runs, for each of them, and its memory."""
    from sconv.report.__main__ import main as write_report
    from tests import fabricate

    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        for number in range(size):
            accuracies = np.linspace(0.3, 0.8, 10) + random.normal(0, 0.01, 10)
            group, seed = divmod(number, SEEDS)
            policy, settings = ("baseline", "onecycle")[group % 2], {"lr_max": (1 + group // 2) / 100}
            fabricate.run(Path(folder, str(number)), accuracies, seed=seed, schedule=policy, settings=settings)
        began = time.process_time()
        write_report([folder])
        return {"each": (time.process_time() - began) / size, "megabytes": _peak()}


def _peak() -> float:
    """The most megabytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


WAYS: dict[str, Callable[[int], dict[str, float]]] = {
    "schedule": schedule,
    "epoch": epoch,
    "stream": stream,
    "report": report,
}


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    arguments = parser.parse_args()
    if arguments.size:
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        print(json.dumps(WAYS[arguments.ways[0]](arguments.size)), file=answers)
        return
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for way in arguments.ways or WAYS:
        rounds = [{size: _measured(way, size) for size in SIZES[way]} for _ in range(arguments.rounds)]
        rows[way] = {f"{size:,}": _row(size, rounds) for size in SIZES[way]}
        harness.show(way, rows[way])
    harness.write("growth", arguments.rounds, harness.processor(), arguments.out, **rows)


def _measured(way: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", way, "--size", str(size)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{way} {size}: {ran.stderr.strip().splitlines()[-1]}")
    return json.loads(ran.stdout)


def _row(size: int, rounds: list[dict[int, dict[str, float]]]) -> dict[str, float]:
    """Medians over the rounds, times in microseconds, and ratios to the smallest size within the rounds."""
    row = {}
    for name in rounds[0][size]:
        values = np.array([one[size][name] for one in rounds])
        first = np.array([next(iter(one.values()))[name] for one in rounds])
        unit = {"each": ("us_each", 1e6), "start": ("start_ms", 1e3), "megabytes": ("megabytes", 1.0)}[name]
        row[unit[0]] = round(unit[1] * float(np.median(values)), 1)
        row[f"{unit[0]}_ratio"] = round(float(np.median(values / np.maximum(first, 1e-9))), 3)
    return row


if __name__ == "__main__":
    main()
