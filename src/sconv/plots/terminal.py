"""Pictures made of characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Dots of a braille character, four rows of two.
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
WIDEST, LEFT = 100, 10  # a chart at most, and the labels beside it

# Texts below an axis, by their places on it from 0 to 1.
Places = Mapping[float, str]


def terminal(values: np.ndarray, width: int, height: int) -> list[str]:
    """`height` lines of `width` braille characters that draw the values from left to right, the highest on top.

    A picture for a terminal, in two by four dots a character; equal values are a line in the middle, NaN is a gap.
    """
    across, down = 2 * width, 4 * height
    drawn = np.interp(np.linspace(0, len(values) - 1, across), np.arange(len(values)), values)
    low, span = np.nanmin(values), np.nanmax(values) - np.nanmin(values)
    heights = (drawn - low) / span * (down - 1) if span else np.where(np.isnan(drawn), np.nan, down // 2)
    dots = np.zeros((down, across), dtype=int)
    previous = None
    for column in np.flatnonzero(np.isfinite(heights)):
        level = int(heights[column].round())
        # From the dot beside the last one up or down to this one, so that a steep line has no holes.
        beside = level if previous is None else previous + np.sign(level - previous)
        bottom, top = sorted((level, beside))
        dots[bottom : top + 1, column] = 1
        previous = level
    characters = (dots[::-1].reshape(height, 4, width, 2) * DOTS[:, None, :]).sum(axis=(1, 3))
    return ["".join(chr(0x2800 + code) for code in line) for line in characters]


@dataclass(frozen=True)
class Curve:
    """A curve of a chart: `height` lines in a colour of rich's; its ends are written as `form` says."""

    name: str
    values: np.ndarray
    colour: str
    height: int
    form: str = ".4g"


def columns(width: int) -> int:
    """How many columns a chart's axis has on a terminal of that width."""
    return min(width, WIDEST) - LEFT - 3


def chart(curves: Sequence[Curve], below: Mapping[str, Places], width: int) -> list[str]:
    """Curves above one another over one axis, with rows of texts below it, in rich's markup; the first row has ticks.

    `width` is that of the terminal.
    """
    width, lines = columns(width), list[str]()
    for curve in curves:
        lines.append(f"{'':{LEFT}}[bold {curve.colour}]{curve.name}[/]")
        low, high = np.nanmin(curve.values), np.nanmax(curve.values)
        height = curve.height if high > low else 1
        ends = {height - 1: low, 0: high}
        for number, line in enumerate(terminal(curve.values, width, height)):
            end = f"{format(ends[number], curve.form):>{LEFT - 1}} ┤" if number in ends else f"{'':{LEFT}}│"
            lines.append(f"{end}[{curve.colour}]{line}[/]")
    rows = {name: {round(place * (width - 1)): text for place, text in row.items()} for name, row in below.items()}
    ticks = next(iter(rows.values()))
    lines.append(f"{'':{LEFT}}└" + "".join("┴" if column in ticks else "─" for column in range(width)))
    return lines + [f"{name:>{LEFT - 1}}  {_labels(row, width)}" for name, row in rows.items()]


def cycle(
    rates: np.ndarray,
    momenta: np.ndarray | None,
    knots: Sequence[int],
    per_epoch: int,
    width: int,
    accuracies: Curve | None = None,
) -> list[str]:
    """A chart of learning rate over momentum, below the accuracies of every update where there are any."""
    last, heights = max(len(rates) - 1, 1), (8, 4) if accuracies is None else (4, 3)
    curves = [accuracies] if accuracies else []
    curves.append(Curve("learning rate", rates, "blue", heights[0]))
    if momenta is not None:
        curves.append(Curve("momentum", momenta, "dark_orange", heights[1]))
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if last / per_epoch / step <= 10)
    steps = {knot / last: str(knot) for knot in (0, len(rates) - 1, *knots)}
    epochs = {epoch * per_epoch / last: str(epoch) for epoch in range(0, last // per_epoch + 2, every)}
    return chart(curves, {"step": steps, "epoch": epochs}, width)


def _labels(at: Mapping[int, str], width: int) -> str:
    """Texts centred below their columns, less those that would run into another; the ends come first."""
    line = [" "] * width
    for place in sorted(at, key=lambda place: (place not in (min(at), max(at)), place)):
        text = at[place]
        start = max(0, min(place - len(text) // 2, width - len(text)))
        if place < width and not "".join(line[max(0, start - 1) : start + len(text) + 1]).strip():
            line[start : start + len(text)] = text
    return "".join(line).rstrip()
