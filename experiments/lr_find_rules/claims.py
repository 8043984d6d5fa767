"""What is told of this record, with the numbers as results.csv and rereading.csv have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/lr_find_rules/README.md"
SETTINGS = ("2 of 1, 1.5, 2 and 3",)


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    read = pd.read_csv(HERE / "rereading.csv").pivot_table(
        index="pair", columns="rule", values="points_lost", sort=False
    )
    cost, trained = read.mean(), lost()
    yield (
        PAGE,
        "the mean over the twelve range tests is {smith:.1f} points, against {minimum:.1f} for `minimum`, {slide:.1f} "
        "for `slide`, {steep:.1f} for `steep` and {valley:.1f} for `valley`".format(**trained),
    )
    by_pair = "({:.2f}, {:.2f}, {:.2f} and {:.2f} on the four pairs)".format(*read.smith)
    yield PAGE, f"{cost.smith:.2f} points for `smith` on average {by_pair}"
    yield PAGE, f"{cost.lowest:.2f} for the rate of the lowest smoothed loss"
    others = [rule for rule in trained if rule != "smith"]
    apart = max(abs(trained[rule] - cost[rule]) for rule in others)
    yield PAGE, f"within {math.ceil(10 * apart) / 10} points"
    theirs = read.index.str.contains("fashion|adam")
    yield (
        PAGE,
        f"it loses {read.smith[~theirs].mean():.1f} points on the other two, chosen on those "
        f"{read.smith[theirs].mean():.1f} on these",
    )
    yield "docs/evidence.md", f"{cost.smith:.2f} points lost on average against the best of a grid"
    yield "docs/evidence.md", f"fastai's `valley` lost {trained['valley']:.1f}"


def lost() -> dict[str, float]:
    """What each rule's trainings lose against those of the grid's best rate, in points."""
    trained = pd.read_csv(HERE / "results.csv")
    grid = trained[trained.source == "grid"]
    best = dict(grid.groupby(["pair", "lr_max"]).accuracy.mean().groupby("pair").idxmax().to_list())
    top = grid[grid.lr_max == grid.pair.map(best)].set_index(["pair", "seed"]).accuracy
    picked = trained[trained.source != "grid"].set_index(["source", "pair", "seed"]).accuracy
    return {rule: float(100 * (top - picked[rule]).mean()) for rule in picked.index.unique("source")}
