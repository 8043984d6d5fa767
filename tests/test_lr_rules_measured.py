"""The figures that experiments/lr_rules quotes are those of its table."""

import csv
import statistics
from collections import defaultdict
from pathlib import Path

RECORD = Path(__file__).parents[1] / "experiments" / "lr_rules"


def test_what_the_rules_lose():
    lost = defaultdict(lambda: defaultdict(list))
    with open(RECORD / "picks.csv", newline="") as file:
        for row in csv.DictReader(file):
            lost[row["rule"]][row["pair"]].append(float(row["points_lost"]))
    pairs = {rule: [statistics.mean(seeds) for seeds in of.values()] for rule, of in lost.items()}
    mean = {rule: f"{statistics.mean(costs):.1f}" for rule, costs in pairs.items()}
    told = " ".join((RECORD / "README.md").read_text().split())
    assert len(pairs["smith"]) == 12
    assert f"`smith` loses **{mean['smith']} points** on average" in told
    assert f"lowest loss it would lose {mean['smith/2 bound']}." in told
    assert f"`valley`, loses {mean['valley']}." in told
    *others, worst = sorted(pairs["smith"])
    assert f"On eleven pairs `smith` loses {others[0]:.1f} to {others[-1]:.1f} points" in told
    assert f"On the twelfth it loses {worst:.0f}:" in told
