"""The rungs that no other record has: the one cycle in bfloat16, and the recipe of `experiment=cifar10_fast` cut short.

    python -m experiments.ladder.measure --cifar10 FOLDER                # a row a training into results.csv
    python -m experiments.ladder.measure --cifar10 FOLDER --rungs recipe

The images are those of a folder, train/ and test/ with a folder a class in each. Makes only what is not there.
`multiplications` are those of an image forward, in millions, the mean over the sizes that it was trained at; `seconds`
those of the whole training, from data to the last evaluation, beside whatever else the machine did. Fewer than three
epochs have the recipe's first sizes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import sconv
from benchmarks import harness
from experiments.cifar10_fast.measure import ARGUMENTS, finished, installed
from experiments.keras_examples import examples, seconds
from experiments.keras_examples.examples import EXAMPLES
from experiments.table import Table

HERE = Path(__file__).parent
EXAMPLE, CYCLES, RECIPES = "cutmix", (2,), (1, 2)  # epochs
LR_MAX: float | str = "auto"  # by the range test
SEEDS = {"bfloat16": range(3), "recipe": range(5)}
COLUMNS = ("rung", "epochs", "updates", "search", "seed", "accuracy", "multiplications", "seconds", "precision")
COLUMNS += ("threads", "processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--rungs", nargs="+", default=list(SEEDS), choices=SEEDS)
    parser.add_argument("--runs", type=Path, default=Path("outputs/ladder"))
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    examples.CIFAR10 = arguments.cifar10
    table = Table(arguments.into / "results.csv", COLUMNS)
    if "bfloat16" in arguments.rungs:
        fill(table, "bfloat16", CYCLES, cycle)
    if "recipe" in arguments.rungs:
        fill(table, "recipe", RECIPES, lambda epochs, seed: recipe(arguments.cifar10, arguments.runs, epochs, seed))


def fill(table: Table, rung: str, lengths: tuple[int, ...], train: Callable[[int, int], dict[str, Any]]) -> None:
    """The rows of a rung that are not there."""
    for epochs in lengths:
        for seed in SEEDS[rung]:
            if not table.find(rung=rung, epochs=epochs, seed=seed):
                row = {"rung": rung, "epochs": epochs, "seed": seed, **train(epochs, seed)}
                machine = {"threads": harness.cores(), "processor": harness.processor()["processor"]}
                print(*table.add(**row, **machine).values(), flush=True)


def cycle(epochs: int, seed: int) -> dict[str, Any]:
    """The example with one line changed, in bfloat16."""
    example = EXAMPLES[EXAMPLE]
    data = example.data()
    start = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = seconds.variant(example, *seconds.VARIANTS["bfloat16"])
    options = {"batch_size": example.batch_size, "verbose": 0, "lr_max": LR_MAX}
    history = sconv.fit_one_cycle(model, *data.train, epochs=epochs, **options)
    return {
        "updates": epochs * -(-len(data.train[0]) // example.batch_size),
        "search": len(history.range_test.losses) if history.range_test else 0,
        "accuracy": f"{example.judge(model, data.test):.4f}",
        "multiplications": f"{multiplications(model, 32):.3f}",
        "seconds": f"{time.perf_counter() - start:.1f}",
        "precision": "bfloat16",
    }


def recipe(images: str, runs: Path, epochs: int, seed: int) -> dict[str, Any]:
    """The installed recipe with fewer epochs, and the first of its sizes of images, an epoch each."""
    shares, directory = list(installed(ARGUMENTS).progressive_resizing)[:epochs], runs / f"{epochs}-{seed}"
    settings = [f"epochs={epochs}", f"progressive_resizing={shares}", f"seed={seed}", "precision=mixed_bfloat16"]
    run = finished([*ARGUMENTS, "dataset=image_folder", f"dataset.path={images}", *settings], directory)
    model = keras.saving.load_model(directory / "model.keras")
    sides = [round(32 * shares[epoch * len(shares) // epochs]) for epoch in range(epochs)]
    return {
        "updates": run["steps"],
        "search": 0,
        "accuracy": f"{run['final']['val_accuracy']:.4f}",
        "multiplications": f"{np.mean([multiplications(model, side) for side in sides]):.3f}",
        "seconds": run["seconds"]["total"],
        "precision": next(iter(run["compute_dtypes"])),
    }


def multiplications(model: keras.Model, side: int) -> float:
    """Those of an image of so many pixels a side, forward, in millions; of convolutions and dense layers alone."""
    count = 0
    for layer in keras.models.clone_model(model, input_tensors=keras.Input((side, side, 3))).layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            # Every weight once for each place of the output.
            count += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
    return count / 1e6


if __name__ == "__main__":
    main()
