"""report.html: the comparison as one file that opens from disk, with curves to hover, toggle and zoom."""

from __future__ import annotations

import base64
import hashlib
import html
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


def write(comparison: Comparison, out: Path) -> Path:
    """Write report.html into `out`; returns its path."""
    groups = [row.group for row in comparison.rows]
    columns, titles = wording.filled(wording.EVERYTHING, comparison.rows), curves.titles(groups)
    labels = curves.labels(groups)
    figures = _figures(groups, labels)
    # Bokeh's own bundle, out of the installed package: the page asks no server for anything.
    library = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw) if figures else ""
    script, places = components(figures, wrap_script=False) if figures else ("", {})
    environment = Environment(loader=PackageLoader("sconv.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["sha256"] = _sha256  # the page runs its own scripts, known by their sums, and no other
    page = environment.get_template("page.html").render(
        library=library,
        script=script,
        charts=[(name, {**titles, **curves.SCHEDULE}[name], places[name]) for name in figures],
        groups=[(label, *plots.stroke(number)) for number, label in enumerate(labels)],
        labels=[group.label for group in groups],
        headings=list(columns),
        rows=[[cell(row) for cell in columns.values()] for row in comparison.rows],
        settings=settings(groups),
        notes=comparison.notes,
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _figures(groups: Sequence[Group], labels: Sequence[str]) -> dict[str, figure]:
    drawn = [curves.of(group) for group in groups]
    plans = [curves.schedule(group) for group in groups]
    figures = {name: _empty() for name in (*curves.METRICS, *curves.SCHEDULE)}
    for number, (group, label, runs, plan) in enumerate(zip(groups, labels, drawn, plans, strict=True)):
        if runs is not None:
            _draw_metrics(figures, number, label, curves.titles([group]), runs)
        if plan is not None:
            _draw_plan(figures, number, label, _timed(curves.thinned(plan), runs))
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


def _draw_metrics(
    figures: dict[str, figure], number: int, label: str, titles: Mapping[str, str], runs: curves.Curves
) -> None:
    """Of each metric the mean with a point an epoch; of several seeds a band of one deviation, and their own lines."""
    runs = runs.thinned()
    means, seeds = _means(runs), _seeds(runs)
    (colour, dash), name = plots.stroke(number), f"group{number}"
    for metric, title in titles.items():
        chart, text = figures[metric], f"@{metric}{{0.0000}}"
        if seeds is not None:
            band = (f"{metric}_lower", f"{metric}_upper")
            chart.varea("step", *band, source=means, fill_color=colour, fill_alpha=0.18, name=name)
            thin = {"line_color": colour, "line_dash": dash, "line_width": 1, "line_alpha": 0.6}
            chart.multi_line("step", metric, source=seeds, visible=False, name=f"seeds{number}", **thin)
            text += f" ± @{metric}_deviation{{0.0000}} (n={len(runs.seeds)})"
        chart.line("step", metric, source=means, line_color=colour, line_dash=dash, line_width=2, name=name)
        points = chart.scatter("step", metric, source=means, size=6, color=colour, name=name)
        tips = [("group", _literal(label)), (title, text), ("epoch", "@epoch"), *_CLOCK]
        chart.add_tools(HoverTool(renderers=[points], tooltips=tips, visible=False))


_CLOCK = [("step", "@step{0,0}"), ("seconds", "@seconds{0.0}")]


def _means(runs: curves.Curves) -> ColumnDataSource:
    columns = {axis: getattr(runs, axis).mean(axis=0) for axis in curves.AXES}
    for metric in curves.METRICS:
        mean, deviation = runs.band(metric)
        columns[metric] = mean
        if len(runs.seeds) > 1:
            # A band down to nought has no place on a logarithmic axis.
            lower = np.maximum(mean - deviation, np.abs(mean) * 1e-2)
            edges = {"deviation": deviation, "lower": lower, "upper": mean + deviation}
            columns |= {f"{metric}_{edge}": values for edge, values in edges.items()}
    return ColumnDataSource({name: values.astype(np.float32) for name, values in columns.items()})


def _seeds(runs: curves.Curves) -> ColumnDataSource | None:
    if len(runs.seeds) < 2:
        return None
    columns = {**{axis: getattr(runs, axis) for axis in curves.AXES}, **runs.metrics}
    return ColumnDataSource({name: list(rows.astype(np.float32)) for name, rows in columns.items()})


def _draw_plan(figures: dict[str, figure], number: int, label: str, columns: dict[str, np.ndarray]) -> None:
    source = ColumnDataSource({name: values.astype(np.float32) for name, values in columns.items()})
    colour, dash = plots.stroke(number)
    stroke = {"line_color": colour, "line_dash": dash, "line_width": 2}
    for name, title in curves.SCHEDULE.items():
        if np.isfinite(columns[name]).any():
            line = figures[name].line("step", name, source=source, name=f"group{number}", **stroke)
            tips = [("group", _literal(label)), (title, f"@{name}{{0.0000}}"), *_CLOCK]
            figures[name].add_tools(HoverTool(renderers=[line], tooltips=tips, line_policy="nearest", visible=False))


def _literal(text: str) -> str:
    """A label in a tooltip, which is HTML to Bokeh, and where it would take what follows @ and $ for a column."""
    return html.escape(text.replace("@", " ").replace("$", " "))


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _timed(plan: dict[str, np.ndarray], runs: curves.Curves | None) -> dict[str, np.ndarray]:
    """The schedule with the epoch and the seconds of each step, between the ends of epochs by straight lines."""
    if runs is None:
        return {**plan, "epoch": np.full(len(plan["step"]), np.nan), "seconds": np.full(len(plan["step"]), np.nan)}
    ends = np.concatenate([[0], runs.step.mean(axis=0)])
    clock = {name: np.concatenate([[0], getattr(runs, name).mean(axis=0)]) for name in ("epoch", "seconds")}
    return {**plan, **{name: np.interp(plan["step"], ends, values) for name, values in clock.items()}}
