"""Pictures that compare groups of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots import literal, new_figure, stroke

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Line:
    """One group of runs in a picture: `x` and `y` by the names of the axes, `band` the deviation of some of `y`."""

    label: str
    x: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray]
    band: Mapping[str, np.ndarray] = field(default_factory=dict)


def overlay(lines: Sequence[Line], x: Sequence[str], y: Sequence[str]) -> Figure:
    """A panel for each pair of `x` (columns) and `y` (rows), a line for each group, one legend below all."""
    legend = 0.25 * -(-len(lines) // _LEGEND_COLUMNS)
    figure = new_figure(4.2 * len(x) + 0.4, 2.6 * len(y) + 0.4 + legend, "constrained")
    panels = figure.subplots(len(y), len(x), squeeze=False, sharex="col", sharey="row")
    for row, name in enumerate(y):
        for column, over in enumerate(x):
            for number, line in enumerate(lines):
                _draw(panels[row, column], number, line, over, name)
            panels[row, column].grid(alpha=0.3)
        panels[row, 0].set_ylabel(name)
    for column, over in enumerate(x):
        panels[-1, column].set_xlabel(over)
    _legend(figure, lines)
    return figure


def time_to_target(groups: Sequence[tuple[str, Sequence[float | None]]], title: str) -> Figure:
    """A point for each seed at what it spent until the target, a bar at the mean; how many never got there in words.

    `title` of the axis says what is spent until what: "steps to the target test accuracy".
    """
    figure = new_figure(7, 0.9 + 0.38 * len(groups), "constrained")
    axis = figure.subplots()
    for number, (_, costs) in enumerate(groups):
        reached = [cost for cost in costs if cost is not None]
        colour, _ = stroke(number)
        if reached:
            axis.barh(number, np.mean(reached), height=0.6, color=colour, alpha=0.3)
            axis.plot(reached, [number] * len(reached), "o", color=colour, markersize=4)
        if len(reached) < len(costs):
            words = f"never reached by {len(costs) - len(reached)} of {len(costs)}"
            axis.annotate(
                words, (max(reached, default=0), number), (6, 0), textcoords="offset points", va="center", size=8
            )
    axis.set_yticks(range(len(groups)), [literal(label) for label, _ in groups])
    axis.invert_yaxis()
    furthest = max((cost for _, costs in groups for cost in costs if cost is not None), default=1.0)
    # Room for the words at the end of the longest bar.
    axis.set_xlim(0, furthest * (1.4 if any(None in costs for _, costs in groups) else 1.05))
    axis.margins(y=0.02)
    axis.set_xlabel(title)
    axis.grid(axis="x", alpha=0.3)
    return figure


_LEGEND_COLUMNS = 3


def _draw(axis: Any, number: int, line: Line, over: str, name: str) -> None:
    if over not in line.x or name not in line.y:
        return
    colour, dash = stroke(number)
    x, y = line.x[over], line.y[name]
    axis.plot(x, y, color=colour, linestyle=dash, linewidth=1.6)
    if name in line.band:
        axis.fill_between(x, y - line.band[name], y + line.band[name], color=colour, alpha=0.18, linewidth=0)


def _legend(figure: Figure, lines: Sequence[Line]) -> None:
    from matplotlib.lines import Line2D

    strokes = [stroke(number) for number in range(len(lines))]
    handles = [Line2D([], [], color=colour, linestyle=dash) for colour, dash in strokes]
    columns = min(_LEGEND_COLUMNS, len(lines))
    labels = [literal(line.label) for line in lines]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
