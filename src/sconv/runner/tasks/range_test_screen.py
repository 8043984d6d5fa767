"""A range test on the terminal: its curve while it goes, and after it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sconv import output, plots
from sconv.lr_finder.result import RangeTest
from sconv.lr_finder.smoothing import smooth, start_of

if TYPE_CHECKING:
    from sconv.lr_finder.finder import LRFinder

_HEIGHT, _POINTS = 8, 500
_ABOVE = 0.6  # of the fall, is shown above the start


@contextlib.contextmanager
def watching(finder: LRFinder, console: Console) -> Iterator[None]:
    """Show how far a finder is and the losses it has seen, on a terminal alone."""
    if not output.can_redraw(console):
        yield
        return
    with Live(console=console, get_renderable=lambda: _picture(finder, console), refresh_per_second=8, transient=True):
        yield


def tell(test: RangeTest, console: Console) -> None:
    """Show on a terminal the smoothed loss around the suggestions, with the zone of good rates below it."""
    if console.is_terminal and not console.options.ascii_only:
        ends = test.shown_from, test.end_lr
        curve = _chart(test.learning_rates, test.losses, test.smoothed, ends, console.width, test.good_rates)
        console.print("\n".join(curve), soft_wrap=True)


def _picture(finder: LRFinder, console: Console) -> Group:
    settings, losses = finder.settings, np.array(finder.losses)
    finite = int(np.argmin(np.isfinite(losses))) if not np.isfinite(losses).all() else len(losses)
    steps, rates = settings.max_steps, settings.schedule.sample(settings.max_steps)[0]
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    now = f"lr {rates[min(len(losses), steps - 1)]:<#8.3g}"
    bar.add_row("range test", ProgressBar(steps, len(losses)), f"{len(losses)}/{steps}", f"[cyan]{now}")
    if finite < 2 or console.options.ascii_only:
        return Group(bar)
    smoothed = smooth(losses[:finite], settings.smoothing)
    ends = float(rates[0]), float(rates[-1])
    return Group(bar, *map(Text.from_markup, _chart(rates[:finite], losses[:finite], smoothed, ends, console.width)))


def _chart(
    rates: np.ndarray,
    losses: np.ndarray,
    smoothed: np.ndarray,
    ends: tuple[float, float],
    width: int,
    good: tuple[float, float] | None = None,
) -> list[str]:
    """A chart of the smoothed loss over the logarithm of the lr, as far as it is known and not far above its start."""
    start = start_of(losses)
    values = np.interp(np.geomspace(*ends, _POINTS), rates, smoothed, left=np.nan, right=np.nan)
    top = start + max(_ABOVE * (start - smoothed.min()), 0.1 * abs(start))
    curve = plots.Curve("smoothed loss", np.minimum(values, top), "blue", _HEIGHT)
    first, last = np.log10(ends)
    decades = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)
    below = {"lr": {(decade - first) / (last - first): f"{10.0**decade:g}" for decade in decades}}
    if good is not None:
        begin, end = (np.log10(good) - first) / (last - first)
        between = round((end - begin) * plots.columns(width)) - 1
        below["good"] = {(begin + end) / 2: f"├{'─' * between}┤" if between > 0 else "│"}
    return plots.chart([curve], below, width)
