"""Words in pictures: names at lines' ends or in a legend, and small print below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots import literal
from sconv.plots.figures import GREY
from sconv.report.strokes import Stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "inverted_triangle": "v"}
LABELLED = 8  # lines that have their names at their ends; more have a legend
_LONGEST = 100  # characters of a label: of more, nothing would be left for the curves


def print_below(figure: Figure, text: str) -> None:
    """Small print below a picture: what it shows, and of what."""
    if text:
        width = int(figure.get_figwidth() * 19)
        lines = [line for part in text.split("\n") for line in textwrap.wrap(literal(part), width)]
        height = 0.13 * len(lines)
        figure.set_figheight(figure.get_figheight() + height)
        words: Any = {"x": 0.01, "ha": "left", "fontsize": 6.5, "color": GREY}
        figure.supxlabel("\n".join(lines), **words)


def short(label: str) -> str:
    """A label that leaves room for what it labels."""
    return literal(label if len(label) <= _LONGEST else f"{label[: _LONGEST - 3]}...")


def label_ends(axis: Axes, ends: Sequence[tuple[float, float, str, Stroke]]) -> None:
    """Names right of the panel, each at the height of its line's end or as near as the others leave room."""
    apart = 0.075  # of the height of a panel, a line of small print
    axis.get_xlim(), axis.get_ylim()  # which settles them
    to_panel = axis.transData - axis.transAxes  # whatever the scale
    heights = [float(np.clip(to_panel.transform((x, y))[1], 0, 1)) for x, y, _, _ in ends]
    for place, (x, y, label, stroke) in zip(spread(heights, apart), ends, strict=True):
        # So thin that none is taken for a curve.
        leader: Any = {"arrowstyle": "-", "relpos": (0, 0.5), "linewidth": 0.6, "linestyle": (0, (1, 3))}
        leader["color"] = stroke.colour
        axis.annotate(
            short(label), (x, y), (1.06, place), textcoords="axes fraction", va="center", size=8, color=stroke.colour,
            arrowprops=leader,
        )  # fmt: skip


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """The heights, moved so that all are `apart` at least and in the same order, about the middle of each crowd."""
    order = np.argsort(heights, kind="stable")
    crowds: list[list[float]] = []  # the heights wanted by labels that touch
    for wanted in (heights[place] for place in order):
        crowds.append([wanted])
        while len(crowds) > 1 and _lowest(crowds[-1], apart) < _lowest(crowds[-2], apart) + apart * len(crowds[-2]):
            crowds[-2:] = [crowds[-2] + crowds[-1]]
    placed = [_lowest(crowd, apart) + apart * number for crowd in crowds for number in range(len(crowd))]
    return [placed[int(rank)] for rank in np.argsort(order)]


def _lowest(crowd: Sequence[float], apart: float) -> float:
    return float(np.mean(crowd)) - apart * (len(crowd) - 1) / 2


def legend(figure: Figure, groups: Sequence[tuple[str, Stroke]]) -> None:
    """All names above a picture, which grows by the room that they take."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=stroke.colour, linestyle=stroke.dash, marker=MARKERS[stroke.marker], markersize=3.5)
        for _, stroke in groups
    ]
    names = [short(label) for label, _ in groups]
    columns = max(1, int(figure.get_figwidth() / (0.6 + 0.075 * max(map(len, names)))))
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False, fontsize="small")
