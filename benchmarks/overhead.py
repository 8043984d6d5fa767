"""What a schedule and its recording cost: python -m benchmarks.overhead

Times one epoch of `fit` in several ways, in turn, round after round, each next to an epoch of stock Keras with a
constant learning rate, now before it and now after, and prints the ratio to that. The machine drifts; the ratios hold,
those of processor time best where it does other things as well. The first row is stock Keras against itself: how far to
trust the others. Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from benchmarks import harness
from sconv import runs
from sconv.datasets import Split
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.models import lenet5, mlp
from sconv.runner.devices import setup
from sconv.runner.tasks.observers import StepTimer
from sconv.runner.tasks.progress_bar import ProgressBar
from sconv.schedules import onecycle_fastai
from sconv.training.callbacks import ScheduleCallback
from sconv.training.execution import steps_per_execution
from sconv.training.one_cycle import OneCycleScheduler

BATCH, STEPS = 32, 500


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


def ways(kind: str, split: Split, directory: Path) -> dict[str, harness.Way]:
    """Each way to train an epoch, as a function to time."""
    stream = TrainingStream(split, BATCH, seed=0)
    auto = steps_per_execution(build(kind, 1), next(iter(stream.batches))[0], stream.steps_per_epoch)

    def stock(per_execution: int, *make: Callable[[], keras.callbacks.Callback]) -> harness.Way:
        model = build(kind, per_execution)
        return lambda: model.fit(
            split.images, split.labels, batch_size=BATCH, verbose=0, callbacks=[one() for one in make]
        )

    def recorded(per_execution: int, runner: bool) -> harness.Way:
        name = f"{kind}-{per_execution}-{runner}"
        run = runs.RunWriter(directory / name).__enter__()
        model, driver = build(kind, per_execution), ScheduleCallback(onecycle_fastai(0.05), STEPS, run.steps)
        if not runner:
            data = {"x": split.images, "y": split.labels, "batch_size": BATCH}
            return lambda: model.fit(**data, verbose=0, callbacks=[driver])
        callbacks = [driver, StepTimer(), ProgressBar(Console(file=open(directory / "bar", "w")))]  # noqa: SIM115
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


def measure(epochs: dict[str, harness.Way], rounds: int) -> dict[str, harness.Row]:
    """Median time of a step of each way, and its ratios to the first way next to it."""
    first = next(iter(epochs.values()))
    rows = {}
    for name, pairs in harness.alternate(epochs, rounds, harness.beside(first)).items():
        ratios = pairs[:, 0] / pairs[:, 1]
        row = {"us_per_step": round(1e6 * float(np.median(pairs[:, 0, 0])) / STEPS, 1), **harness.spread(ratios[:, 0])}
        rows[name] = {**row, "processor_ratio": np.median(ratios[:, 1])}
    return harness.rounded(rows)


def main() -> None:
    """Measure, print a table, write the JSON."""
    rounds = harness.arguments(__doc__, rounds=15).parse_args().rounds
    device = setup.set_up("cpu")
    found: dict[str, object] = {}
    random = np.random.default_rng(0)
    for kind, shape in (("mlp", (8,)), ("lenet5", (28, 28, 1))):
        images = random.integers(0, 256, (BATCH * STEPS, *shape), dtype=np.uint8)
        split = Split(images, random.integers(0, 10, BATCH * STEPS))
        with tempfile.TemporaryDirectory() as directory:
            rows = measure(ways(kind, split, Path(directory)), rounds)
        harness.show("way", rows, f"{kind}, batch {BATCH}: one epoch of {STEPS} steps, {rounds} rounds")
        found[kind] = [{"way": name, **row} for name, row in rows.items()]
    harness.write("overhead", rounds, device, steps=STEPS, **found)


if __name__ == "__main__":
    main()
