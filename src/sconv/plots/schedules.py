"""Pictures of schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots.figures import BLUE, GREY, ORANGE, literal, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

# Learning rates, momenta and knots: the updates, counted from 0, on which a phase ends.
Curves = tuple[np.ndarray, "np.ndarray | None", Sequence[int]]


def schedule(
    rates: np.ndarray,
    momenta: np.ndarray | None,
    title: str = "",
    knots: Sequence[int] = (),
    steps_per_epoch: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Learning rate, and momentum where there is one, against optimizer updates.

    `knots` are the updates, counted from 0, to mark; with `steps_per_epoch` a second axis counts epochs.
    Draws on `figure` where there is one, else on one that pyplot does not know.
    """
    rows = 1 if momenta is None else 2
    figure = figure or new_figure(7.2, 2.3 * rows + 0.9)
    # Fixed margins: a layout engine draws everything twice.
    edge = 0.55 / figure.get_figheight()
    grid = {"left": 0.11, "right": 0.98, "bottom": edge, "top": 1 - 1.35 * edge, "hspace": 0.08}
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    curves: list[Any] = [("learning rate", rates, BLUE), ("momentum", momenta, ORANGE)]
    for axis, (label, values, colour) in zip(axes, curves, strict=False):
        _curve(axis, values, knots, colour)
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.margins(y=0.12)
        if 0 < len(knots) <= 8:
            _tell_values(axis, values, knots)
    axes[-1].set_xlabel("optimizer updates")
    if steps_per_epoch:
        _epochs_on_top(axes[0], steps_per_epoch)
    if title:
        figure.suptitle(title)
    return figure


def sheet(schedules: Mapping[str, Curves]) -> Figure:
    """Many schedules, four side by side: of each, by name, the learning rates, the momenta and the knots.

    Learning rates from 0 to the highest of each; all momenta on one scale.
    """
    columns = min(4, len(schedules))
    rows = -(-len(schedules) // columns)
    figure = new_figure(2.4 * columns, 1.75 * rows)
    edge = 0.17 / rows
    grid = figure.add_gridspec(rows, columns, left=0.05, right=0.99, top=1 - edge, bottom=edge, hspace=0.28)
    told = [momenta for _, momenta, _ in schedules.values() if momenta is not None]
    ends = (min(map(np.min, told)), max(map(np.max, told))) if told else (0.0, 1.0)
    for number, (name, curves) in enumerate(schedules.items()):
        _panel(figure, grid[number], name, curves, ends)
    caption = "training from start to end; blue: learning rate, orange: momentum; dots: where a phase ends"
    figure.text(0.5, 0.02 / rows, caption, ha="center", va="bottom", fontsize=8, color=GREY)
    return figure


def _panel(figure: Figure, cell: SubplotSpec, name: str, curves: Curves, ends: tuple[float, float]) -> None:
    rates, momenta, knots = curves
    parts = cell.subgridspec(2, 1, height_ratios=[3, 1], hspace=0.14)
    upper, lower = figure.add_subplot(parts[0]), figure.add_subplot(parts[1])
    _curve(upper, rates, knots, BLUE)
    upper.set_title(literal(name), fontsize=9, fontweight="bold", pad=4)
    upper.set_ylim(-0.07 * rates.max(), 1.1 * rates.max())
    upper.set_yticks([0, rates.max()], ["0", f"{rates.max():.4g}"])
    lower.set_yticks(sorted({*ends}), [f"{end:.4g}" for end in sorted({*ends})])
    margin = 0.25 * (ends[1] - ends[0]) or 0.1
    lower.set_ylim(ends[0] - margin, ends[1] + margin)
    if momenta is None:
        words: Any = {"ha": "center", "va": "center", "fontsize": 7, "color": GREY}
        lower.text(0.5, 0.5, "momentum: the optimizer's own", transform=lower.transAxes, **words)
        lower.set_axis_off()
    else:
        _curve(lower, momenta, knots, ORANGE)
    for axis in (upper, lower):
        axis.set_xlim(-0.02 * len(rates), 1.02 * len(rates))
        axis.set_xticks([])
        axis.tick_params(labelsize=7, length=2)
        axis.spines[["top", "right"]].set_visible(False)


def _curve(axis: Axes, values: Any, knots: Sequence[int], colour: str) -> None:
    axis.plot(values, color=colour, linewidth=1.6, solid_joinstyle="round")
    if not len(knots):
        return
    marked = sorted({0, *knots})
    axis.plot(marked, [values[knot] for knot in marked], "o", color=colour, markersize=3.5)


def _tell_values(axis: Axes, values: np.ndarray, knots: Sequence[int]) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    look: Any = {"textcoords": "offset points", "fontsize": 8, "bbox": behind}
    taken: list[tuple[float, float]] = []  # where labels are, each about 0.1 of the panel wide and high
    lowest, height = float(np.min(values)), float(np.ptp(values)) or 1.0
    for knot in sorted({0, *knots}):
        x, y = knot / len(values), (float(values[knot]) - lowest) / height
        right = 1 if x < 0.9 else -1
        for up in (1, -1):  # above, below, or not at all
            place = (x + 0.06 * right, y + 0.1 * up)
            if all(abs(place[0] - other[0]) > 0.1 or abs(place[1] - other[1]) > 0.12 for other in taken):
                words: Any = {"ha": "left" if right > 0 else "right", "va": "bottom" if up > 0 else "top"}
                axis.annotate(f"{values[knot]:.3g}", (knot, values[knot]), (5 * right, 4 * up), **words, **look)
                taken.append(place)
                break


def _epochs_on_top(axis: Axes, steps_per_epoch: int) -> None:
    from matplotlib.ticker import MaxNLocator

    there_and_back = (lambda steps: steps / steps_per_epoch, lambda epochs: epochs * steps_per_epoch)
    top = axis.secondary_xaxis("top", functions=there_and_back)
    top.xaxis.set_major_locator(MaxNLocator(integer=True))
    top.set_xlabel("epochs")
