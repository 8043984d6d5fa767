"""Read the recorded range tests again with the rules as they are now; what a rate costs is read off the trainings.

    python -m experiments.lr_find_rules.reread --runs outputs/lr_find_rules

Needs the range tests of measure.py (no training): the accuracy at a rate is interpolated, over log lr, between all
trainings of the same pair and seed in results.csv. Writes rereading.csv, one row a range test and rule.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd

from sconv.lr_finder.result import analyse
from sconv.lr_finder.rules import Curve
from sconv.lr_finder.smoothing import smooth

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("outputs/lr_find_rules"))
    parser.add_argument("--into", type=Path, default=HERE, help="where results.csv is")
    arguments = parser.parse_args()
    runs, trained = arguments.runs, pd.read_csv(arguments.into / "results.csv")
    rows = []
    for (pair, seed), mine in trained.groupby(["pair", "seed"], sort=False):
        test = pd.read_csv(runs / pair / f"seed{seed}" / "lr_find" / "lr_find.csv")
        rates, losses = test.learning_rate.to_numpy(), test.loss.to_numpy()
        curve = Curve.of(rates, losses, smooth(losses, 0.9), 0.9)
        picks = {**analyse(rates, losses).suggestions, "lowest": float(curve.rates[np.argmin(curve.losses)])}
        grid = trained[(trained.pair == pair) & (trained.source == "grid")].groupby("lr_max").accuracy.mean()
        accuracy = mine.groupby("lr_max").accuracy.mean()
        for rule, rate in picks.items():
            reached = np.interp(np.log(rate), np.log(accuracy.index), accuracy.to_numpy())
            rows.append((pair, seed, rule, f"{rate:.4g}", f"{100 * (accuracy[grid.idxmax()] - reached):.2f}"))
    with open(arguments.into / "rereading.csv", "w", newline="") as file:
        csv.writer(file).writerows([("pair", "seed", "rule", "lr_max", "points_lost"), *rows])
    table = pd.DataFrame(rows, columns=["pair", "seed", "rule", "lr_max", "lost"]).astype({"lost": float})
    print(table.pivot_table(index="pair", columns="rule", values="lost", margins=True).round(2))


if __name__ == "__main__":
    main()
