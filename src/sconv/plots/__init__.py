"""Every picture: schedules, comparisons, confusion. Imports matplotlib only when one is drawn for a file."""

from sconv.plots.confusion import confusion
from sconv.plots.figures import literal, new_figure, save, stroke
from sconv.plots.schedules import schedule, sheet
from sconv.plots.terminal import Curve, chart, cycle, terminal

__all__ = [
    "Curve",
    "chart",
    "confusion",
    "cycle",
    "literal",
    "new_figure",
    "save",
    "schedule",
    "sheet",
    "stroke",
    "terminal",
]
