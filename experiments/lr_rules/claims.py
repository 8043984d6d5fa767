"""What is told of this record, with the numbers as picks.csv has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/lr_rules/README.md"
SETTINGS: tuple[str, ...] = ()


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    picks = pd.read_csv(HERE / "picks.csv")
    lost = picks.pivot_table(index="pair", columns="rule", values="points_lost", sort=False)
    smith, mean = lost.smith, lost.mean()
    each = f"{smith.min():.1f} to {smith.max():.1f} on each"
    (_, first), (_, second) = across_halves(lost)
    worst = lost["smith/2/inf"].max()
    yield PAGE, f"`smith` loses **{mean.smith:.1f} points** on average against the best rate of a grid, {each}."
    yield PAGE, f"`valley`, loses {mean.valley:.1f}."
    yield PAGE, f"chosen on the first, it loses {first:.2f} points on the second, and {second:.2f} the other way round"
    yield PAGE, f"the rule loses {mean['smith/2/inf']:.1f} points on average and {worst:.1f} on the worst pair"
    yield "README.md", f"range test finds loses {mean.smith:.1f} points against the best of a grid"
    yield (
        "docs/evidence.md",
        f"On twelve: {mean.smith:.1f} points lost, {each}; `valley` loses {mean.valley:.1f}",
    )


def across_halves(lost: pd.DataFrame) -> list[tuple[str, float]]:
    """The variant of smith that is best on one half of the pairs, and its mean cost on the other; both ways round.

    The halves are by the order in pairs.py, which is older than any result.
    """
    variants = lost[[rule for rule in lost if rule.startswith("smith/")]]
    halves = variants.iloc[: len(variants) // 2], variants.iloc[len(variants) // 2 :]
    best = [half.mean().idxmin() for half in halves]
    return [(best[0], float(halves[1][best[0]].mean())), (best[1], float(halves[0][best[1]].mean()))]
