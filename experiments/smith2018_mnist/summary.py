"""The tables of the page, from results.csv.

    python -m experiments.smith2018_mnist.summary    # puts them into README.md

Needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sconv.report.statistics import Difference, difference

HERE = Path(__file__).parent
SEEDS = 5
TITLES = {
    "mnist_3k": "3,000 of MNIST in batches of 64",
    "fashion_10k": "10,000 of Fashion-MNIST in batches of 64",
}
RECIPES = {"onecycle": "1cycle", "inverse": "inv"}
PARTS = {"printed": "as printed", "tuned": "each at its best rate"}


def read() -> pd.DataFrame:
    """The rows, accuracies in percent."""
    rows = pd.read_csv(HERE / "results.csv")
    rows[["validation", "test"]] *= 100
    return rows


def pairs(rows: pd.DataFrame) -> Iterator[tuple[str, str, dict[str, pd.DataFrame]]]:
    """Each task and part whose two recipes are complete, with the seeds of both."""
    for task in TITLES:
        for part in PARTS:
            mine = rows[(rows.task == task) & (rows.part == part)]
            both = {recipe: mine[mine.recipe == recipe] for recipe in RECIPES}
            if all(len(seeds) == SEEDS for seeds in both.values()):
                yield task, part, both


def ahead(both: dict[str, pd.DataFrame]) -> Difference:
    """What 1cycle ends at less what inv ends at, in points, with Welch's 95 % interval."""
    return difference(both["onecycle"].test.to_numpy(), both["inverse"].test.to_numpy())


def told(both: dict[str, pd.DataFrame]) -> str:
    """The difference with its interval."""
    found = ahead(both)
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def lines(rows: pd.DataFrame) -> Iterator[str]:
    """The rows of the table."""
    for task, part, both in pairs(rows):
        cells = []
        for seeds in both.values():
            rate = float(seeds.lr_max.iloc[0])
            shown = f"2^{math.log2(rate):.0f}" if part == "tuned" else f"{rate:g}"
            cells.append(f"{seeds.test.mean():.2f} ± {seeds.test.std():.2f} ({shown})")
        yield f"| {TITLES[task]}, {PARTS[part]} | " + " | ".join(cells) + f" | {told(both)} |"


def main() -> None:
    page = HERE / "README.md"
    body = "\n".join(lines(read()))
    page.write_text(re.sub(r"(<!-- outcomes -->\n.*\n.*\n)(\|.*\n)*", rf"\g<1>{body}\n", page.read_text()))


if __name__ == "__main__":
    main()
