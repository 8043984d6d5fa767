"""What is told of this record, with the numbers as momentum.csv has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/momentum/README.md"
SETTINGS: tuple[str, ...] = ()


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    table = pd.read_csv(HERE / "momentum.csv")
    first, count = table["set"][0], len(table)
    stuck = int((table["set"] == first).sum())
    asked = "each was made with the one that was asked for"
    followed = asked if np.allclose(table["sconv"], table["planned"], atol=2e-6) else f"not {asked}"  # six digits
    yield PAGE, f"Of {stuck} updates"
    yield PAGE, f"its first momentum, {first}. Under `sconv.OneCycleScheduler` {followed}"
    yield "README.md", f"**{stuck} of {count}** updates"
    yield "docs/evidence.md", f"of {stuck} updates all were made with the first one, {first}"
