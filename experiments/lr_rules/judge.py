"""What each rule's pick costs, in points, and which variant is chosen on half of the pairs and judged on the other.

    python experiments/lr_rules/judge.py

Reads trainings.csv and range_tests.csv, trains nothing. The score at a rate is interpolated, over log lr, between the
means over the seeds; the best is the best of those means. Writes picks.csv, one row a range test and rule.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from sconv.lr_finder.result import analyse
from sconv.lr_finder.rules import RULES, Curve, smith
from sconv.lr_finder.smoothing import smooth

HERE = Path(__file__).resolve().parent
MARGINS = (1.0, 1.5, 2.0, 3.0)


def main() -> None:
    costs = picks()
    with open(HERE / "picks.csv", "w", newline="") as file:
        csv.writer(file).writerows([("pair", "seed", "rule", "lr_max", "points_lost"), *costs])
    table = pd.DataFrame(costs, columns=["pair", "seed", "rule", "lr_max", "lost"]).astype({"lost": float})
    means = table.pivot_table(index="pair", columns="rule", values="lost")
    means.loc["mean"] = means.mean()
    print(means.round(2).to_string())
    print(f"chosen on one half of the pairs, judged on the other: {across_halves(means.drop(index='mean')):.2f}")


def picks() -> list[tuple[str, int, str, str, str]]:
    """Every rule's pick for every range test whose pair has been trained over its whole grid, and what it costs."""
    trained = pd.read_csv(HERE / "trainings.csv")
    rows = []
    for (pair, seed), test in pd.read_csv(HERE / "range_tests.csv").groupby(["pair", "seed"], sort=False):
        score = trained[trained.pair == pair].groupby("lr_max").score.mean()
        if len(trained[(trained.pair == pair) & (trained.seed == seed)]) < len(score):
            continue  # cut short
        for rule, rate in rates(test.learning_rate.to_numpy(), test.loss.to_numpy()).items():
            reached = np.interp(np.log(rate), np.log(score.index), score.to_numpy())
            rows.append((pair, seed, rule, f"{rate:.4g}", f"{100 * (score.max() - reached):.2f}"))
    return rows


def rates(lrs: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """What the rules pick, and smith with other margins, with and without a bound at the lowest loss."""
    test = analyse(lrs, losses)
    curve = Curve.of(test.learning_rates, test.losses, smooth(test.losses, 0.9), 0.9)
    found = {rule: test.suggestions[rule] for rule in RULES}
    for margin, bound in itertools.product(MARGINS, (True, False)):
        lowest = float(curve.rates[np.argmin(curve.losses)]) if bound else np.inf
        found[f"smith/{margin:g}{' bound' if bound else ''}"] = min(smith(curve, margin), lowest)
    return found


def across_halves(means: pd.DataFrame) -> float:
    """The mean cost of the variant of smith that is best on half of the pairs, on the other half, over all halves."""
    variants = means[[rule for rule in means if rule.startswith("smith/")]]
    halves = itertools.combinations(means.index, len(means) // 2)
    judged = []
    for half in halves:
        best = variants.loc[list(half)].mean().idxmin()
        judged.append(variants.drop(index=list(half))[best].mean())
    return float(np.mean(judged))


if __name__ == "__main__":
    main()
