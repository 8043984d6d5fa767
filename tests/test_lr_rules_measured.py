"""The figures that experiments/lr_rules quotes are those of its table, and the table is what the rules say today."""

import csv
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from sconv.lr_finder.result import RangeTestSettings, analyse

RECORD = Path(__file__).parents[1] / "experiments" / "lr_rules"


@pytest.fixture(scope="module")
def rows():
    with open(RECORD / "picks.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_what_the_rules_lose(rows):
    lost = defaultdict(lambda: defaultdict(list))
    for row in rows:
        lost[row["rule"]][row["pair"]].append(float(row["points_lost"]))
    pairs = {rule: [statistics.mean(seeds) for seeds in of.values()] for rule, of in lost.items()}
    mean = {rule: f"{statistics.mean(costs):.1f}" for rule, costs in pairs.items()}
    low, high = min(pairs["smith"]), max(pairs["smith"])
    first, second = (statistics.mean(half) for half in (pairs["smith/2/0.5"][:6], pairs["smith/2/0.5"][6:]))
    told = " ".join((RECORD / "README.md").read_text().split())
    assert len(pairs["smith"]) == 12
    assert f"`smith` loses **{mean['smith']} points** on average" in told
    first_screen = " ".join((RECORD.parents[1] / "README.md").read_text().split())
    assert f"range test finds loses {mean['smith']} points against the best of a grid" in first_screen
    assert f"grid, {low:.1f} to {high:.1f} on each." in told
    assert f"`valley`, loses {mean['valley']}." in told
    assert f"it loses {second:.2f} points on the second, and {first:.2f} the other way round" in told
    assert f"the rule loses {mean['smith/2/inf']} points on average and {max(pairs['smith/2/inf']):.1f} on the" in told


def test_the_rules_still_pick_so(rows):
    planned = RangeTestSettings().schedule.sample(RangeTestSettings().max_steps)[0]
    with open(RECORD / "range_tests.csv", newline="") as file:
        tests = {(row["pair"], row["seed"]): np.array(row["losses"].split(), float) for row in csv.DictReader(file)}
    suggested = {key: analyse(planned[: len(losses)], losses).suggestions for key, losses in tests.items()}
    picks = {(row["pair"], row["seed"], row["rule"]): float(row["lr_max"]) for row in rows if "/" not in row["rule"]}
    assert picks == pytest.approx(
        {(*key, rule): rate for key, found in suggested.items() for rule, rate in found.items()}, rel=1e-3
    )
