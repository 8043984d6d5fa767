"""Twelve epochs of 1cycle against 85 of Caffe's "inv", on Caffe's LeNet: as Smith printed them, then both tuned.

    python -m experiments.smith2018_mnist.measure

Appends a row a training to results.csv beside this file, and makes only what is not there. Schedules, lengths, weight
decay and printed rates are those of the installed `experiment=smith2018_mnist_lenet` and `..._baseline`; the tuned
rate is the power of two, with worse ones on both sides, whose mean over two seeds is best on validation data.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import Any

import keras
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from experiments import tasks
from experiments.peaks import best_power
from experiments.table import Table
from sconv.runner.config import schema

HERE = Path(__file__).parent
RECIPES = {"onecycle": "smith2018_mnist_lenet", "inverse": "smith2018_mnist_lenet_baseline"}
GRIDS = {"onecycle": range(-5, -1), "inverse": range(-7, -3)}  # powers of two: where the search begins
SEARCHED, TESTED = range(2), range(10, 15)
COLUMNS = ("task", "recipe", "epochs", "lr_max", "part", "seed", "validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(tasks.LENETS), choices=tasks.LENETS)
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    table = Table(arguments.into / "results.csv", COLUMNS)
    recipes = {name: installed(experiment) for name, experiment in RECIPES.items()}
    for task in arguments.tasks:
        for name, recipe in recipes.items():
            decayed = {"l2": recipe.l2, "decay_all": recipe.decay_all}
            whole = dataclasses.replace(tasks.LENETS[task], groups=decayed)
            trainer = tasks.Trainer(whole, lambda: keras.optimizers.SGD(momentum=0.9))
            Arm(table, trainer, task, name, recipe).run()


def installed(experiment: str) -> Any:
    """The configuration of an installed experiment."""
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return compose("config", [f"experiment={experiment}"])


class Arm:
    """One recipe on one task, with the printed rate and with the best one."""

    def __init__(self, table: Table, trainer: tasks.Trainer, task: str, name: str, recipe: Any):
        self._table, self._trainer, self._recipe = table, trainer, recipe
        self._key = {"task": task, "recipe": name, "epochs": recipe.epochs}

    def run(self) -> None:
        for seed in TESTED:
            self._row(self._recipe.lr_max, "printed", seed)
        best = best_power(GRIDS[self._key["recipe"]], self._mean)
        for seed in TESTED:
            self._row(2.0**best, "tuned", seed)

    def _mean(self, power: int) -> float:
        return statistics.mean(float(self._row(2.0**power, "search", seed)["validation"]) for seed in SEARCHED)

    def _row(self, rate: float, part: str, seed: int) -> dict[str, str]:
        key = {**self._key, "lr_max": rate, "part": part, "seed": seed}
        found = self._table.find(**key)
        if found:
            return found[0]
        outcome = self._trainer.train(instantiate(self._recipe.schedule, lr_max=rate), self._recipe.epochs, seed)
        row = self._table.add(**key, validation=f"{outcome.validation:.4f}", test=f"{outcome.test:.4f}")
        print(*row.values(), flush=True)
        return row


if __name__ == "__main__":
    main()
