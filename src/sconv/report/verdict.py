"""What came out, in a sentence a group."""

from __future__ import annotations

from collections.abc import Sequence

from sconv.report import wording
from sconv.report.budgets import Chart, Line
from sconv.report.comparison import Row
from sconv.report.factors import Fewer

TITLE = "Final test accuracy in %, against the baseline of as many epochs"


def sentences(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """A sentence for each group that is no other's measure; where there is nothing to measure by, for every group."""
    measures = {id(group) for row in rows for group in (row.rival, row.baseline) if group}
    return [(row, _sentence(row)) for row in rows if row.gain or id(row.group) not in measures]


def _sentence(row: Row) -> str:
    if row.test is None:
        return f"{row.group.label}: nothing finished ({wording.counts(row.group)})"
    ends = f"{row.group.label} {100 * row.test.mean:.2f}"
    if row.gain is None or row.rival is None:
        why = "nothing to compare with" if row.baseline is None else "no baseline of as many epochs"
        return f"{ends}, {_seeds(row.test.n)}: {why}"
    others = row.rival.accuracies("test")
    against = f"{ends} against {row.rival.label} {100 * sum(others) / len(others):.2f}"
    interval = wording.interval(row.gain)
    seeds = _seeds(row.test.n) if len(others) == row.test.n else f"{row.test.n} and {_seeds(len(others))}"
    return f"{against}: {100 * row.gain.mean:+.2f} points{f' {interval}' if interval else ''}, {seeds}: {_outcome(row)}"


def _outcome(row: Row) -> str:
    if row.gain is None or row.gain.low is None or row.gain.high is None:
        return row.gain.note if row.gain else wording.NOTHING
    return "better" if row.gain.low > 0 else "worse" if row.gain.high < 0 else "no difference shown"


def extent(rows: Sequence[Row]) -> tuple[float, float]:
    """What the scale of a forest plot reaches from and to: every difference, every interval, and nought."""
    ends = [end for row in rows if row.gain for end in (row.gain.mean, row.gain.low, row.gain.high) if end is not None]
    return min([0.0, *ends]), max([0.0, *ends])


def savings(charts: Sequence[Chart]) -> list[str]:
    """A sentence for each schedule of a budget chart: how many fewer steps it needs than the baseline."""
    return [
        (f"{chart.name}: " if len(charts) > 1 else "") + saving(line, chart)
        for chart in charts
        for line in chart.lines
        if line.fewer
    ]


def saving(line: Line, chart: Chart) -> str:
    """What came out of one line of a chart: of the baseline, and without one, its name alone."""
    found = line.fewer
    if found is None or chart.baseline is None or chart.target is None:
        return line.label
    note = f" ({found.note})" if found.note else ""
    aim = f"{100 * chart.target:.2f} % that {chart.baseline.label} ends at after {chart.taken:,.0f} steps"
    if found.value:
        return f"{line.label} needs {fewer(found)} to reach the {aim}{note}"
    if found.undecided:
        return f"{line.label} ends below the {aim}, by no more than seeds do: {fewer(found)}"
    return f"{line.label} does not reach the {aim}{note}"


def fewer(found: Fewer) -> str:
    """How many fewer steps, with its interval: 2.31 x fewer steps [1.90, 2.80]; more where it needs more."""
    if found.value == 0:
        shown = f"no difference shown [not reached, {_times(found.high or 0, found, False)} x fewer steps]"
        return shown if found.undecided else "not reached"
    turned = found.value < 1
    if found.low is None or found.high is None:
        interval = ""
    else:
        ends = (found.high, found.low) if turned else (found.low, found.high)
        interval = f" [{', '.join(_times(end, found, turned) for end in ends)}]"
    return f"{_times(found.value, found, turned)} x {'more' if turned else 'fewer'} steps{interval}"


def _times(value: float, found: Fewer, turned: bool) -> str:
    if value == 0:
        return "not reached"
    bound = ("≤" if turned else "≥") if value >= found.most * (1 - 1e-9) else ""
    return f"{bound}{(1 / value if turned else value):.2f}"


def how(chart: Chart) -> str:
    """What a budget chart shows, for below it."""
    counts = {len(budget.ends) for line in chart.lines for budget in line.budgets}
    tried = {budget.tried for line in chart.lines for budget in line.budgets}
    monitored = {budget.group.monitored for line in chart.lines for budget in line.budgets}
    parts = [
        "Each dot is a run of its own, trained for just as many steps; lines: means over seeds; bars: 95 % interval of "
        f"the mean (Student's t), {n(counts)}."
    ]
    if max(tried) > 1:
        split = "validation" if monitored == {"validation"} else "the same test"
        parts.append(f"lr_max: at each budget the best of {_span(tried)} tried, by {split} accuracy.")
    if chart.baseline is not None:
        parts.append(
            f"Fewer steps: to the mean that {chart.baseline.label} ends at on its best budget, between budgets with an "
            "error that falls as a power of the steps; 95 % bootstrap interval over seeds, lr_max taken as given."
        )
    return " ".join(parts)


def bands(counts: set[int]) -> str:
    """What lines and bands of curves are."""
    if max(counts) == 1:
        return "Lines: one seed each, so there is no band."
    return f"Lines: means over seeds; bands: ± 1 standard deviation, {n(counts)}."


def n(counts: set[int]) -> str:
    """How many seeds there are: n = 3, or n = 2 to 5."""
    return f"n = {_span(counts)}"


def _span(numbers: set[int]) -> str:
    return " to ".join(dict.fromkeys([str(min(numbers)), str(max(numbers))]))


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"
