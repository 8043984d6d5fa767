"""All pictures of a report, by the names of their files."""

from __future__ import annotations

from sconv.report import budget_pictures, curves, pictures, profiles, verdict
from sconv.report.comparison import Comparison, Row
from sconv.report.profiles import Named
from sconv.report.strokes import Stroke, strokes

FIRST = ("differences", "budgets", "factors")  # files so called say what came out; the others how


def gallery(comparison: Comparison, made_of: str) -> Named:
    """Every picture that there is something for; `made_of` is printed below each."""
    rows = comparison.rows
    groups = [row.group for row in rows]
    looks = strokes(groups, [row.group for row in rows if row.is_candidate])
    return {
        **_differences(rows, looks, made_of),
        **_budgets(comparison, made_of),
        **profiles.pictures(comparison.charts, rows, looks, made_of),
        **_curves(rows, looks, made_of),
        **_costs(rows, looks, made_of),
    }


def _differences(rows: tuple[Row, ...], looks: list[Stroke], made_of: str) -> Named:
    drawn = [
        (row.group.label, look, 100 * row.gain.mean, row.gain.low, row.gain.high)
        for row, look in zip(rows, looks, strict=True)
        if row.gain
    ]
    if not drawn:
        return {}
    counts = {row.test.n for row in rows if row.gain and row.test}
    title = "test accuracy less that of the baseline of as many epochs, points"
    below = f"Bars: 95 % interval of the difference of means (Welch), {verdict.n(counts)}.\n{made_of}"
    forest = [
        (label, look, mean, None if low is None or high is None else (100 * low, 100 * high))
        for label, look, mean, low, high in drawn
    ]
    return {"differences.png": (title, pictures.differences(forest, title, below))}


def _budgets(comparison: Comparison, made_of: str) -> Named:
    found = {}
    for number, chart in enumerate(comparison.charts):
        name = "budgets.png" if len(comparison.charts) == 1 else f"budgets-{number}.png"
        picture = budget_pictures.draw(chart, f"{verdict.how(chart)}\n{made_of}")
        found[name] = (f"final test accuracy against steps, {chart.name}", picture)
    return found


def _curves(rows: tuple[Row, ...], looks: list[Stroke], made_of: str) -> Named:
    groups = [row.group for row in rows]
    titles, labels = curves.titles(groups), curves.labels(groups)
    found: Named = {}
    drawn = list(zip(labels, looks, map(curves.of, groups), strict=True))
    several = [each for _, _, each in drawn if each]
    if several:
        over = ["step", "seconds"] if curves.seconds_tell(several) else ["step"]
        below = f"{verdict.bands({each.seeds for each in several})}\n{made_of}"
        title = f"{titles['val_accuracy']} and loss"
        found["curves.png"] = (title, pictures.overlay(drawn, over, titles, below))
    plans = [(group.label, look, curves.schedule(group)) for group, look in zip(groups, looks, strict=True)]
    driven = {column for _, _, plan in plans if plan for column in plan.columns}
    if shown := {name: title for name, title in curves.SCHEDULE.items() if name in driven}:
        below = f"As the optimizer saw them at each step, alike in every seed of a group.\n{made_of}"
        found["schedules.png"] = ("learning rate and momentum", pictures.overlay(plans, ["step"], shown, below))
    return found


def _costs(rows: tuple[Row, ...], looks: list[Stroke], made_of: str) -> Named:
    spent = [row.spent("step") for row in rows]  # who of the baseline ends below its own mean is of no interest
    labels = curves.labels([row.group for row in rows])
    times = [times for times in zip(labels, looks, spent, strict=True) if times[2].costs]
    if not times:
        return {}
    title = f"steps to the target {curves.titles([row.group for row in rows])['val_accuracy']}"
    counts = verdict.n({len(row.time_to_target["step"].costs) for row in rows if row.spent("step").costs})
    below = f"Dots: seeds; bars: medians, {counts}.\n{made_of}"
    return {"time_to_target.png": (title, pictures.time_to_target(times, title, below))}
