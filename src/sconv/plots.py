"""Every picture: schedules, range tests, comparisons. Imports matplotlib only when one is drawn for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

BLUE, ORANGE, GREY = "#2a6fbb", "#d9772b", "#666666"
# Dots of a braille character, four rows of two.
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


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
    figure = figure or _figure(7.2, 2.3 * rows + 0.9)
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


def sheet(schedules: Mapping[str, Curves], columns: int = 4) -> Figure:
    """Many schedules side by side: of each, by name, the learning rates, the momenta and the knots.

    Learning rates from 0 to the highest of each; all momenta on one scale.
    """
    columns = min(columns, len(schedules))
    rows = -(-len(schedules) // columns)
    figure = _figure(2.4 * columns, 1.75 * rows)
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
    upper.set_title(name, fontsize=9, fontweight="bold", pad=4)
    upper.set_ylim(-0.07 * rates.max(), 1.1 * rates.max())
    upper.set_yticks([0, rates.max()], ["0", f"{rates.max():.4g}"])
    lower.set_yticks(sorted({*ends}), [f"{end:.4g}" for end in sorted({*ends})])
    margin = 0.25 * (ends[1] - ends[0]) or 0.1
    lower.set_ylim(ends[0] - margin, ends[1] + margin)
    if momenta is None:
        lower.text(0.5, 0.5, "momentum: the optimizer's own", ha="center", va="center", transform=lower.transAxes)
        lower.texts[0].set(fontsize=7, color=GREY)
        lower.set_axis_off()
    else:
        _curve(lower, momenta, knots, ORANGE)
    for axis in (upper, lower):
        axis.set_xlim(-0.02 * len(rates), 1.02 * len(rates))
        axis.set_xticks([])
        axis.tick_params(labelsize=7, length=2)
        axis.spines[["top", "right"]].set_visible(False)


def confusion(counts: np.ndarray, names: Sequence[str], title: str = "") -> Figure:
    """Of each true class (rows) the share predicted as each class; with few classes the counts as well."""
    side = float(np.clip(0.45 * len(names), 4.5, 14))
    figure = _figure(side + 1.5, side + 0.5)
    axis = figure.add_axes((0.22, 0.2, 0.72, 0.72))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    places = range(len(names))
    axis.set_xticks(places, names, rotation=90, fontsize=7)
    axis.set_yticks(places, names, fontsize=7)
    for (row, column), count in np.ndenumerate(counts) if len(names) <= 30 else ():
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file of the kind its name ends in."""
    # Without the version of matplotlib in it, the same picture is the same file.
    figure.savefig(path, dpi=100, metadata={"Software": None} if path.suffix == ".png" else None)


def terminal(values: np.ndarray, width: int, height: int) -> list[str]:
    """`height` lines of `width` braille characters that draw the values from left to right, the highest on top.

    A picture for a terminal, in two by four dots a character; equal values are a line in the middle.
    """
    across, down = 2 * width, 4 * height
    drawn = np.interp(np.linspace(0, len(values) - 1, across), np.arange(len(values)), values)
    low, span = values.min(), np.ptp(values)
    levels = ((drawn - low) / span * (down - 1)).round().astype(int) if span else np.full(across, down // 2)
    dots = np.zeros((down, across), dtype=int)
    previous = levels[0]
    for column, level in enumerate(levels):
        # From the dot beside the last one up or down to this one, so that a steep line has no holes.
        bottom, top = sorted((level, previous + np.sign(level - previous)))
        dots[bottom : top + 1, column] = 1
        previous = level
    characters = (dots[::-1].reshape(height, 4, width, 2) * DOTS[:, None, :]).sum(axis=(1, 3))
    return ["".join(chr(0x2800 + code) for code in line) for line in characters]


def _figure(width: float, height: float) -> Figure:
    # Not through pyplot: it would hold on to the figure, and may want a screen.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _curve(axis: Axes, values: Any, knots: Sequence[int], colour: str) -> None:
    axis.plot(values, color=colour, linewidth=1.6, solid_joinstyle="round")
    if not len(knots):
        return
    marked = sorted({0, *knots})
    axis.plot(marked, [values[knot] for knot in marked], "o", color=colour, markersize=3.5)


def _tell_values(axis: Axes, values: np.ndarray, knots: Sequence[int]) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    look: Any = {"textcoords": "offset points", "fontsize": 8, "va": "bottom", "bbox": behind}
    for knot in sorted({0, *knots}):
        aside, side = (5, "left") if knot < 0.9 * len(values) else (-5, "right")
        axis.annotate(f"{values[knot]:.3g}", (knot, values[knot]), (aside, 4), ha=side, **look)


def _epochs_on_top(axis: Axes, steps_per_epoch: int) -> None:
    from matplotlib.ticker import MaxNLocator

    top = axis.secondary_xaxis(
        "top",
        functions=(
            lambda steps: np.divide(steps, steps_per_epoch),
            lambda epochs: np.multiply(epochs, steps_per_epoch),
        ),
    )
    top.xaxis.set_major_locator(MaxNLocator(integer=True))
    top.set_xlabel("epochs")


# Told apart on white and on dark paper; the eleventh line starts again with another dash.
COLOURS = (BLUE, ORANGE, "#2e9e6b", "#c5457f", "#8a63d2", "#b08f1c", "#1fa3b8", "#d1493f", "#7a8792", "#6f9e2f")
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
DASHES: tuple[Dash, ...] = ("solid", "dashed", "dotted", "dashdot")


def stroke(number: int) -> tuple[str, Dash]:
    """Colour and dash of the line with this number, counted from 0."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


@dataclass(frozen=True)
class Line:
    """One group of runs in a picture: `x` and `y` by the names of the axes, `band` the deviation of some of `y`."""

    label: str
    x: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray]
    band: Mapping[str, np.ndarray] = field(default_factory=dict)


def overlay(lines: Sequence[Line], x: Sequence[str], y: Sequence[str]) -> Figure:
    """A panel for each pair of `x` (columns) and `y` (rows), a line for each group, one legend below all."""
    from matplotlib.figure import Figure

    legend = 0.25 * -(-len(lines) // _LEGEND_COLUMNS)
    size = (4.2 * len(x) + 0.4, 2.6 * len(y) + 0.4 + legend)
    figure = Figure(figsize=size, layout="constrained")
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


def time_to_target(groups: Sequence[tuple[str, Sequence[float | None]]], unit: str) -> Figure:
    """A point for each seed at what it spent until the target, a bar at the mean; how many never got there in words."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.9 + 0.38 * len(groups)), layout="constrained")
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
    axis.set_yticks(range(len(groups)), [label for label, _ in groups])
    axis.invert_yaxis()
    furthest = max((cost for _, costs in groups for cost in costs if cost is not None), default=1.0)
    # Room for the words at the end of the longest bar.
    axis.set_xlim(0, furthest * (1.4 if any(None in costs for _, costs in groups) else 1.05))
    axis.margins(y=0.02)
    axis.set_xlabel(f"{unit} to the target")
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
    labels = [line.label for line in lines]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
