"""What all pictures share: figures that belong to no window, colours, files."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2a6fbb", "#d9772b", "#666666"
# Told apart on white and on dark paper; the eleventh line starts again with another dash.
COLOURS = (BLUE, ORANGE, "#2e9e6b", "#c5457f", "#8a63d2", "#b08f1c", "#1fa3b8", "#d1493f", "#7a8792", "#6f9e2f")
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
DASHES: tuple[Dash, ...] = ("solid", "dashed", "dotted", "dashdot")


def stroke(number: int) -> tuple[str, Dash]:
    """Colour and dash of the line with this number, counted from 0."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def literal(text: str) -> str:
    """A text as matplotlib shows it, which takes what stands between two $ for mathematics."""
    return text.replace("$", r"\$")


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Figure:
    """An empty figure of this size in inches; with a layout engine its margins are found, without they are given."""
    # Not through pyplot: it would hold on to the figure, may want a screen, and a notebook would show it twice.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]
    return figure


@contextlib.contextmanager
def signs_of_any_script() -> Iterator[None]:
    """Draw a sign that the font lacks as a box, and say nothing of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file; the same picture is the same bytes."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120, metadata={"Software": None})
    return image.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file of the kind its name ends in."""
    # Without the version of matplotlib in it, the same picture is the same file.
    with signs_of_any_script():
        figure.savefig(path, dpi=100, metadata={"Software": None} if path.suffix == ".png" else None)
