"""Pictures over all targets, where no single one would be the right one: factors in steps, and performance profiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sconv.plots import new_figure
from sconv.report import budget_pictures, factors, lettering, verdict
from sconv.report.budgets import Chart
from sconv.report.comparison import Row
from sconv.report.statistics import FEWEST_FOR_MEDIANS
from sconv.report.strokes import Stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Named = dict[str, tuple[str, "Figure"]]  # title and picture of each file


def pictures(charts: Sequence[Chart], rows: Sequence[Row], looks: Sequence[Stroke], made_of: str) -> Named:
    """Every such picture that there is something for."""
    compared = [chart for chart in charts if chart.baseline and any(line.fewer for line in chart.lines)]
    found = {
        _name("factors", number, compared): (f"times fewer steps, {chart.name}", picture)
        for number, chart in enumerate(compared)
        if (picture := by_target(chart, made_of))
    }
    # On several budgets the factors say more.
    told = [line.budgets[0].group.node("dataset") for chart in compared for line in chart.lines]
    alike: dict[str, list[tuple[Row, Stroke]]] = {}
    for row, look in zip(rows, looks, strict=True):
        dataset = row.group.node("dataset")
        if row.test and row.test.n >= FEWEST_FOR_MEDIANS and dataset not in told:
            key = json.dumps([dataset, row.group.config.get("epochs")], default=str)
            alike.setdefault(key, []).append((row, look))
    several = [members for members in alike.values() if len(members) > 1]
    for number, members in enumerate(several):
        title = f"performance profile, {members[0][0].group.choices.get('dataset', '?')}"
        found[_name("profile", number, several)] = (title, profile(members, made_of))
    return found


def _name(what: str, number: int, of: Sequence[object]) -> str:
    return f"{what}.png" if len(of) == 1 else f"{what}-{number}.png"


def by_target(chart: Chart, made_of: str) -> Figure | None:
    """How many times fewer steps each line of a budget chart needs than its baseline, by target; None of no target."""
    baseline = chart.baseline
    if baseline is None:
        return None
    drawn = [
        (line, look, found)
        for line, look in zip(chart.lines, budget_pictures.looks(chart), strict=True)
        if line.fewer and (found := factors.along(baseline.points, line.points))
    ]
    if not drawn:
        return None
    room = 0.075 * max(len(lettering.short(line.label)) for line, _, _ in drawn)
    figure = new_figure(6.2 + room, 3.8, "constrained")
    axis = figure.subplots()
    ends = []
    for line, look, found in drawn:
        reached = found.value > 0
        value = np.where(reached, found.value, np.nan)
        for told, strength in ((~found.bounded, 1.0), (found.bounded, 0.35)):
            shown = np.where(told, value, np.nan)
            axis.plot(found.targets, shown, color=look.colour, linestyle=look.dash, linewidth=1.8, alpha=strength)
        if found.low is not None and found.high is not None:
            # What does not reach a target at all runs out of the picture.
            low, high = (np.clip(end, 1e-3, 1e3) for end in (found.low, found.high))
            axis.fill_between(found.targets, low, high, where=reached, color=look.colour, alpha=0.12, linewidth=0)
        if reached.any():
            last = int(np.flatnonzero(reached)[-1])
            ends.append((float(found.targets[last]), float(found.value[last]), line.label, look))
    values = np.concatenate([found.value[found.value > 0] for _, _, found in drawn])
    top = max(2.0, 1.5 * float(values.max(initial=1)))
    bottom = min(0.5, float(values.min(initial=1)) / 1.5)
    axis.set_yscale("log", base=2)
    axis.set_ylim(bottom, top)
    ticks = [2.0**power for power in range(int(np.ceil(np.log2(bottom))), int(np.log2(top)) + 1)]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks([], minor=True)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.grid(alpha=0.3)
    axis.set_xlabel("target: final test accuracy")
    axis.set_ylabel(f"times fewer steps than {lettering.short(baseline.label)}")
    axis.set_title(chart.name, fontsize="medium")
    lettering.label_ends(axis, ends)
    counts = verdict.n({len(budget.ends) for line in chart.lines for budget in line.budgets})
    below = (
        f"Steps of {baseline.label} to each target over those of each schedule, between budgets with an error that "
        f"falls as a power of the steps; bands: pointwise 95 % bootstrap intervals over seeds, {counts}. Pale: at "
        "least as many, as the smallest budget is enough. A line ends where its schedule does not get there."
    )
    lettering.print_below(figure, f"{below}\n{made_of}")
    return figure


def profile(members: Sequence[tuple[Row, Stroke]], made_of: str) -> Figure:
    """The share of a group's seeds that end at or above each accuracy, with Wilson's interval of the share.

    These are the score distributions of Agarwal et al. 2021 (arXiv 2108.13264), here of one task.
    """
    labels = [row.group.label for row, _ in members]
    direct = len(members) <= lettering.LABELLED
    room = 0.075 * max(map(len, map(lettering.short, labels))) if direct else 0.0
    figure = new_figure(6.2 + room, 3.4, "constrained")
    axis = figure.subplots()
    ends = [sorted(row.group.accuracies("test")) for row, _ in members]
    lowest, highest = min(each[0] for each in ends), max(each[-1] for each in ends)
    margin = 0.05 * (highest - lowest or 0.1)
    for (_, look), accuracies in zip(members, ends, strict=True):
        _staircase(axis, accuracies, (lowest - margin, highest + margin), look)
    axis.set_xlim(lowest - margin, highest + margin)
    axis.set_ylim(0, 1.02)
    axis.grid(alpha=0.3)
    axis.set_xlabel("test accuracy")
    axis.set_ylabel("share of seeds that end there or above")
    if direct:
        middles = [
            (float(np.median(each)), 0.5, label, look)
            for each, label, (_, look) in zip(ends, labels, members, strict=True)
        ]
        lettering.label_ends(axis, middles)
    else:
        lettering.legend(figure, [(row.group.label, look) for row, look in members])
    counts = verdict.n({len(each) for each in ends})
    lettering.print_below(
        figure, f"Further right is better; bands: 95 % interval of the share (Wilson), {counts}.\n{made_of}"
    )
    return figure


def _staircase(axis: Axes, accuracies: Sequence[float], span: tuple[float, float], look: Stroke) -> None:
    from scipy.stats import binomtest

    count = len(accuracies)
    at = [span[0], *accuracies, span[1]]
    left = [count, *range(count, -1, -1)]  # seeds that end at or above, up to each place
    bounds = np.array([binomtest(above, count).proportion_ci(0.95, "wilson") for above in left])
    axis.step(at, [above / count for above in left], color=look.colour, linestyle=look.dash, linewidth=1.8)
    axis.fill_between(at, bounds[:, 0], bounds[:, 1], step="pre", color=look.colour, alpha=0.12, linewidth=0)
