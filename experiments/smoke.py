"""Every command of the records at the smallest size, into a temporary folder: do they still run?

    python -m experiments.smoke

Networks and code are those of the records; a training is of one seed and a few updates, and images are made up.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image

from experiments import tasks
from experiments.batch_statistics import measure as batch_statistics
from experiments.budgets import measure as budgets
from experiments.cifar10_fast import measure as cifar10_fast
from experiments.cifar10_fast import seconds as of_updates
from experiments.fine_tune import measure as fine_tune
from experiments.keras_examples import examples, seconds
from experiments.keras_examples import measure as keras_examples
from experiments.ladder import measure as ladder
from experiments.lr_find_rules import measure as lr_find_rules
from experiments.lr_find_rules import reread
from experiments.lr_rules import judge, pairs
from experiments.lr_rules import measure as lr_rules
from experiments.momentum import measure as momentum
from experiments.momentum_cycle import measure as momentum_cycle
from experiments.search import measure as search
from experiments.smith2018_mnist import measure as smith2018
from experiments.table import Table
from sconv.datasets import Dataset, fashion_mnist, image_folder, synthetic

ONE = (0,)  # seed


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)  # as some of them do, which must be before all else
    fashion_mnist.load = lambda: made_up(28, 1)
    image_folder.load = lambda path: made_up(32, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_probe(folder)
        small_statistics(folder)
        small_folders(folder)
        small_momenta(folder)
        small_pairs(folder)
        small_rules(folder)
        small_examples(folder)
        small_lenets(folder)
        small_search(folder)


def made_up(side: int, channels: int) -> Dataset:
    """Images of ten classes, 80 to train and 40 to test."""
    return synthetic.load((side, side, channels), 10, 80, 40)


def run(module: ModuleType, folder: Path, *arguments: str) -> None:
    """The command of a script."""
    print("--", module.__name__, *arguments, flush=True)
    sys.argv = [module.__name__, *arguments, "--into", str(folder)]
    module.main()


def small_probe(folder: Path) -> None:
    momentum.BATCH, momentum.EPOCHS = 1000, 1
    run(momentum, folder)


def small_statistics(folder: Path) -> None:
    batch_statistics.MOMENTA, batch_statistics.LENGTHS, batch_statistics.SEEDS = (0.9,), ((1, 1000),), ONE
    run(batch_statistics, folder)


def small_folders(folder: Path) -> None:
    split, images, into = made_up(32, 3).train, folder / "images", folder / "fast"
    for part in ("train", "test"):
        for label, name in enumerate((*fine_tune.BEFORE, *fine_tune.AFTER)):
            (images / part / name).mkdir(parents=True)
            for number, pixels in enumerate(split.images[split.labels == label]):
                Image.fromarray(pixels).save(images / part / name / f"{number}.png")
    fine_tune.BEFORE_EACH, fine_tune.TEST_EACH, fine_tune.EACH, fine_tune.EPOCHS = 4, 2, (4,), 2
    fine_tune.RATES, fine_tune.SEEDS, fine_tune.BATCH = (0.1,), ONE, 4
    run(fine_tune, folder, "--cifar10", str(images))
    cifar10_fast.ARGUMENTS += ["epochs=3", "batch_size=20", "model.widths=[8,8,8]"]
    into.mkdir()
    run(cifar10_fast, into, "--cifar10", str(images), "--seeds", "0", "--runs", str(into / "runs"))
    of_updates.UPDATES = 2
    run(of_updates, into, "--cifar10", str(images), "--rounds", "1")
    ladder.EXAMPLE, ladder.CYCLES, ladder.RECIPES = "images_cnn", (1,), (2,)
    ladder.SEEDS, ladder.LR_MAX = {"bfloat16": ONE, "recipe": ONE}, 0.01
    (into / "ladder").mkdir()
    run(ladder, into / "ladder", "--cifar10", str(images), "--runs", str(into / "ladder-runs"))


def small_momenta(folder: Path) -> None:
    task = tasks.Task(lambda: tasks.part(made_up(28, 1), 40, 20, 20), tasks.lenet, 10)
    tasks.TASKS, momentum_cycle.EPOCHS = {"small": task}, {"small": 1}
    momentum_cycle.MOMENTA, momentum_cycle.GRIDS = {"0.9": 0.9}, {"sgd": range(-3, 0)}
    momentum_cycle.SEARCHED = momentum_cycle.TESTED = ONE
    into = folder / "momenta"
    into.mkdir()
    run(momentum_cycle, into, "--tasks", "small", "--optimizers", "sgd")
    budgets.BUDGETS, budgets.GRID, budgets.SEARCHED, budgets.TESTED = (
        {"small": (1,)},
        {"small": range(-3, -2)},
        ONE,
        ONE,
    )
    budgets.SCHEDULES = {name: budgets.SCHEDULES[name] for name in ("constant", "schedule_free")}
    (into / "budgets").mkdir()
    run(budgets, into / "budgets", "--tasks", "small")


def small_lenets(folder: Path) -> None:
    few = tasks.part(made_up(28, 1), 40, 20, 20)
    tasks.LENETS = {"small": dataclasses.replace(tasks.LENETS["mnist_3k"], data=lambda: few, batch_size=20)}
    smith2018.GRIDS = {recipe: range(-3, -1) for recipe in smith2018.RECIPES}
    smith2018.SEARCHED = smith2018.TESTED = ONE
    installed = smith2018.installed
    smith2018.installed = lambda experiment: OmegaConf.merge(installed(experiment), {"epochs": 4})
    into = folder / "lenets"
    into.mkdir()
    run(smith2018, into)


def small_search(folder: Path) -> None:
    search.TRIALS, search.EPOCHS = 4, 1  # three are the range test's
    into = folder / "search"
    into.mkdir()
    run(search, into, "--tasks", "digits", "--repeats", "1")


def small_pairs(folder: Path) -> None:
    names, lr_rules.POINTS = ("mlp-digits-adam", "mlp-friedman-adam"), 2
    for name in names:
        pairs.PAIRS[name] = dataclasses.replace(pairs.PAIRS[name], epochs=1, batch_size=300)
    run(lr_rules, folder, "--pairs", *names, "--seeds", "0")
    run(judge, folder)


def small_rules(folder: Path) -> None:
    overrides = "dataset=synthetic dataset.train_size=200 dataset.test_size=40 model=mlp epochs=1 lr_find.max_steps=100"
    lr_find_rules.PAIRS["small"] = (tuple(overrides.split()), (0.1, 0.2))
    lr_find_rules.RULES, lr_find_rules.GRID_POINTS = ("smith",), 1
    runs = ("--runs", str(folder / "runs"))
    run(lr_find_rules, folder, "--pairs", "small", "--seeds", "0", *runs)
    run(reread, folder, *runs)


def small_examples(folder: Path) -> None:
    """One of them whole; of some others, two updates of the network."""
    into = folder / "examples"
    into.mkdir()
    whole = dataclasses.replace(examples.EXAMPLES["fuel_efficiency"], epochs=2, seeds=1, batch_size=64)
    print("--", keras_examples.__name__)
    table = Table(into / "results.csv", keras_examples.COLUMNS)
    keras_examples.Record(table, "fuel_efficiency", whole, {"max_steps": 60}).make()
    arms = {row["arm"] for row in table.rows}
    assert arms == {"documented", "one_cycle", "own_rate"}, arms
    seconds.STEPS = 2
    examples.TRANSACTIONS, others = 500, ("imbalanced_classification", "mnist_convnet", "cifar10_cnn")
    for name in others:
        example = examples.EXAMPLES[name]
        data = example.data()
        few = dataclasses.replace(data, train=tuple(np.asarray(each)[:40] for each in data.train))
        examples.EXAMPLES[name] = dataclasses.replace(example, data=lambda few=few: few, batch_size=20)
    seconds.VARIANTS = {"accelerated": seconds.VARIANTS["accelerated"]}
    run(seconds, into, "--rounds", "1", "--examples", *others)


if __name__ == "__main__":
    main()
