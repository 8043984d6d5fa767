"""What is told of this record, with the numbers as report.csv has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = "experiments/smith2017_fig1a_cpu/README.md"
SETTINGS = (
    "arXiv 1708.07120",
    "One triangle to lr 0.75",
    "at 0.0875: their rates, 3 and 0.35,",
    "**one triangle, lr_max 0.75**",
    "piecewise constant, lr 0.0875 |",
    "95 % interval",
    "Python 3.11, TensorFlow 2.21.0, Keras 3.15.1",
)


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    theirs, ours = (row for _, row in pd.read_csv(HERE / "report.csv").iterrows())
    said = [f"{100 * row.final_mean:.2f} ± {100 * row.final_std:.2f}" for row in (ours, theirs)]
    between = f"interval [{100 * ours.difference_low:.1f}, {100 * ours.difference_high:.1f}]"
    ahead = f"ends {100 * ours.difference_mean:.1f} points ahead"
    yield PAGE, f"| **one triangle, lr_max 0.75** | **{said[0]}** |"
    yield PAGE, f"| piecewise constant, lr 0.0875 | {said[1]} |"
    yield PAGE, f"{ahead}, 95 % {between}, Welch's p = {ours.difference_p:.3f}"
    yield PAGE, f"after {ours.step_to_target_mean:.0f} ± {ours.step_to_target_std:.0f} of its own {ours.steps_mean:.0f}"
    yield "README.md", ahead
    first_screen = f"{100 * ours.final_mean:.1f} against {100 * theirs.final_mean:.1f} %"
    yield "README.md", f"[{first_screen}](experiments/smith2017_fig1a_cpu/README.md), {between}"
    both = f"{100 * ours.final_mean:.2f} against {100 * theirs.final_mean:.2f} %"
    yield "docs/evidence.md", f"{both} in as many steps, {between}"
