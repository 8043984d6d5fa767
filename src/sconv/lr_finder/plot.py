"""Pictures of range tests. Imports matplotlib only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots.figures import BLUE, ORANGE, new_figure, stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sconv.lr_finder.result import RangeTest

RED, GREEN, PALE, DARK = "#c23b3b", "#2e9e6b", "#b8c4d0", "#444444"


def range_test(test: RangeTest) -> Figure:
    """Raw and smoothed loss over lr, each suggestion on a line of its own above; good rates and divergence shaded."""
    rows = max(len(test.suggestions), 1)
    figure = new_figure(8.0, 3.8 + 0.24 * rows, "constrained")
    names, axis = figure.subplots(2, 1, sharex=True, height_ratios=[0.24 * rows, 3.6])
    axis.plot(test.learning_rates, test.losses, color=PALE, linewidth=0.8, label="loss of each batch")
    axis.plot(test.learning_rates, test.smoothed, color=BLUE, linewidth=2, label="smoothed")
    _range_axes(axis, [test])
    _shade(axis, test)
    names.set_axis_off()
    names.set_ylim(-0.5, rows - 0.5)
    beside: Any = {"textcoords": "offset points", "va": "center", "fontsize": 9}
    beside["bbox"] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for row, (rule, rate) in enumerate(sorted(test.suggestions.items(), key=lambda item: -item[1])):
        chosen = rule == test.rule
        colour, weight, width, dash = (ORANGE, "bold", 1.6, "-") if chosen else (DARK, "normal", 0.8, ":")
        axis.axvline(rate, color=colour, linewidth=width, linestyle=dash, zorder=1)
        axis.plot(rate, np.interp(rate, test.learning_rates, test.smoothed), "o", color=colour, zorder=4)
        names.plot([rate, rate], [-0.5, row], color=colour, linewidth=width, clip_on=False)
        names.plot(rate, row, "o", color=colour, markersize=4)
        # On the side that has room.
        aside, side = (-6, "right") if np.interp(np.log(rate), np.log(axis.get_xlim()), (0, 1)) > 0.85 else (6, "left")
        text = f"{rule}  {rate:.2g}"
        names.annotate(text, (rate, row), (aside, 0), ha=side, color=colour, fontweight=weight, **beside)
    if test.problem:
        names.text(0.0, 0.5, "no suggestion: the loss allows none", transform=names.transAxes, color=RED)
    axis.legend(loc="lower left", framealpha=0.9)
    return figure


def _shade(axis: Axes, test: RangeTest) -> None:
    """The zone of good rates, and what lies past divergence."""
    if test.good_rates is not None:
        first, last = test.good_rates
        axis.axvspan(first, last, color=GREEN, alpha=0.14, linewidth=0, label=f"good rates ({first:.2g} to {last:.2g})")
    if (end := test.diverged_at) is not None:
        axis.axvspan(end, axis.get_xlim()[1], color=RED, alpha=0.12, linewidth=0, label=f"diverged (lr {end:.2g})")


def range_grid(tests: Mapping[str, RangeTest], chosen: str, lr: float) -> Figure:
    """The smoothed losses of several range tests by their labels; the chosen one is drawn bold, its lr marked.

    Above them a row a test, in its colour: its pick, and where it diverged; one whose curve another hides says so.
    """
    figure = new_figure(8.0, 4.4 + 0.2 * len(tests), "constrained")
    rows, axis = figure.subplots(2, 1, sharex=True, height_ratios=[0.2 * len(tests), 3.9])
    _range_axes(axis, list(tests.values()))
    hidden = _hidden(tests, np.ptp(axis.get_ylim()), chosen)
    for number, (label, test) in enumerate(tests.items()):
        colour, dash = stroke(number if number < 1 else number + 1)  # the second is the chosen one's
        look: Any = {"color": colour, "linestyle": dash, "linewidth": 1.3}
        if label == chosen:
            look = {"color": ORANGE, "linewidth": 2.6, "zorder": 3}
        axis.plot(test.learning_rates, test.smoothed, **look)
        _row(rows, number, test, look)
    for row, label in ((row, label) for row, label in enumerate(tests) if label in hidden):
        behind = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        at = {"xy": (0.02, row), "xycoords": ("axes fraction", "data"), "va": "center_baseline", "fontsize": 7}
        rows.annotate(f"hidden behind {hidden[label]}", bbox=behind, color=DARK, **at)
    rows.set_yticks(range(len(tests)), list(tests), fontsize=8)
    rows.set_ylim(len(tests) - 0.5, -0.5)
    rows.tick_params(which="both", length=0)
    rows.spines[:].set_visible(False)
    rows.set_title("dot: suggestion of smith; cross and band: diverged", fontsize=8, color=DARK)
    for each in (rows, axis):
        each.axvline(lr, color=ORANGE, linewidth=1.4, linestyle="--", label=f"recommended lr {lr:.2g}")
    axis.set_ylabel("smoothed loss")
    axis.legend(loc="lower left", framealpha=0.9)
    return figure


def _row(axis: Axes, row: int, test: RangeTest, look: Mapping[str, Any]) -> None:
    """A test's own line: what its curve looks like, its pick, and from where it has diverged."""
    end, colour = test.diverged_at or test.end_lr, look["color"]
    axis.plot([axis.get_xlim()[0], end], [row, row], **look)
    if "smith" in test.suggestions:
        axis.plot(test.suggestions["smith"], row, "o", color=colour, markersize=5)
    if test.diverged_at is not None:
        axis.barh(row, axis.get_xlim()[1] - end, left=end, height=0.7, color=colour, alpha=0.25)
        axis.plot(end, row, "x", color=colour, markersize=5)


def _hidden(tests: Mapping[str, RangeTest], height: float, chosen: str) -> dict[str, str]:
    """Of the curves that a later or bolder one lies upon all along, to within a hundredth of the picture: by which."""
    order = [*(label for label in tests if label != chosen), chosen]  # as they are drawn
    found = {}
    for place, label in enumerate(order):
        for upper in order[place + 1 :]:
            below, above = tests[label].smoothed, tests[upper].smoothed
            if len(below) <= len(above) and np.abs(below - above[: len(below)]).max() < height / 100:
                found[label] = upper
    return found


def _range_axes(axis: Axes, tests: list[RangeTest]) -> None:
    """A log axis over what matters of the planned range, the losses that matter in view."""
    axis.set_xscale("log")
    axis.set_xlim(min(test.shown_from for test in tests), max(test.end_lr for test in tests))
    low = min(min(np.min(test.smoothed), np.quantile(test.losses, 0.05)) for test in tests)
    start = max(float(np.median(test.smoothed[: max(1, len(test.smoothed) // 10)])) for test in tests)
    margin = max(start - low, 0.1 * abs(start), 1e-12)
    axis.set_ylim(low - 0.15 * margin, start + 0.6 * margin)
    axis.set_xlabel("learning rate")
    axis.set_ylabel("loss")
    axis.grid(alpha=0.3)
