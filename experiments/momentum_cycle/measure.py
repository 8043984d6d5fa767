"""Does cycling the momentum pay? The same cycle of the learning rate, with the momentum cycled and held.

    python -m experiments.momentum_cycle.measure --cifar10 FOLDER

Appends a row a training to results.csv beside this file, and makes only what is not there. Each momentum gets a peak of
its own: of a grid of powers of two, which grows where its best lies at an edge, the one whose mean over seeds is best
on validation data. There it is trained with ten other seeds, and tested.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path

import keras

from experiments import tasks
from experiments.peaks import best_power
from experiments.table import Table
from sconv.schedules import onecycle_fastai

HERE = Path(__file__).parent
MOMENTA = {
    "0.95-0.85": (0.95, 0.85),
    "0.95-0.8": (0.95, 0.8),
    "0.8": 0.8,
    "0.85": 0.85,
    "0.9": 0.9,
    "0.95": 0.95,
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(weight_decay=0.01),
}
# Powers of two: where the search for a peak begins.
GRIDS = {"sgd": range(-6, -1), "adamw": range(-10, -5)}
EPOCHS = {"lenet5-fashion_10k": 3, "normalised-cifar10_5k": 5}
SEARCHED, TESTED = range(3), range(10, 20)
COLUMNS = ("task", "optimizer", "momentum", "lr_max", "part", "seed", "validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(EPOCHS), choices=EPOCHS)
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS), choices=OPTIMIZERS)
    parser.add_argument("--cifar10", default="", help="folder of images")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    tasks.CIFAR10 = arguments.cifar10
    table = Table(arguments.into / "results.csv", COLUMNS)
    for task in arguments.tasks:
        for optimizer in arguments.optimizers:
            Comparison(table, task, optimizer).run()


class Comparison:
    """All momenta of one optimizer on one task."""

    def __init__(self, table: Table, task: str, optimizer: str):
        self._table, self._task, self._optimizer = table, task, optimizer
        self._trainer = tasks.Trainer(tasks.TASKS[task], OPTIMIZERS[optimizer])

    def run(self) -> None:
        for momentum in MOMENTA:
            best = best_power(GRIDS[self._optimizer], partial(self._mean, momentum))
            for seed in TESTED:
                self._row(momentum, best, "test", seed)

    def _mean(self, momentum: str, power: int) -> float:
        return statistics.mean(float(self._row(momentum, power, "search", seed)["validation"]) for seed in SEARCHED)

    def _row(self, momentum: str, power: int, part: str, seed: int) -> dict[str, str]:
        key = {"task": self._task, "optimizer": self._optimizer, "momentum": momentum, "lr_max": 2.0**power}
        found = self._table.find(**key, part=part, seed=seed)
        if found:
            return found[0]
        schedule = onecycle_fastai(2.0**power, momentum=MOMENTA[momentum])
        outcome = self._trainer.train(schedule, EPOCHS[self._task], seed)
        row = self._table.add(
            **key, part=part, seed=seed, validation=f"{outcome.validation:.4f}", test=f"{outcome.test:.4f}"
        )
        print(*row.values(), flush=True)
        return row


if __name__ == "__main__":
    main()
