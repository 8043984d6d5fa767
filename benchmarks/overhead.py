"""What a schedule and its recording cost: python -m benchmarks.overhead

Times one epoch of `fit` in several ways, in turn, round after round, each next to an epoch of stock Keras with a
constant learning rate, now before it and now after, and prints the ratio to that. The machine drifts; the ratios hold,
those of processor time best where it does other things as well. The first row is stock Keras against itself: how far to
trust the others. Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from sconv import devices, runs

with devices.quiet_start():
    import keras

from sconv.assembly import steps_per_execution
from sconv.callbacks import OneCycleScheduler, ScheduleCallback
from sconv.datasets import Split
from sconv.datasets.streams import TrainingStream
from sconv.models import lenet5, mlp
from sconv.progress import ProgressBar
from sconv.recording import Clock
from sconv.schedules import onecycle_fastai

BATCH, STEPS = 32, 500
RESULTS = Path(__file__).parent / "results" / "overhead.json"
Epoch = Callable[[], object]


class UsualCallback(keras.callbacks.Callback):
    """What circulates: set the learning rate and the momentum before every batch. Keras ignores the second."""

    def __init__(self) -> None:
        super().__init__()
        self.rates, self.momenta = onecycle_fastai(0.05).sample(STEPS)

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self.model.optimizer.learning_rate = self.rates[batch]
        self.model.optimizer.momentum = float(self.momenta[batch])


def build(kind: str, per_execution: int) -> keras.Model:
    """A compiled model: a tiny MLP on 8 numbers, or LeNet-5 on 28x28 images."""
    keras.utils.set_random_seed(0)
    model = mlp.build((8,), 10, hidden=(16,)) if kind == "mlp" else lenet5.build((28, 28, 1), 10)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=per_execution)
    return model


def ways(kind: str, split: Split, directory: Path) -> dict[str, Epoch]:
    """Each way to train an epoch, as a function to time."""
    stream = TrainingStream(split, BATCH, seed=0)
    auto = steps_per_execution(build(kind, 1), next(iter(stream.batches))[0], stream.steps_per_epoch)

    def stock(per_execution: int, *make: Callable[[], keras.callbacks.Callback]) -> Epoch:
        model = build(kind, per_execution)
        return lambda: model.fit(
            split.images, split.labels, batch_size=BATCH, verbose=0, callbacks=[one() for one in make]
        )

    def recorded(per_execution: int, runner: bool) -> Epoch:
        name = f"{kind}-{per_execution}-{runner}"
        run = runs.RunWriter(directory / name).__enter__()
        model, driver = build(kind, per_execution), ScheduleCallback(onecycle_fastai(0.05), STEPS, run.steps)
        if not runner:
            data = {"x": split.images, "y": split.labels, "batch_size": BATCH}
            return lambda: model.fit(**data, verbose=0, callbacks=[driver])
        callbacks = [driver, Clock(), ProgressBar(Console(file=open(directory / "bar", "w")))]  # noqa: SIM115
        return lambda: model.fit(stream.batches, verbose=0, shuffle=False, callbacks=callbacks)

    return {
        "stock fit, constant rate": stock(1),
        "usual callback": stock(1, UsualCallback),
        "sconv callback": stock(1, lambda: OneCycleScheduler(0.05)),
        "sconv callback, recorded": recorded(1, runner=False),
        f"stock fit, {auto} a call": stock(auto),
        f"sconv callback, {auto} a call": stock(auto, lambda: OneCycleScheduler(0.05)),
        f"the runner, {auto} a call": recorded(auto, runner=True),
    }


def measure(epochs: dict[str, Epoch], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each way and of the first one beside it [rounds, 2 (way, first), 2 (clock, processor)]."""
    first = next(iter(epochs.values()))
    seconds: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in epochs}
    for number in range(-1, rounds):
        for name, epoch in epochs.items():
            pair = {}
            for which in (0, 1) if number % 2 else (1, 0):
                began, worked = time.perf_counter(), time.process_time()
                (epoch, first)[which]()
                pair[which] = (time.perf_counter() - began, time.process_time() - worked)
            if number >= 0:  # the first round traces and compiles
                seconds[name].append([pair[0], pair[1]])
    return {name: np.array(pairs) for name, pairs in seconds.items()}


def summarise(seconds: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """Median time of a step and the quartiles of the ratios to the first way."""
    rows: list[dict[str, object]] = []
    for name, pairs in seconds.items():
        low, ratio, high = np.quantile(pairs[:, 0, 0] / pairs[:, 1, 0], (0.25, 0.5, 0.75))
        spread = {"ratio": ratio, "quartile_1": low, "quartile_3": high}
        spread["processor_ratio"] = np.median(pairs[:, 0, 1] / pairs[:, 1, 1])
        row = {"way": name, "us_per_step": round(1e6 * float(np.median(pairs[:, 0, 0])) / STEPS, 1)}
        rows.append({**row, **{key: round(float(value), 3) for key, value in spread.items()}})
    return rows


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    machine = {"processor": platform.processor() or platform.machine(), **devices.set_up("cpu")}
    record: dict[str, object] = {"machine": machine, "versions": runs.versions(), "rounds": rounds, "steps": STEPS}
    random = np.random.default_rng(0)
    for kind, shape in (("mlp", (8,)), ("lenet5", (28, 28, 1))):
        images = random.integers(0, 256, (BATCH * STEPS, *shape), dtype=np.uint8)
        split = Split(images, random.integers(0, 10, BATCH * STEPS))
        with tempfile.TemporaryDirectory() as directory:
            rows = summarise(measure(ways(kind, split, Path(directory)), rounds))
        record[kind] = rows
        table = Table(title=f"{kind}, batch {BATCH}: one epoch of {STEPS} steps, {rounds} rounds", box=None)
        for heading in rows[0]:
            table.add_column(heading.replace("_", " "), justify="left" if heading == "way" else "right")
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
