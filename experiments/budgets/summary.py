"""The tables and the picture of the page, from results.csv.

    python -m experiments.budgets.summary    # puts them into README.md, and draws a picture a task

Needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sconv.plots.figures import COLOURS, DASHES, GREY, new_figure
from sconv.report import factors, lettering
from sconv.report.strokes import Stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent
SEEDS, DRAWS = 5, 4_000
DEAD = 0.2  # an accuracy below: ten classes, of which such a network tells one or two
CYCLES = ("onecycle_fastai", "onecycle")
TITLES = {
    "lenet5-fashion_10k": "LeNet-5, 10,000 of Fashion-MNIST",
    "normalised-cifar10_5k": "three normalised convolutions, 5,000 of CIFAR-10",
}
NAMES = {
    "constant": "constant",
    "step": "step",
    "cosine": "cosine",
    "line": "straight line to 0",
    "warmup_stable_decay": "warm-up, stable, decay",
    "onecycle": "1cycle, three phases",
    "onecycle_fastai": "1cycle, two phases",
    "adam": "constant, Adam",
    "adam_onecycle": "1cycle, two phases, Adam",
    "schedule_free": "schedule-free AdamW",
}
LOOKS = {
    name: Stroke(GREY if name == "constant" else COLOURS[at % len(COLOURS)], DASHES[at // len(COLOURS)], "circle")
    for at, name in enumerate(("onecycle_fastai", "onecycle", *(name for name in NAMES if name not in CYCLES)))
}
Budgets = list[tuple[float, np.ndarray]]  # epochs, rising, and what each seed ends at
Curves = dict[str, Budgets]  # of each schedule


def read() -> dict[str, Curves]:
    """The budgets of each task that every schedule begun has been through; shares of right answers on test data."""
    rows = pd.read_csv(HERE / "results.csv")
    found: dict[str, Curves] = {}
    for task, mine in rows[rows.part == "test"].groupby("task", sort=False):
        ends = mine.groupby(["schedule", "epochs"]).test.apply(np.array).to_dict()
        ends = {key: seeds for key, seeds in ends.items() if len(seeds) == SEEDS}
        begun = [name for name in NAMES if any(schedule == name for schedule, _ in ends)]
        complete = sorted(at for at in set(mine.epochs) if all((name, at) in ends for name in begun))
        if len(complete) > 1:
            found[str(task)] = {name: [(at, ends[name, at]) for at in complete] for name in begun}
    if any(not {"constant", *CYCLES} <= curves.keys() for curves in found.values()):
        raise ValueError("results.csv: lacks constant or a cycle, expected both in every task")
    return found


def accuracies(task: str, curves: Curves) -> Iterator[str]:
    """A line a schedule: the median at each budget, the power of two that was best, and how many of the seeds died."""
    rows = pd.read_csv(HERE / "results.csv")
    for name, budgets in curves.items():
        mine = rows[(rows.task == task) & (rows.schedule == name)]
        cells = []
        for epochs, seeds in budgets:
            here = mine[mine.epochs == epochs]
            best = here[here.part == "test"].lr_max.iloc[0]
            edge = "at the edge" if best in (here.lr_max.min(), here.lr_max.max()) else ""
            dead = f"{(seeds < DEAD).sum()} died" if (seeds < DEAD).any() else ""
            notes = "; ".join(filter(None, (f"2^{np.log2(best):.0f}", edge, dead)))
            cells.append(f"{100 * np.median(seeds):.2f} ({notes})")
        yield f"| {NAMES[name]} | " + " | ".join(cells) + " |"


def medians(budgets: Budgets, draws: int = 0) -> np.ndarray:
    """The median of each budget, a budget a column; of so many draws from its seeds, a draw a row."""
    if not draws:
        return np.array([[np.median(seeds) for _, seeds in budgets]])
    random = np.random.default_rng(0)
    picked = [seeds[random.integers(0, len(seeds), (draws, len(seeds)))] for _, seeds in budgets]
    return np.stack([np.median(each, axis=1) for each in picked], axis=1)


def ratios(baseline: Budgets, other: Budgets, targets: np.ndarray | None, draws: int = 0) -> np.ndarray:
    """Epochs of the baseline over those of the other, a draw a row and a target a column; no targets: to its best."""
    found = [medians(budgets, draws) for budgets in (baseline, other)]
    wanted = found[0].max(axis=1, keepdims=True) if targets is None else np.tile(targets, (len(found[0]), 1))
    taken, needed = (
        factors.steps_to(
            wanted.ravel(), np.array([at for at, _ in budgets], float), np.repeat(each, wanted.shape[1], 0)
        )
        for budgets, each in zip((baseline, other), found, strict=True)
    )
    known = np.isfinite(taken)
    return np.divide(taken, needed, out=np.full_like(taken, np.inf), where=known).reshape(wanted.shape)


def fewer(baseline: Budgets, other: Budgets) -> factors.Fewer:
    """Times fewer epochs to the best median of the baseline."""
    low, high = np.quantile(ratios(baseline, other, None, DRAWS), [0.025, 0.975], method="nearest")
    value = float(ratios(baseline, other, None)[0, 0])
    best = baseline[int(medians(baseline)[0].argmax())][0]
    return factors.Fewer(value, float(low), float(high), best / other[0][0])


def along(baseline: Budgets, other: Budgets) -> factors.Along | None:
    """The same for targets from the baseline's first median to its best; None where it does not rise."""
    least, most = float(medians(baseline)[0, 0]), float(medians(baseline).max())
    if most <= least:
        return None
    targets = np.linspace(least, most, 60)
    low, high = np.quantile(ratios(baseline, other, targets, DRAWS), [0.025, 0.975], axis=0, method="nearest")
    bounded = targets <= medians(other)[0, 0]
    return factors.Along(targets, ratios(baseline, other, targets)[0], low, high, bounded)


def reached(budgets: Budgets) -> str:
    """What a schedule ends at, at its own best budget."""
    accuracy, epochs = max((float(np.median(seeds)), epochs) for epochs, seeds in budgets)
    return f"{100 * accuracy:.2f} % after {epochs}"


def told(found: factors.Fewer) -> str:
    """A factor with its interval; `≥`: the smallest budget is enough."""
    if found.undecided or found.value == 0:
        return "not told apart" if found.undecided else "never"
    least = "≥ " if found.value >= found.most else ""
    return f"{least}{found.value:.1f} [{found.low:.1f}, {_shown(found.high)}]"


def _shown(bound: float | None) -> str:
    return "any" if bound is None or not np.isfinite(bound) else f"{bound:.1f}"


def widest(found: factors.Along | None) -> tuple[float, float, float, float] | None:
    """The largest factor that is no lower bound, its interval, and its target; None of no such."""
    if found is None or found.low is None or found.high is None:
        return None
    exact = np.flatnonzero(~found.bounded & (found.value > 0))
    if not len(exact):
        return None
    at = exact[found.value[exact].argmax()]
    return float(found.value[at]), float(found.low[at]), float(found.high[at]), float(found.targets[at])


def strongest(curves: Curves) -> str:
    """The schedule, none of the cycles, that ends highest."""
    return max((name for name in curves if name not in CYCLES), key=lambda name: medians(curves[name]).max())


def speedups(task: str, curves: Curves) -> Iterator[str]:
    """A line a baseline: times fewer epochs that each cycle needs to where it ends, and where a cycle gains most."""
    for name, budgets in curves.items():
        if name in CYCLES:
            continue
        cells = [told(fewer(budgets, curves[cycle])) for cycle in CYCLES]
        most = widest(along(budgets, curves[CYCLES[0]]))
        cells.append(f"{most[0]:.1f} [{most[1]:.1f}, {_shown(most[2])}] at {100 * most[3]:.1f} %" if most else "none")
        yield f"| {TITLES[task]} | {NAMES[name]} | {reached(budgets)} | " + " | ".join(cells) + " |"


def draw(task: str, curves: Curves) -> None:
    """Accuracy against epochs, and how many times fewer epochs the cycle needs than each other schedule, by target."""
    figure = new_figure(12.5, 4.6, "constrained")
    left, right = figure.subplots(1, 2)
    for name, budgets in curves.items():
        look, at = LOOKS[name], [epochs for epochs, _ in budgets]
        width = 2.4 if name in CYCLES else 1.4
        left.plot(
            at,
            100 * medians(budgets)[0],
            color=look.colour,
            linestyle=look.dash,
            marker="o",
            markersize=4,
            linewidth=width,
        )
    at = [epochs for epochs, _ in curves["constant"]]
    left.set_xscale("log", base=2)
    left.set_xticks(at, [f"{epochs}" for epochs in at])
    left.set_xlabel("epochs of training, each point a training of its own at its own best rate")
    left.set_ylabel("test accuracy, %")
    ends = [(float(budgets[-1][0]), float(100 * np.median(budgets[-1][1])), name) for name, budgets in curves.items()]
    lettering.label_ends(left, [(x, y, NAMES[name], LOOKS[name]) for x, y, name in ends])
    _factors(right, curves)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.suptitle(TITLES[task], fontsize="medium")
    figure.savefig(HERE / f"{task}.png", dpi=120)


def _factors(axis: Axes, curves: Curves) -> None:
    ends = []
    for name, budgets in curves.items():
        found = None if name in CYCLES else along(budgets, curves[CYCLES[0]])
        if found is None:
            continue
        look, gets_there = LOOKS[name], found.value > 0
        for told_apart, strength in ((~found.bounded, 1.0), (found.bounded, 0.3)):
            shown = np.where(told_apart & gets_there, found.value, np.nan)
            axis.plot(100 * found.targets, shown, color=look.colour, linestyle=look.dash, alpha=strength)
        if name == "constant" and found.low is not None and found.high is not None:
            band = (np.clip(bound, 1e-3, 1e3) for bound in (found.low, found.high))
            axis.fill_between(100 * found.targets, *band, color=look.colour, alpha=0.18, linewidth=0)
        if gets_there.any():
            last = int(np.flatnonzero(gets_there)[-1])
            ends.append((float(100 * found.targets[last]), float(found.value[last]), NAMES[name], look))
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log", base=2)
    top = 1.5 * max([4.0, *(value for _, value, _, _ in ends)])
    axis.set_ylim(0.35, top)
    ticks = [tick for tick in (0.5, 1, 2, 4, 8, 16, 32) if tick < top]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks([], minor=True)
    axis.set_xlabel("target: test accuracy, %")
    axis.set_ylabel(f"times fewer epochs, {NAMES[CYCLES[0]]}")
    lettering.label_ends(axis, ends)


def main() -> None:
    page, tasks = HERE / "README.md", read()
    made = {"speedups": [line for task, curves in tasks.items() for line in speedups(task, curves)]}
    for task, curves in tasks.items():
        budgets = [f"{epochs} epochs" if epochs > 1 else "1 epoch" for epochs, _ in curves["constant"]]
        heading = [f"| {' | '.join((TITLES[task], *budgets))} |", "| --- |" + " ---: |" * len(budgets)]
        made[task] = [*heading, *accuracies(task, curves)]
        draw(task, curves)
    text = page.read_text()
    for name, lines in made.items():
        heading = r"\|.*\n\|.*\n" if name == "speedups" else ""
        body = "\n".join(lines) + "\n"
        text, found = re.subn(rf"(<!-- {name} -->\n{heading})(\|.*\n)*", lambda at, to=body: at[1] + to, text)
        if not found:
            raise ValueError(f"{page}: has no <!-- {name} -->, expected one for its table")
    page.write_text(text)


if __name__ == "__main__":
    main()
