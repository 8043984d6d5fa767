"""The numbers that are told about the suggestion rules are those of the data beside them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

EVIDENCE = Path(__file__).parents[1] / "experiments" / "lr_find_rules"


def test_what_the_rules_cost_is_what_was_recorded():
    told = (EVIDENCE / "README.md").read_text()
    read = pd.read_csv(EVIDENCE / "rereading.csv")
    cost = read.groupby("rule").points_lost.mean()
    by_pair = read[read.rule == "smith"].groupby("pair", sort=False).points_lost.mean()
    assert "{:.2f} points for `smith` on average ({:.2f}, {:.2f}, {:.2f} and {:.2f} on the four pairs)".format(
        cost.smith, *by_pair
    ) in told.replace("\n", " ")
    assert f"{cost.lowest:.2f} for the rate of the lowest smoothed loss" in told.replace("\n", " ")
    trained = pd.read_csv(EVIDENCE / "results.csv")
    grid = trained[trained.source == "grid"].groupby(["pair", "lr_max"]).accuracy.mean()
    best = dict(grid.groupby("pair").idxmax().to_list())
    top = trained[(trained.source == "grid") & (trained.lr_max == trained.pair.map(best))]
    top = top.set_index(["pair", "seed"]).accuracy
    for rule in ("valley", "steep", "minimum", "slide"):
        picked = trained[trained.source == rule].set_index(["pair", "seed"]).accuracy
        assert abs(100 * (top - picked).mean() - cost[rule]) < 0.1, rule
