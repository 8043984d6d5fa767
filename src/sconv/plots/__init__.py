"""Every picture: schedules, comparisons, confusion. Imports matplotlib only when one is drawn for a file."""

from sconv.plots.confusion import confusion
from sconv.plots.figures import BLUE, COLOURS, DASHES, GREY, ORANGE, literal, new_figure, save, stroke
from sconv.plots.schedules import Curves, schedule, sheet
from sconv.plots.terminal import terminal

__all__ = [
    "BLUE",
    "COLOURS",
    "DASHES",
    "GREY",
    "ORANGE",
    "Curves",
    "confusion",
    "literal",
    "new_figure",
    "save",
    "schedule",
    "sheet",
    "stroke",
    "terminal",
]
