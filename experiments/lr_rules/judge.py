"""What each rule's pick costs, in points, and which variant is chosen on half of the pairs and judged on the other.

    python -m experiments.lr_rules.judge

Reads trainings.csv and range_tests.csv, trains nothing. The score at a rate is interpolated, over log lr, between the
means over the seeds; the best is the best of those means. Writes picks.csv, one row a range test and rule.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.lr_rules.claims import across_halves
from sconv.lr_finder.result import RangeTestSettings, analyse
from sconv.lr_finder.rules import RULES, Curve, smith
from sconv.lr_finder.smoothing import smooth

HERE = Path(__file__).parent
# Of smith: margins and levels.
VARIANTS = list(itertools.product((1.5, 2.0, 2.5, 3.0), (0.0, 0.5, 1.0, 2.0, np.inf)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE, help="where trainings.csv and range_tests.csv are")
    into = parser.parse_args().into
    costs = picks(into)
    with open(into / "picks.csv", "w", newline="") as file:
        csv.writer(file).writerows([("pair", "seed", "rule", "lr_max", "points_lost"), *costs])
    table = pd.DataFrame(costs, columns=["pair", "seed", "rule", "lr_max", "lost"]).astype({"lost": float})
    means = table.pivot_table(index="pair", columns="rule", values="lost", sort=False)
    means.loc["mean"] = means.mean()
    print(means[list(RULES)].round(2).to_string())
    variants = {(float(m), float(of)): means.loc["mean", f"smith/{m:g}/{of:g}"] for m, of in VARIANTS}
    print("smith's mean by margin and level:")
    print(pd.Series(variants).unstack().round(2).to_string())
    for variant, cost in across_halves(means.drop(index="mean")):
        print(f"chosen on one half of the pairs: {variant}, which loses {cost:.2f} on the other")


def picks(folder: Path) -> list[tuple[str, int, str, str, str]]:
    """Every rule's pick for every range test, and what it costs."""
    trained = pd.read_csv(folder / "trainings.csv")
    rows = []
    planned = RangeTestSettings().schedule.sample(RangeTestSettings().max_steps)[0]
    for pair, seed, told in pd.read_csv(folder / "range_tests.csv").itertuples(index=False):
        score = trained[trained.pair == pair].groupby("lr_max").score.mean()
        losses = np.array(told.split(), np.float64)
        for rule, rate in rates(planned[: len(losses)], losses).items():
            reached = np.interp(np.log(rate), np.log(score.index), score.to_numpy())
            rows.append((pair, seed, rule, f"{rate:.4g}", f"{100 * (score.max() - reached):.2f}"))
    return rows


def rates(lrs: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """What the rules pick, and smith with other margins and levels."""
    test = analyse(lrs, losses)
    curve = Curve.of(test.learning_rates, test.losses, smooth(test.losses, 0.9), 0.9)
    found = {rule: test.suggestions[rule] for rule in RULES}
    for margin, level in VARIANTS:
        found[f"smith/{margin:g}/{level:g}"] = smith(curve, margin, level=level)
    return found


if __name__ == "__main__":
    main()
