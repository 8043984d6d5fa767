"""report.html: the comparison as one file that opens from disk, with curves to hover, toggle and zoom."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, LinearAxis, LinearScale, LogAxis, LogScale
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined

from sconv import plots
from sconv.report import curves, wording
from sconv.report.comparison import Comparison
from sconv.report.groups import Group, settings

_CLOCK = [("epoch", "@epoch{0.[0]}"), ("step", "@step{0,0}"), ("seconds", "@seconds{0.0}")]  # in each tooltip


def write(comparison: Comparison, out: Path) -> Path:
    """Write report.html into `out`; returns its path."""
    groups = [row.group for row in comparison.rows]
    cells, labels = wording.cells(comparison.rows), curves.labels(groups)
    titles = {**curves.titles(groups), **curves.SCHEDULE}
    figures = _figures(groups, labels)
    # Bokeh's own bundle, out of the installed package: the page asks no server for anything.
    library = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw) if figures else ""
    script, places = components(figures, wrap_script=False) if figures else ("", {})
    environment = Environment(loader=PackageLoader("sconv.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["sha256"] = _sha256  # the page runs its own scripts, known by their sums, and no other
    page = environment.get_template("page.html").render(
        library=library,
        script=script,
        charts=[(name, titles[name], places[name]) for name in figures],
        groups=[(label, *plots.stroke(number)) for number, label in enumerate(labels)],
        labels=[group.label for group in groups],
        headings=list(cells),
        rows=list(zip(*cells.values(), strict=True)),
        settings=settings(groups),
        notes=comparison.notes,
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _figures(groups: Sequence[Group], labels: Sequence[str]) -> dict[str, figure]:
    figures = {name: _empty() for name in (*curves.METRICS, *curves.SCHEDULE)}
    for number, (group, label) in enumerate(zip(groups, labels, strict=True)):
        found, plan = curves.of(group), curves.schedule(group)
        if found is not None:
            _draw(figures, number, label, curves.titles([group]), found)
        if plan is not None:
            _draw(figures, number, label, curves.SCHEDULE, _timed(plan, found))
    return {name: chart for name, chart in figures.items() if chart.renderers}


def _empty() -> figure:
    tools = "pan,box_zoom,wheel_zoom,reset"
    chart = figure(height=320, sizing_mode="stretch_width", tools=tools, active_drag="box_zoom")
    chart.toolbar.logo = None
    chart.background_fill_color = chart.border_fill_color = None  # the page's own, light or dark
    chart.xaxis.axis_label = "steps"
    chart.x_range.only_visible = chart.y_range.only_visible = True
    # The page swaps them in when somebody wants a logarithmic axis.
    chart.tags = [LogAxis(), LogScale(), LinearAxis(), LinearScale()]
    return chart


def _draw(figures: dict[str, figure], number: int, label: str, titles: Mapping[str, str], found: curves.Curves) -> None:
    """The mean of each column that has a title; of several seeds a band of one deviation, and their own lines."""
    found = found.thinned()
    means = _means(found)
    seeds = ColumnDataSource({name: list(rows.astype(np.float32)) for name, rows in found.columns.items()})
    (colour, dash), name = plots.stroke(number), f"group{number}"
    line = {"line_color": colour, "line_dash": dash}
    # A tooltip is HTML to Bokeh, which takes what follows @ and $ for a column.
    group = ("group", html.escape(re.sub("[@$]", " ", label)))
    for column in (column for column in titles if column in found.columns):
        chart, text = figures[column], f"@{column}{{0.0000}}"
        if found.seeds > 1:
            band = (f"{column}_lower", f"{column}_upper")
            chart.varea("step", *band, source=means, fill_color=colour, fill_alpha=0.18, name=name)
            thin = {**line, "line_width": 1, "line_alpha": 0.6}
            chart.multi_line("step", column, source=seeds, visible=False, name=f"seeds{number}", **thin)
            text += f" ± @{column}_deviation{{0.0000}} (n={found.seeds})"
        drawn = chart.line("step", column, source=means, line_width=2, name=name, **line)
        if column in curves.METRICS:  # a point an epoch
            drawn = chart.scatter("step", column, source=means, size=6, color=colour, name=name)
        tips = [group, (titles[column], text), *_CLOCK]
        chart.add_tools(HoverTool(renderers=[drawn], tooltips=tips, visible=False))


def _means(found: curves.Curves) -> ColumnDataSource:
    columns = {name: found.mean(name) for name in found.columns}
    for metric in curves.METRICS if found.seeds > 1 else ():
        mean, deviation = columns[metric], found.deviation(metric)
        # A band down to nought has no place on a logarithmic axis.
        lower = np.maximum(mean - deviation, np.abs(mean) * 1e-2)
        edges = {"deviation": deviation, "lower": lower, "upper": mean + deviation}
        columns |= {f"{metric}_{edge}": values for edge, values in edges.items()}
    return ColumnDataSource({name: values.astype(np.float32) for name, values in columns.items()})


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _timed(plan: curves.Curves, found: curves.Curves | None) -> curves.Curves:
    """The schedule with the epoch and the seconds of each step, between the ends of epochs by straight lines."""
    columns = dict(plan.columns)
    for name in ("epoch", "seconds"):
        ends, times = ([0, *found.mean("step")], [0, *found.mean(name)]) if found else ([0], [np.nan])
        columns[name] = np.interp(columns["step"], ends, times)
    return curves.Curves(columns)
