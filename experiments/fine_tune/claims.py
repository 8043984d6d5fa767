"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/fine_tune/README.md"
# The first is of the network that all begin with, printed by measure.py and not kept.
SETTINGS = ("(79.4 % on their test)", "from 0.1 to 1")
HOW = ["fine_tune", "head", "plain"]


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    measured = pd.read_csv(HERE / "results.csv")
    means = 100 * measured.pivot_table("accuracy", ["images_a_class", "rate"], "how")[HOW]
    for (each, rate), row in means.iterrows():
        yield PAGE, f"| {each} | {rate:g} | {' | '.join(f'{value:.1f}' for value in row)} |"
    bests = means.groupby("images_a_class").max()
    for each, best in bests.iterrows():
        line = "{:.1f} %, {:.1f} % and {:.1f} %".format(*best) + f" from {each} images a class"
        yield PAGE, line
        yield "docs/library.md", line
    hundred = bests.loc[100]
    both = f"{hundred.fine_tune:.1f} against {hundred.plain:.1f} %"
    yield "docs/evidence.md", f"{both} for plain fine-tuning from 100 images"
    loses = bests - means.query("rate >= 0.1").groupby("images_a_class").min()
    ours, plain = (" to ".join(f"{value:.0f}" for value in sorted(loses[how])) for how in ("fine_tune", "plain"))
    yield PAGE, f"it loses {ours} points of its best where plain fine-tuning loses {plain}"
