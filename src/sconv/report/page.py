"""report.html: the comparison as one file that opens from disk, with curves to hover, toggle and zoom."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.embed import components
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined

from sconv import plots
from sconv.report import budget_pictures, curves, page_charts, profiles, verdict, wording
from sconv.report.budgets import Chart
from sconv.report.comparison import Comparison, Row
from sconv.report.context import context, line
from sconv.report.groups import settings
from sconv.report.search import Pictures
from sconv.report.strokes import Stroke, strokes

SCRIPTS = ("page.js", "page_charts.js")


def write(comparison: Comparison, out: Path, searched: Pictures | None = None) -> Path:
    """Write report.html into `out`, with the pictures of a search in it; returns its path."""
    rows = comparison.rows
    groups = [row.group for row in rows]
    cells, labels, made_of = wording.cells(rows), curves.labels(groups), context(groups)
    looks = strokes(groups, [row.group for row in rows if row.is_candidate])
    budgets, drawn = page_charts.of_budgets(comparison.charts), page_charts.of_curves(groups, labels, looks)
    figures = {name: each.chart for name, each in (budgets | drawn).items()}
    # Bokeh's own bundle, out of the installed package: the page asks no server for anything.
    library = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw) if figures else ""
    script, places = components(_together(figures), wrap_script=False) if figures else ("", {})
    environment = Environment(loader=PackageLoader("sconv.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["sha256"] = _sha256  # the page runs its own scripts, known by their sums, and no other
    own = "\n".join((files("sconv.report") / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = environment.get_template("page.html").render(
        scripts=[each for each in (library, script, own) if each],
        title=verdict.TITLE,
        forest=_forest(rows, looks),
        savings=verdict.savings(comparison.charts),
        made_of=made_of,
        made_of_line=line(made_of),
        budgets=budgets,
        keys=[_key(chart) for chart in comparison.charts],
        curves=drawn,
        places=places,
        groups=list(zip(labels, looks, strict=True)),
        labels=[group.label for group in groups],
        headings=[(heading, heading not in wording.FEW) for heading in cells],
        rows=list(zip(*cells.values(), strict=True)),
        settings=settings(groups),
        images=_images(comparison, looks, line(made_of), searched or {}),
        notes=comparison.notes,
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _images(
    comparison: Comparison, looks: Sequence[Stroke], made_of: str, searched: Pictures
) -> dict[str, list[tuple[str, str]]]:
    """Pictures that do not move, by heading: what each shows, and itself as text."""
    profiled: Pictures = {}
    for name, (title, picture) in profiles.pictures(comparison.charts, comparison.rows, looks, made_of).items():
        content = io.BytesIO()
        plots.save(picture, content)
        profiled[name] = (title, content.getvalue())
    return {
        heading: [(title, base64.b64encode(content).decode()) for title, content in found.values()]
        for heading, found in (("Over all targets", profiled), ("The search", searched))
        if found
    }


def _together(figures: dict[str, figure]) -> dict[str, figure]:
    """The same, in one document: Bokeh would walk through all of them twice for each that it takes up."""
    document = Document()
    with document.models.freeze():
        for each in figures.values():
            document.add_root(each)
    return figures


def _forest(rows: Sequence[Row], looks: Sequence[Stroke]) -> dict[str, Any]:
    """The sentences, each with where its difference and interval lie on a scale from 0 to 100, and the scale."""
    lowest, highest = verdict.extent(rows)
    look_of = {id(row): look for row, look in zip(rows, looks, strict=True)}

    def place(value: float | None) -> float | None:
        return None if value is None else round(2 + 96 * (value - lowest) / (highest - lowest or 1), 2)

    lines = [
        (
            sentence,
            look_of[id(row)].colour,
            row.gain and [place(at) for at in (row.gain.mean, row.gain.low, row.gain.high)],
        )
        for row, sentence in verdict.sentences(rows)
    ]
    ends = [f"{100 * end:+.2f}" if end else "0" for end in (lowest, highest)]
    return {"lines": lines, "nought": place(0), "ends": ends, "drawn": any(row.gain for row in rows)}


def _key(chart: Chart) -> list[tuple[Stroke, str]]:
    """How each line of a budget chart looks, and what came out of it."""
    return [
        (look, verdict.saving(each, chart))
        for each, look in zip(chart.lines, budget_pictures.looks(chart), strict=True)
    ]


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
