"""The tables of the page, from results.csv.

    python -m experiments.momentum_cycle.summary    # puts them into README.md

Needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import bootstrap, nct, t

HERE = Path(__file__).parent
SEEDS = 10
CYCLED = ("0.95-0.85", "0.95-0.8")
HELD = ("0.8", "0.85", "0.9", "0.95")
DEAD = 0.2  # an accuracy below: ten classes, of which such a network tells one or two
TITLES = {
    "lenet5-fashion_10k": "LeNet-5, 10,000 of Fashion-MNIST, 3 epochs",
    "normalised-cifar10_5k": "three normalised convolutions, 5,000 of CIFAR-10, 5 epochs",
}
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


@dataclass(frozen=True)
class Arm:
    """Ten seeds of one momentum at its own best peak; accuracies in percent, rising."""

    momentum: str
    lr_max: float
    validation: float
    ends: np.ndarray

    @property
    def dead(self) -> int:
        return int((self.ends < 100 * DEAD).sum())


def read() -> pd.DataFrame:
    """The rows, accuracies in percent."""
    rows = pd.read_csv(HERE / "results.csv", dtype={"momentum": str})
    rows[["validation", "test"]] *= 100
    return rows


def comparisons(rows: pd.DataFrame) -> dict[tuple[str, str], list[Arm]]:
    """The arms of each task and optimizer that are complete."""
    found = {}
    for (task, optimizer), mine in rows.groupby(["task", "optimizer"], sort=False):
        tested = mine[mine.part == "test"]
        arms = []
        for momentum in (*CYCLED, *HELD):
            seeds = tested[tested.momentum == momentum]
            if len(seeds) == SEEDS:
                searched = mine[(mine.part == "search") & (mine.momentum == momentum)]
                means = searched.groupby("lr_max").validation.mean()
                arms.append(Arm(momentum, float(seeds.lr_max.iloc[0]), float(means.max()), np.sort(seeds.test)))
        if len(arms) == len(CYCLED) + len(HELD):
            found[(str(task), str(optimizer))] = arms
    return found


def best(arms: list[Arm], among: tuple[str, ...]) -> Arm:
    """The one that is best on validation data, at its best peak."""
    return max((arm for arm in arms if arm.momentum in among), key=lambda arm: arm.validation)


def difference(one: Arm, other: Arm) -> tuple[float, float, float]:
    """Of medians, in points, with the 95 % bootstrap interval over the seeds of both."""

    def of_medians(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.median(first, axis=axis) - np.median(second, axis=axis)

    interval = bootstrap((one.ends, other.ends), of_medians, method="percentile", rng=0).confidence_interval
    return float(of_medians(one.ends, other.ends)), float(interval.low), float(interval.high)


def detectable(one: Arm, other: Arm) -> float:
    """The difference that a t-test of ten seeds each would have seen in 80 of 100 repeats, in points.

    By the deviations of these seeds, without those whose network died.
    """
    living = [arm.ends[arm.ends >= 100 * DEAD] for arm in (one, other)]
    deviation = math.sqrt(np.mean([ends.var(ddof=1) for ends in living]))
    freedom = 2 * SEEDS - 2
    critical = t.ppf(0.975, freedom)

    def missing(effect: float) -> float:
        shift = effect * math.sqrt(SEEDS / 2)
        return float(nct.sf(critical, freedom, shift) + nct.cdf(-critical, freedom, shift)) - 0.8

    return deviation * float(brentq(missing, 0.1, 3))


def lines(rows: pd.DataFrame) -> Iterator[str]:
    """The rows of the table of all arms."""
    for (task, optimizer), arms in comparisons(rows).items():
        for arm in arms:
            peak = f"2^{math.log2(arm.lr_max):.0f}"
            spread = f"{np.median(arm.ends):.2f} | {arm.ends[0]:.2f} to {arm.ends[-1]:.2f} | {arm.dead}"
            yield f"| {TITLES[task]}, {OPTIMIZERS[optimizer]} | {arm.momentum} | {peak} | {spread} |"


def outcomes(rows: pd.DataFrame) -> Iterator[str]:
    """The rows of the table of differences: the best cycle against the best held momentum, and against 0.95 held."""
    for (task, optimizer), arms in comparisons(rows).items():
        cycled = best(arms, CYCLED)
        for held in (best(arms, HELD), best(arms, ("0.95",))):
            points, low, high = difference(cycled, held)
            seen = f"{detectable(cycled, held):.2f}"
            told = f"{cycled.momentum} | {held.momentum} | {points:+.2f} [{low:+.2f}, {high:+.2f}] | {seen}"
            yield f"| {TITLES[task]}, {OPTIMIZERS[optimizer]} | {told} |"


def main() -> None:
    page, rows = HERE / "README.md", read()
    text = page.read_text()
    for name, made in (("arms", lines(rows)), ("outcomes", outcomes(rows))):
        body = "\n".join(dict.fromkeys(made))
        text = re.sub(rf"(<!-- {name} -->\n.*\n.*\n)(\|.*\n)*", rf"\g<1>{body}\n", text)
    page.write_text(text)


if __name__ == "__main__":
    main()
