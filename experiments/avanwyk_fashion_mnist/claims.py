"""What is told of this record, with the numbers as report.csv has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
PAGE = "experiments/avanwyk_fashion_mnist/README.md"
SETTINGS = (
    "1cycle (fastai) | 0.01 |",
    "1cycle (fastai) | 0.0025 |",
    "**0.005**",
    "constant | 0.0005 |",
    "constant | 0.001 |",
    "constant | 0.002 |",
    "**0.004**",
    "95 % interval",
    "usual rate of 0.001",
    "Python 3.11, TensorFlow 2.21.0, Keras 3.15.1",
    "asked for 0.95 to 0.85",
)


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    groups = pd.read_csv(HERE / "report.csv")
    groups["rate"] = groups.group.str.extract(r"lr_max=(\S+)")[0]
    groups = groups.set_index("rate")
    said = {rate: f"{100 * row.final_mean:.2f} ± {100 * row.final_std:.2f}" for rate, row in groups.iterrows()}
    for rate, accuracy in said.items():
        ours = "baseline" not in groups.group[rate]
        best = rate in ("0.005", "0.004")
        cells = ["1cycle (fastai)" if ours else "piecewise constant", rate, accuracy]
        yield PAGE, "| " + " | ".join(f"**{cell}**" if best else cell for cell in cells) + " |"
    yield "README.md", f"| 1cycle, lr_max 0.005 | {said['0.005']} |"
    yield "README.md", f"| piecewise constant, its best of four rates (0.004) | {said['0.004']} |"
    yield "README.md", f"| piecewise constant at 0.001, the optimizer's usual rate | {said['0.001']} |"
    ours, theirs, usual = (groups.loc[rate] for rate in ("0.005", "0.004", "0.001"))
    test = stats.ttest_ind_from_stats(
        *(ours.final_mean, ours.final_std, ours.finished),
        *(theirs.final_mean, theirs.final_std, theirs.finished),
        equal_var=False,
    )
    ahead, low, high = (100 * value for value in (ours.final_mean - theirs.final_mean, *interval(ours, theirs)))
    usually = 100 * (ours.final_mean - usual.final_mean)
    between = f"95 % interval [{low:+.2f}, {high:+.2f}]"
    yield PAGE, f"{ahead:+.2f} percentage points, {between}, Welch's p = {test.pvalue:.2f}"
    yield PAGE, f"1cycle at its own best is {usually:.1f} points ahead"
    yield "README.md", f"1cycle is {usually:.1f} points ahead of the usual rate"
    yield "README.md", f"({ahead:+.2f}, {between})"
    both = f"{100 * ours.final_mean:.2f} against {100 * theirs.final_mean:.2f} %"
    yield "docs/evidence.md", f"no: {both}, 95 % interval of the difference [{low:+.2f}, {high:+.2f}]"
    yield "docs/evidence.md", f"Against the optimizer's usual rate, by {usually:.1f} points"


def interval(ours: pd.Series, theirs: pd.Series) -> tuple[float, float]:
    """Welch's interval of the difference, at 95 %."""
    parts = [group.final_std**2 / group.finished for group in (ours, theirs)]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (group.finished - 1) for part, group in zip(parts, (ours, theirs), strict=True)
    )
    middle, width = ours.final_mean - theirs.final_mean, stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5
    return middle - width, middle + width
