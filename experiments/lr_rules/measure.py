"""What a rate costs against the best one: range tests, and trainings over a grid of rates, on several pairs and seeds.

    python -m experiments.lr_rules.measure --cifar10 FOLDER                       # everything
    python -m experiments.lr_rules.measure --pairs mlp-digits-adam --seeds 0      # a small piece

CIFAR-10 is a folder of images, class folders below train/ and test/. Appends a row a training to trainings.csv, and to
range_tests.csv a row a range test with its losses, beside this file; makes only what is not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

import sconv
from experiments.lr_rules import pairs
from experiments.table import Table

HERE = Path(__file__).parent
POINTS = 9  # of the grid, even over log lr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=list(pairs.PAIRS), choices=pairs.PAIRS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cifar10", default="")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    pairs.CIFAR10 = arguments.cifar10
    trained = Table(arguments.into / "trainings.csv", ("pair", "seed", "lr_max", "score"))
    tested = Table(arguments.into / "range_tests.csv", ("pair", "seed", "losses"))
    for seed in arguments.seeds:
        for name in arguments.pairs:
            pair = pairs.PAIRS[name]
            if not tested.find(pair=name, seed=seed):
                losses = range_test(pair, seed).losses
                tested.add(pair=name, seed=seed, losses=" ".join(f"{loss:.5g}" for loss in losses))
            for lr in np.geomspace(pair.low, pair.high, POINTS):
                lr_max = f"{lr:.4g}"
                if not trained.find(pair=name, seed=seed, lr_max=lr_max):
                    score = f"{train(pair, seed, float(lr_max)):.4f}"
                    print(*trained.add(pair=name, seed=seed, lr_max=lr_max, score=score).values(), flush=True)


def range_test(pair: pairs.Pair, seed: int) -> sconv.RangeTest:
    """As `fit_one_cycle` does it: as long as by default, with the momentum that the policy has at its peak."""
    x, y, *_ = pair.data()
    return sconv.lr_find(pair.build(seed), (x, y), batch_size=pair.batch_size, momentum=0.85)


def train(pair: pairs.Pair, seed: int, lr_max: float) -> float:
    """The score after one cycle to `lr_max`; 0 where the loss stopped being a number."""
    x, y, *_ = pair.data()
    model = pair.build(seed)
    options = {"batch_size": pair.batch_size, "verbose": 0, "callbacks": [keras.callbacks.TerminateOnNaN()]}
    sconv.fit_one_cycle(model, (x, y), epochs=pair.epochs, lr_max=lr_max, **options)
    return pair.score(model)


if __name__ == "__main__":
    main()
