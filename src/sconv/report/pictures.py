"""Pictures that compare groups of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots import new_figure
from sconv.report import lettering
from sconv.report.curves import AXES, METRICS, Curves
from sconv.report.lettering import LABELLED, MARKERS, print_below, short
from sconv.report.statistics import TimeToTarget
from sconv.report.strokes import Stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED = 60  # points of a line that still have a marker each


def overlay(
    groups: Sequence[tuple[str, Stroke, Curves | None]], x: Sequence[str], y: Mapping[str, str], below: str = ""
) -> Figure:
    """A panel for each of the AXES `x` and each column of `y`, which has titles by names; `below` in small print.

    Each group, told by its label, is a line through the means over its seeds; of several, in a band of one deviation.
    """
    direct = len(groups) <= LABELLED
    room = 0.075 * max(len(short(label)) for label, _, _ in groups) if direct else 0.0
    figure = new_figure((4.2 * len(x) if len(x) > 1 else 6) + 0.4 + room, 2.6 * len(y) + 0.5, "constrained")
    panels = figure.subplots(len(y), len(x), squeeze=False, sharex="col", sharey="row")
    for row, (name, title) in zip(panels, y.items(), strict=True):
        drawn = [(label, stroke, found) for label, stroke, found in groups if found and name in found.columns]
        for axis, over in zip(row, x, strict=True):
            for _, stroke, found in drawn:
                _line(axis, found, over, name, stroke)
            axis.grid(alpha=0.3)
        _bound(row[0], title)
        row[0].set_ylabel(title)
        if direct:
            lettering.label_ends(
                row[-1], [(*_end(found, x[-1], name), label, stroke) for label, stroke, found in drawn]
            )
    for axis, over in zip(panels[-1], x, strict=True):
        axis.set_xlabel(AXES[over])
    if not direct:
        lettering.legend(figure, [(label, stroke) for label, stroke, _ in groups])
    print_below(figure, below)
    return figure


def time_to_target(groups: Sequence[tuple[str, Stroke, TimeToTarget]], title: str, below: str = "") -> Figure:
    """A point for each seed at what it spent until the target, a bar to the median; how many never got there in words.

    `title` of the axis says what is spent until what: "steps to the target test accuracy".
    """
    figure, axis = _rows([label for label, _, _ in groups], title, below)
    for number, (_, stroke, time) in enumerate(groups):
        if np.isfinite(time.median):
            axis.barh(number, time.median, height=0.6, color=stroke.colour, alpha=0.3)
        axis.plot(time.reached, [number] * len(time.reached), MARKERS[stroke.marker], color=stroke.colour, markersize=4)
        if time.never:
            words, end = f"not reached by {time.never} of {len(time.costs)}", max(time.reached, default=0)
            axis.annotate(words, (end, number), (6, 0), textcoords="offset points", va="center", size=8)
    furthest = max((cost for _, _, time in groups for cost in time.reached), default=1.0)
    # Room for the words at the end of the longest bar.
    axis.set_xlim(0, furthest * (1.6 if any(time.never for _, _, time in groups) else 1.05))
    return figure


def differences(
    rows: Sequence[tuple[str, Stroke, float, tuple[float, float] | None]], title: str, below: str
) -> Figure:
    """A forest plot: of each group, told by its label, the difference from its baseline and its interval, if any."""
    figure, axis = _rows([label for label, *_ in rows], title, below)
    for number, (_, stroke, mean, interval) in enumerate(rows):
        if interval is not None:
            axis.plot(interval, [number] * 2, color=stroke.colour, linewidth=2, marker="|", markersize=8)
        axis.plot([mean], [number], MARKERS[stroke.marker], color=stroke.colour, markersize=6)
    axis.axvline(0, color="black", linewidth=1)
    return figure


def _rows(labels: Sequence[str], title: str, below: str) -> tuple[Figure, Axes]:
    """A picture with a row for each label, the first at the top, and what is drawn along them."""
    shown = [short(label) for label in labels]
    figure = new_figure(7 + 0.07 * max(0, max(map(len, shown)) - 40), 1.2 + 0.36 * len(shown), "constrained")
    axis = figure.subplots()
    axis.set_yticks(range(len(shown)), shown)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlabel(title)
    axis.grid(axis="x", alpha=0.3)
    print_below(figure, below)
    return figure, axis


def _line(axis: Axes, found: Curves, over: str, name: str, stroke: Stroke) -> None:
    at, mean = found.mean(over), found.mean(name)
    marker = MARKERS[stroke.marker] if name in METRICS and len(at) <= MARKED else None
    look: Any = {"color": stroke.colour, "linestyle": stroke.dash, "marker": marker}
    axis.plot(at, mean, linewidth=1.6, markersize=3.5, **look)
    if found.seeds > 1:
        band = found.deviation(name)
        axis.fill_between(at, mean - band, mean + band, color=stroke.colour, alpha=0.15, linewidth=0)


def _end(found: Curves, over: str, name: str) -> tuple[float, float]:
    return float(found.mean(over)[-1]), float(found.mean(name)[-1])


def _bound(axis: Axes, title: str) -> None:
    """No accuracy above 1, no loss below 0: there is nothing."""
    if title.endswith("accuracy"):
        axis.set_ylim(top=min(1.0, axis.get_ylim()[1]))
    elif title.endswith("loss"):
        axis.set_ylim(bottom=0)
