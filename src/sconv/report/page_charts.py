"""The charts of the page, made by Bokeh: curves epoch by epoch, schedules, budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from bokeh.models import (
    BasicTickFormatter,
    ColumnDataSource,
    FixedTicker,
    Label,
    LinearAxis,
    LinearScale,
    LogAxis,
    LogScale,
    Range1d,
)
from bokeh.plotting import figure

from sconv.report import budget_pictures, curves, verdict
from sconv.report.budgets import Chart, Line
from sconv.report.groups import Group
from sconv.report.strokes import Stroke

TOLD = 12  # groups in a text alternative


@dataclass(frozen=True)
class Drawn:
    """A chart, what it is called, what it says in words, and the small print below it."""

    title: str
    chart: figure
    words: str
    below: str


def of_curves(groups: Sequence[Group], labels: Sequence[str], looks: Sequence[Stroke]) -> dict[str, Drawn]:
    """A chart of each metric by epoch and of each column of the schedules, of those that there are."""
    charts = {name: _empty("curves") for name in (*curves.METRICS, *curves.SCHEDULE)}
    words: dict[str, list[str]] = {name: [] for name in charts}
    for number, (group, label, look) in enumerate(zip(groups, labels, looks, strict=True)):
        found, plan = curves.of(group), curves.schedule(group)
        if found is not None:
            _draw(charts, number, label, look, curves.titles([group]), found)
        if plan is not None:
            _draw(charts, number, label, look, curves.SCHEDULE, _timed(plan, found))
        for each in filter(None, (found, plan)):
            for name in words.keys() & each.columns.keys():
                words[name].append(f"{label}: {_course(each, name)}")
    titles = {**curves.titles(groups), **curves.SCHEDULE}
    counts = {len(group.finished) for group in groups if group.finished}
    below = {name: verdict.bands(counts) for name in curves.METRICS if counts}
    return {
        name: Drawn(titles[name], chart, _alternative(f"{titles[name]} over steps", words[name]), below.get(name, ""))
        for name, chart in charts.items()
        if chart.renderers
    }


def of_budgets(charts: Sequence[Chart]) -> dict[str, Drawn]:
    """A chart of what separately trained runs end at against their steps, for each of `charts`."""
    found = {}
    for number, chart in enumerate(charts):
        drawn = _empty("budgets", "log")
        drawn.height = 380
        drawn.xaxis.axis_label = "steps of training, each point a run of its own"
        steps = sorted({budget.steps for line in chart.lines for budget in line.budgets})
        drawn.xaxis.ticker = FixedTicker(ticks=steps)
        drawn.xaxis.formatter = BasicTickFormatter(use_scientific=False)
        words = []
        for line, look in zip(chart.lines, budget_pictures.looks(chart), strict=True):
            _budget_line(drawn, line, look)
            words.append(f"{line.label}: {'; '.join(_point(steps, ends) for steps, ends in line.points)}")
            _gap(drawn, line, look, chart)
        title = f"final test accuracy against steps, {chart.name}"
        said = _alternative(title, [*verdict.savings([chart]), *words])
        found[f"budgets{number}"] = Drawn(title, drawn, said, verdict.how(chart))
    return found


def _empty(kind: str, over: Literal["linear", "log"] = "linear") -> figure:
    chart = figure(
        height=320,
        sizing_mode="stretch_width",
        name=kind,
        x_axis_type=over,
        tools="box_zoom",
        active_drag="box_zoom",
        toolbar_location=None,  # its buttons would be four stops of the Tab key: a double click shows all again
        # The page finds them: an accuracy axis ends at 1, a loss begins at 0, a logarithm at neither.
        x_range=Range1d(1, 2),
        y_range=Range1d(0, 1),
    )
    chart.background_fill_color = chart.border_fill_color = None  # the page's own, light or dark
    chart.xaxis.axis_label = "steps"
    chart.axis.minor_tick_out = 0
    # The page swaps them in when somebody wants a logarithmic axis.
    chart.tags = [LogAxis(), LogScale(), LinearAxis(), LinearScale()]
    return chart


def _draw(
    charts: dict[str, figure], number: int, label: str, look: Stroke, titles: Mapping[str, str], found: curves.Curves
) -> None:
    """The mean of each column that has a title; of several seeds a band of one deviation, and their own lines."""
    found = found.thinned()
    means = ColumnDataSource(_means(found), name=label, tags=[found.seeds])
    seeds = ColumnDataSource({name: list(rows.astype(np.float32)) for name, rows in found.columns.items()})
    name, line = f"group{number}", {"line_color": look.colour, "line_dash": look.dash}
    for column in (column for column in titles if column in found.columns):
        chart = charts[column]
        if found.seeds > 1:
            band = (f"{column}_lower", f"{column}_upper")
            chart.varea("step", *band, source=means, fill_color=look.colour, fill_alpha=0.18, name=name)
            thin = {**line, "line_width": 1, "line_alpha": 0.6}
            chart.multi_line("step", column, source=seeds, visible=False, name=f"seeds{number}", **thin)
        chart.line("step", column, source=means, line_width=2, name=name, **line)
        if column in curves.METRICS:  # a point an epoch
            chart.scatter("step", column, source=means, size=6, color=look.colour, marker=look.marker, name=name)


def _means(found: curves.Curves) -> dict[str, np.ndarray]:
    columns = {name: found.mean(name) for name in found.columns}
    for metric in curves.METRICS if found.seeds > 1 else ():
        mean, deviation = columns[metric], found.deviation(metric)
        # A band down to nought has no place on a logarithmic axis.
        lower = np.maximum(mean - deviation, np.abs(mean) * 1e-2)
        edges = {"deviation": deviation, "lower": lower, "upper": mean + deviation}
        columns |= {f"{metric}_{edge}": values for edge, values in edges.items()}
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _timed(plan: curves.Curves, found: curves.Curves | None) -> curves.Curves:
    """The schedule with the epoch and the seconds of each step, between the ends of epochs by straight lines."""
    columns = dict(plan.columns)
    for name in ("epoch", "seconds"):
        ends, times = ([0, *found.mean("step")], [0, *found.mean(name)]) if found else ([0], [np.nan])
        columns[name] = np.interp(columns["step"], ends, times)
    return curves.Curves(columns)


def _budget_line(chart: figure, line: Line, look: Stroke) -> None:
    bounds = [budget_pictures.interval(budget) for budget in line.budgets]
    source = ColumnDataSource(
        {
            "step": [budget.steps for budget in line.budgets],
            "accuracy": [float(np.mean(budget.ends)) for budget in line.budgets],
            "n": [len(budget.ends) for budget in line.budgets],
        },
        name=line.label,
    )
    dots = [(budget.steps, end) for budget in line.budgets for end in budget.ends]
    whiskers = [(budget.steps, *each) for budget, each in zip(line.budgets, bounds, strict=True) if each is not None]
    chart.line("step", "accuracy", source=source, line_width=2, color=look.colour, line_dash=look.dash, name="line")
    chart.scatter("step", "accuracy", source=source, size=9, color=look.colour, marker=look.marker, name="line")
    x, y = (list(each) for each in zip(*dots, strict=True))
    chart.scatter(x=x, y=y, size=5, color=look.colour, alpha=0.55, line_color=None, name="seeds")
    if whiskers:
        x, low, high = (list(each) for each in zip(*whiskers, strict=True))
        chart.segment(x0=x, y0=low, x1=x, y1=high, color=look.colour, alpha=0.8, name="whiskers")


def _gap(chart: figure, line: Line, look: Stroke, budgets: Chart) -> None:
    """From the steps that the baseline takes to those that the line needs; above its right end what it is worth."""
    if line.fewer is None or budgets.target is None or budgets.taken is None:
        return
    at = budget_pictures.needed(line, budgets.target)
    if at is None:
        return
    ends = {"x": [at, budgets.taken], "y": [budgets.target] * 2}
    chart.line(**ends, color=look.colour, line_width=3, line_alpha=0.6, name="gap")
    chart.scatter(**ends, marker="dash", angle=np.pi / 2, size=12, color=look.colour, name="gap")
    above = sum(isinstance(each, Label) for each in chart.center)
    words: Any = {"text": verdict.fewer(line.fewer), "text_align": "right", "text_font_size": "12px"}
    words |= {"text_color": look.colour, "x_offset": -12, "y_offset": 5 + 16 * above, "background_fill_alpha": 0.8}
    chart.add_layout(Label(x=max(ends["x"]), y=budgets.target, **words))


def _point(steps: float, ends: Sequence[float]) -> str:
    return f"{np.mean(ends):.4f} after {steps:,.0f} steps"


def _course(found: curves.Curves, name: str) -> str:
    steps, mean = found.mean("step"), found.mean(name)
    top, low = int(np.argmax(mean)), int(np.argmin(mean))
    return (
        f"from {mean[0]:.4g} to {mean[-1]:.4g} at step {steps[-1]:,.0f}, highest {mean[top]:.4g} at step "
        f"{steps[top]:,.0f}, lowest {mean[low]:.4g} at step {steps[low]:,.0f}"
    )


def _alternative(title: str, words: Sequence[str]) -> str:
    more = [f"and {len(words) - TOLD} more"] if len(words) > TOLD else []
    return ". ".join([title, *words[:TOLD], *more]) + "."
