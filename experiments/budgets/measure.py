"""Accuracy against budget: every schedule trained separately for 1, 2, 4, ... epochs, each time at its best peak.

    python -m experiments.budgets.measure --cifar10 FOLDER

Appends a row a training to results.csv beside this file, and makes only what is not there. At each budget each schedule
gets the same trials: the peaks of one grid, two seeds each. The peak whose mean is best on validation data is trained
with five other seeds, and tested.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import keras

from experiments import tasks
from experiments.schedule_free import ScheduleFreeAdamW
from experiments.table import Table
from sconv import schedules

HERE = Path(__file__).parent
SGD, ADAM, FREE = (lambda: keras.optimizers.SGD(momentum=0.9)), keras.optimizers.Adam, ScheduleFreeAdamW
# A function of the peak each; the momentum, 0.9, is the optimizer's own where the schedule does not move it.
SCHEDULES = {
    "constant": schedules.constant,
    "step": schedules.baseline,  # x0.1 at 5/8 and 7/8 of whatever the budget is
    "cosine": schedules.cosine,
    "line": schedules.polynomial,  # straight to 0
    "warmup_stable_decay": schedules.warmup_stable_decay,
    "onecycle": schedules.onecycle,
    "onecycle_fastai": schedules.onecycle_fastai,
    "adam": schedules.constant,
    "adam_onecycle": schedules.onecycle_fastai,
    "schedule_free": schedules.constant,
}
OPTIMIZERS = {**dict.fromkeys(SCHEDULES, SGD), "adam": ADAM, "adam_onecycle": ADAM, "schedule_free": FREE}
BUDGETS = {"lenet5-fashion_10k": (1, 2, 4, 8, 16, 32), "normalised-cifar10_5k": (2, 4, 8, 16)}
GRID = {"lenet5-fashion_10k": range(-7, 0), "normalised-cifar10_5k": range(-5, 2)}  # powers of two
ADAPTIVE = -4  # powers of two by which Adam's rates lie below
SEARCHED, TESTED = range(2), range(10, 15)
COLUMNS = ("task", "schedule", "epochs", "lr_max", "part", "seed", "validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(BUDGETS), choices=BUDGETS)
    parser.add_argument("--schedules", nargs="+", default=list(SCHEDULES), choices=SCHEDULES)
    parser.add_argument("--cifar10", default="", help="folder of images")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    tasks.CIFAR10 = arguments.cifar10
    table = Table(arguments.into / "results.csv", COLUMNS)
    for task in arguments.tasks:
        optimizers = {OPTIMIZERS[name] for name in arguments.schedules}
        trainers = {optimizer: tasks.Trainer(tasks.TASKS[task], optimizer) for optimizer in optimizers}
        for epochs in BUDGETS[task]:
            for name in arguments.schedules:
                optimizer = OPTIMIZERS[name]
                grid = [power + (0 if optimizer is SGD else ADAPTIVE) for power in GRID[task]]
                line(table, trainers[optimizer], {"task": task, "schedule": name, "epochs": epochs}, grid)


def line(table: Table, trainer: tasks.Trainer, key: dict[str, object], grid: Sequence[int]) -> None:
    """Search the peak of one schedule at one budget, and test it."""

    def row(power: int, part: str, seed: int) -> dict[str, str]:
        whole = {**key, "lr_max": 2.0**power, "part": part, "seed": seed}
        found = table.find(**whole)
        if found:
            return found[0]
        outcome = trainer.train(SCHEDULES[key["schedule"]](2.0**power), key["epochs"], seed)
        made = table.add(**whole, validation=f"{outcome.validation:.4f}", test=f"{outcome.test:.4f}")
        print(*made.values(), flush=True)
        return made

    def mean(power: int) -> float:
        return statistics.mean(float(row(power, "search", seed)["validation"]) for seed in SEARCHED)

    best = max(grid, key=mean)
    for seed in TESTED:
        row(best, "test", seed)


if __name__ == "__main__":
    main()
