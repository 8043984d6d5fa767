"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/batch_statistics/README.md"
SETTINGS = ("with lr_max 0.3",)
ENOUGH = 20  # memories


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    found = pd.read_csv(HERE / "results.csv").groupby(["momentum", "batches"])[["averages", "computed"]]
    means = (100 * found.mean()).reset_index()
    means["memories"] = means.batches * (1 - means.momentum)
    for row in means.itertuples():
        both = f"{row.averages:.1f} | {row.computed:.1f}"
        yield PAGE, f"| {row.momentum} | {row.batches:,} | {row.memories:.1f} | {both} |"
    gained = means.computed - means.averages
    most = gained[means.memories > ENOUGH].abs().max()
    yield PAGE, f"the same within {math.ceil(10 * most) / 10} points"
    yield PAGE, f"cost up to {gained.max():.0f} points"
    slow = means[means.momentum == 0.99].set_index("batches")
    pairs = [(slow.averages[batches], slow.computed[batches]) for batches in (64, 315, 1250)]
    yield "docs/library.md", ", ".join(f"{without:.1f} % against {with_:.1f} %" for without, with_ in pairs)
    yield "docs/evidence.md", "315 batches: {:.1f} % without, {:.1f} % with".format(*pairs[1])
