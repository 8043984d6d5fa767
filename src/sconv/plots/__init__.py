"""Every picture: schedules, comparisons, confusion. Imports matplotlib only when one is drawn for a file."""

from sconv.plots.confusion import confusion
from sconv.plots.figures import literal, new_figure, save, stroke
from sconv.plots.schedules import schedule, sheet
from sconv.plots.terminal import Curve, chart, columns, cycle, terminal

__all__ = [
    "Curve",
    "chart",
    "columns",
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
