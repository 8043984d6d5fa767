"""The report on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group, JustifyMethod
from rich.table import Column, Table
from rich.text import Text

from sconv import checks, runs
from sconv.report import verdict, wording
from sconv.report.comparison import Comparison, Row
from sconv.report.groups import differing, flat, monitored

# The columns of three tables, whose titles say the rest of some names. On 80 columns the steps' speed-up must do.
OUTCOME = ("group", "runs", "val acc %", "test acc %", "steps", "training seconds", "images/s")
SPEED = ("group", "reached", "steps to target", "epochs to target", "seconds to target", "speedup (steps)")
BAR = 46  # columns of a forest plot, at most
NARROW = 60  # columns of a terminal that has room for little
FEWEST = (("group", "test acc %"), ("group", "steps to target", "speedup (steps)"))  # there


def show(comparison: Comparison, console: Console) -> None:
    """Print what came out, what each group ends at, how fast it gets there, and what one has to know to read it."""
    rows = comparison.rows
    outcome, speed = FEWEST if console.width < NARROW else (OUTCOME, SPEED)
    _verdict(comparison, console)
    console.print(_table("What each group ends at (mean ± std over seeds)", outcome, rows))
    if any(row.time_to_target for row in rows):
        split = monitored([row.group for row in rows])
        console.print(_table(f"To the target {split} accuracy", speed, rows))
    for note in comparison.notes:
        console.print(Text(f"· {note}"), soft_wrap=not console.is_terminal)


def _verdict(comparison: Comparison, console: Console) -> None:
    console.print(Text(verdict.TITLE, style="bold"))
    said = [sentence for _, sentence in verdict.sentences(comparison.rows)]
    for sentence in (*said, *verdict.savings(comparison.charts)):
        console.print(Text(sentence), soft_wrap=not console.is_terminal)
    console.print()
    if rivals := [row for row in comparison.rows if row.gain]:
        console.print(_forest(rivals, max(12, min(BAR, console.width - 30))))


def _forest(rows: Sequence[Row], width: int) -> Group:
    """The difference of each row with its interval, a line each, all on one scale with nought marked."""
    lowest, highest = verdict.extent(rows)

    def place(value: float) -> int:
        return round((value - lowest) / (highest - lowest or 1) * (width - 1))

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for row in rows:
        gain = row.gain
        if gain is None:
            continue
        signs = [" "] * width
        if gain.low is not None and gain.high is not None:
            signs[place(gain.low) : place(gain.high) + 1] = "─" * (place(gain.high) - place(gain.low) + 1)
            signs[place(gain.low)], signs[place(gain.high)] = "├┤"
        signs[place(0)] = "│" if signs[place(0)] == " " else "┼"
        signs[place(gain.mean)] = "●"
        table.add_row(Text(row.group.label, overflow="ellipsis", no_wrap=True), Text("".join(signs)))
    ends = [f"{100 * end:+.2f}" if end else "0" for end in (lowest, highest)]
    scale = list(ends[0].ljust(width - len(ends[1])) + ends[1])
    if scale[place(0)] == " ":
        scale[place(0)] = "0"
    table.add_row("", "".join(scale))
    return Group(table, Text())


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    cells = wording.cells(rows, columns)
    longest = max(len(word) for label in cells["group"] for word in label.split())
    for name in cells:
        # Names and outcomes give way; numbers do not break: a number in two lines is two numbers.
        words = name in ("group", "runs")
        width = min(longest, 24) if name == "group" else None
        justify: JustifyMethod = "left" if name == "group" else "right"
        table.add_column(
            name.removesuffix(" to target").replace("training ", "training\n"),
            justify=justify,
            no_wrap=not words,
            overflow="ellipsis",
            min_width=width,
        )
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    return Group(Text(title, style="italic"), table, Text())


def listing(found: Sequence[runs.Run], console: Console) -> None:
    """A row a run, below the folder that it is in: status, accuracies, seconds of training.

    Validation accuracies have a column where there are any. Off a terminal each row is a line, and has the whole path.
    """
    splits = runs.splits([run.summary for run in found])
    names = {"validation": "val\nacc %", "test": "test\nacc %"}
    by_folder: dict[Path | None, list[runs.Run]] = {}
    for run in found:
        by_folder.setdefault(run.directory.parent if console.is_terminal else None, []).append(run)
    if not console.is_terminal:
        console.width += max((len(str(run.directory)) for run in found), default=0)
    for folder, members in by_folder.items():
        table = Table(
            Column("run", overflow="fold", ratio=1),
            Column("status", width=11),
            *(Column(names[split], justify="right", width=6) for split in splits),
            Column("training\nseconds", justify="right", width=8),
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True,
        )  # fmt: skip
        for run in members:
            accuracies = [runs.accuracy(run.summary, split) for split in splits]
            seconds = (run.summary.get("seconds") or {}).get("training")
            table.add_row(
                Text(checks.printable(run.directory.name if folder else run.directory)),
                run.summary["status"],
                *(wording.NOTHING if accuracy is None else f"{100 * accuracy:.2f}" for accuracy in accuracies),
                wording.NOTHING if seconds is None else f"{seconds:,.1f}",
            )
        if console.width < NARROW:
            table.columns[2:] = table.columns[-2:-1]
        console.print(Group(Text(checks.printable(folder), style="italic"), table, Text()) if folder else table)


def pair(first: runs.Run, second: runs.Run, console: Console) -> None:
    """Two runs side by side: the settings that differ, then the metrics."""
    columns = [Column(heading, overflow="fold") for heading in ("", "A", "B")]
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for heading, run in (("A", first), ("B", second)):
        console.print(f"{heading}  {checks.printable(run.directory)}", markup=False, soft_wrap=True)
    configs = [flat(run.config) for run in (first, second)]
    for name in differing(configs):
        table.add_row(Text(name), *(Text(str(config.get(name, wording.NOTHING))) for config in configs))
    if not differing(configs):
        table.add_row("configuration", "the same", "the same")
    table.add_row()
    splits = runs.splits([first.summary, second.summary])
    metrics = [_metrics(run, splits) for run in (first, second)]
    for name in metrics[0]:
        table.add_row(name, *(Text(cells[name]) for cells in metrics))
    console.print(table)


def _metrics(run: runs.Run, splits: Sequence[str]) -> dict[str, str]:
    final, seconds = (run.summary.get(name) or {} for name in ("final", "seconds"))

    def cell(values: Mapping[str, float], name: str, digits: int) -> str:
        value = values.get(name)
        return wording.NOTHING if value is None else f"{value:.{digits}f}"

    return {
        "status": run.summary["status"],
        **{
            f"{split} {name}": cell(runs.result(run.summary, split), name, 4)
            for name in ("accuracy", "loss")
            for split in splits
        },
        "training loss": cell(final, "loss", 4),
        "steps": str(run.summary.get("steps", wording.NOTHING)),
        "training seconds": cell(seconds, "training", 1),
        "seconds in all": cell(seconds, "total", 1),
    }
