"""What all pictures share: figures that belong to no window, colours, files."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by eyes of every kind (jfly.uni-koeln.de/color), on white and on dark paper; its
# yellow, which white paper swallows, is left out. The seventh line starts again with another dash.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
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


def save(figure: Figure, path: Path | BinaryIO) -> None:
    """Write a figure to a file of the kind its name ends in; to an open one as PNG."""
    is_png = not isinstance(path, Path) or path.suffix == ".png"
    # Without the version of matplotlib in it, the same picture is the same file.
    with signs_of_any_script():
        figure.savefig(path, dpi=100, metadata={"Software": None} if is_png else None)
