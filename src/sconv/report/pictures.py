"""Pictures that compare groups of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sconv.plots import literal, new_figure, stroke
from sconv.report.curves import AXES, Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND_COLUMNS = 3
_LONGEST = 100  # characters of a label: of more, nothing would be left for the curves


def overlay(groups: Sequence[tuple[str, Curves | None]], x: Sequence[str], y: Mapping[str, str]) -> Figure:
    """A panel for each of the AXES `x` and each column of `y`, which has titles by names, with one legend below all.

    Each group, told by its label, is a line through the means over its seeds; of several, in a band of one deviation.
    """
    from matplotlib.lines import Line2D

    legend = 0.25 * -(-len(groups) // _LEGEND_COLUMNS)
    figure = new_figure(4.2 * len(x) + 0.4, 2.6 * len(y) + 0.4 + legend, "constrained")
    panels = figure.subplots(len(y), len(x), squeeze=False, sharex="col", sharey="row")
    strokes = [stroke(number) for number in range(len(groups))]
    for row, (name, title) in zip(panels, y.items(), strict=True):
        for axis, over in zip(row, x, strict=True):
            for (colour, dash), (_, found) in zip(strokes, groups, strict=True):
                if found is None or name not in found.columns:
                    continue
                at, mean = found.mean(over), found.mean(name)
                axis.plot(at, mean, color=colour, linestyle=dash, linewidth=1.6)
                if found.seeds > 1:
                    band = found.deviation(name)
                    axis.fill_between(at, mean - band, mean + band, color=colour, alpha=0.18, linewidth=0)
            axis.grid(alpha=0.3)
        row[0].set_ylabel(title)
    for axis, over in zip(panels[-1], x, strict=True):
        axis.set_xlabel(AXES[over])
    handles = [Line2D([], [], color=colour, linestyle=dash) for colour, dash in strokes]
    columns, labels = min(_LEGEND_COLUMNS, len(groups)), [_short(label) for label, _ in groups]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
    return figure


def time_to_target(groups: Sequence[tuple[str, Sequence[float | None]]], title: str) -> Figure:
    """A point for each seed at what it spent until the target, a bar at the mean; how many never got there in words.

    `title` of the axis says what is spent until what: "steps to the target test accuracy".
    """
    labels = [_short(label) for label, _ in groups]
    figure = new_figure(7 + 0.07 * max(0, max(map(len, labels)) - 40), 0.9 + 0.38 * len(groups), "constrained")
    axis = figure.subplots()
    for number, (_, costs) in enumerate(groups):
        reached = [cost for cost in costs if cost is not None]
        colour, _ = stroke(number)
        if reached:
            axis.barh(number, np.mean(reached), height=0.6, color=colour, alpha=0.3)
            axis.plot(reached, [number] * len(reached), "o", color=colour, markersize=4)
        if len(reached) < len(costs):
            words, end = f"never reached by {len(costs) - len(reached)} of {len(costs)}", max(reached, default=0)
            axis.annotate(words, (end, number), (6, 0), textcoords="offset points", va="center", size=8)
    axis.set_yticks(range(len(groups)), labels)
    axis.invert_yaxis()
    furthest = max((cost for _, costs in groups for cost in costs if cost is not None), default=1.0)
    # Room for the words at the end of the longest bar.
    axis.set_xlim(0, furthest * (1.4 if any(None in costs for _, costs in groups) else 1.05))
    axis.margins(y=0.02)
    axis.set_xlabel(title)
    axis.grid(axis="x", alpha=0.3)
    return figure


def _short(label: str) -> str:
    return literal(label if len(label) <= _LONGEST else f"{label[: _LONGEST - 3]}...")
