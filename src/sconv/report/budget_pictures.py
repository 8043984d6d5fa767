"""The budget chart: what separately trained runs end at against their steps, and the gap between schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots import new_figure
from sconv.report import factors, lettering, verdict
from sconv.report.budgets import Budget, Chart, Line
from sconv.report.lettering import MARKERS
from sconv.report.statistics import FEWEST
from sconv.report.strokes import Stroke, strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANE = 0.065  # of the height of the panel, from the words of one gap to those of the next


def looks(chart: Chart) -> list[Stroke]:
    """How each line of a chart is drawn, as the groups are in the other pictures."""
    first = [line.budgets[0].group for line in chart.lines]
    return strokes(first, [line.budgets[0].group for line in chart.lines if line.is_baseline])


def interval(budget: Budget) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t; None of fewer than three seeds, of which it says nothing."""
    from scipy.stats import t

    count = len(budget.ends)
    if count < FEWEST:
        return None
    half = float(t.ppf(0.975, count - 1) * np.std(budget.ends, ddof=1) / np.sqrt(count))
    mean = float(np.mean(budget.ends))
    return mean - half, mean + half


def needed(line: Line, target: float) -> float | None:
    """The steps at which the line through the means first reaches the target; None where it does not."""
    means = np.array([[np.mean(ends) for _, ends in line.points]])
    steps = float(factors.steps_to(np.array([target]), np.array([at for at, _ in line.points]), means)[0])
    return steps if np.isfinite(steps) else None


def draw(chart: Chart, below: str) -> Figure:
    """A dot a seed, a line through the means with their intervals, the gaps with what they are worth."""
    room = 0.075 * max(len(lettering.short(line.label)) for line in chart.lines)
    figure = new_figure(6.6 + room, 4.4, "constrained")
    axis = figure.subplots()
    for line, stroke in zip(chart.lines, looks(chart), strict=True):
        _line(axis, line, stroke)
    axis.set_xscale("log")
    steps = sorted({budget.steps for line in chart.lines for budget in line.budgets})
    axis.set_xticks(steps, [f"{at:,.0f}" for at in steps])
    axis.set_xticks([], minor=True)
    dots = [end for line in chart.lines for budget in line.budgets for end in budget.ends]
    margin = 0.08 * (max(dots) - min(dots) or 0.1)
    # An interval of three seeds may be much longer than all that was seen; then it runs out of the picture.
    axis.set_ylim(min(dots) - 2 * margin, min(1.0, max(dots) + margin))
    axis.grid(alpha=0.3)
    axis.set_xlabel("steps of training, each point a run of its own")
    axis.set_ylabel("final test accuracy")
    axis.set_title(chart.name, fontsize="medium")
    ends = [(line.budgets[-1].steps, float(np.mean(line.budgets[-1].ends))) for line in chart.lines]
    named = zip(ends, chart.lines, looks(chart), strict=True)
    lettering.label_ends(axis, [(*end, line.label, stroke) for end, line, stroke in named])
    _gaps(axis, chart)
    lettering.print_below(figure, below)
    return figure


def _line(axis: Axes, line: Line, stroke: Stroke) -> None:
    look: Any = {"color": stroke.colour}
    at = [budget.steps for budget in line.budgets]
    means = [float(np.mean(budget.ends)) for budget in line.budgets]
    axis.plot(at, means, linestyle=stroke.dash, marker=MARKERS[stroke.marker], linewidth=1.8, markersize=6, **look)
    for budget in line.budgets:
        seeds = len(budget.ends)
        axis.plot([budget.steps] * seeds, budget.ends, "o", markersize=4, alpha=0.55, markeredgewidth=0, **look)
        if (bounds := interval(budget)) is not None:
            axis.plot([budget.steps] * 2, bounds, linewidth=1, marker="_", markersize=6, alpha=0.8, **look)


def _gaps(axis: Axes, chart: Chart) -> None:
    """From the baseline's steps to those of each other line, and what each gap is worth."""
    if chart.target is None or chart.taken is None:
        return
    axis.axhline(chart.target, color="black", linewidth=0.7, linestyle=(0, (4, 4)), alpha=0.5)
    lane = 0
    for line, stroke in reversed([*zip(chart.lines, looks(chart), strict=True)]):
        if line.fewer is None:
            continue
        at, words = needed(line, chart.target), f"{line.label}: {verdict.fewer(line.fewer)}"
        if at is not None:
            arrow = {"arrowstyle": "<->", "color": stroke.colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
            axis.annotate("", (at, chart.target), (chart.taken, chart.target), arrowprops=arrow)
        # Below the right end of rising curves is room.
        axis.text(0.98, 0.03 + LANE * lane, words, transform=axis.transAxes, ha="right", size=9, color=stroke.colour)
        lane += 1
