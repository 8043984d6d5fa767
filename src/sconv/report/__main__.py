"""python -m sconv.report: compare runs.

The terminal table comes first; the files, whose libraries take seconds to import, are written after it.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sconv import checks, output, runs
from sconv.report import groups, reading, search, table
from sconv.report.comparison import compare


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    output.outlast()
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        if options.compare:
            first, second = (_run(path) for path in options.compare)
            table.pair(first, second, console)
        elif options.list:
            found, notes = reading.read(options.paths)
            table.listing(found, console)
            for note in notes:
                print(note, file=sys.stderr)
        else:
            _report(options, console)
    except (checks.UserError, OSError) as error:
        print(f"sconv: {checks.printable(error)}", file=sys.stderr)
        return runs.ExitCode.USER_ERROR
    return runs.ExitCode.FINISHED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sconv.report", description="Compare runs, without TensorFlow.")
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[Path("outputs")], help="run folders, or folders of them"
    )
    parser.add_argument(
        "--baseline",
        help="the group to compare with, as its settings (default: schedule=baseline, without one the best)",
    )
    parser.add_argument(
        "--target",
        type=float,
        help="accuracy in (0, 1] to reach on the validation split, where there is none on the test split "
        "(default: the baseline's last)",
    )
    parser.add_argument("--out", type=Path, help="where the files go (default: report/ in what the paths share)")
    parser.add_argument("--no-files", action="store_true", help="only print the table")
    parser.add_argument("--list", action="store_true", help="list runs: status, schedule, accuracy, time")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A", "B"), help="two runs: settings that differ, metrics"
    )
    return parser


def _report(options: argparse.Namespace, console: Console) -> None:
    found, notes = groups.gather(options.paths)
    comparison = compare(found, options.baseline, options.target)
    searched, more = ({}, []) if options.no_files else search.pictures(options.paths)
    comparison = replace(comparison, notes=(*comparison.notes, *notes, *more))
    table.show(comparison, console)
    if options.no_files:
        return
    out = options.out or Path(os.path.commonpath([path.absolute() for path in options.paths])) / "report"
    sys.stdout.flush()
    from sconv.report import markdown, page

    out.mkdir(parents=True, exist_ok=True)
    for path in (*markdown.write(comparison, out, searched), page.write(comparison, out, searched)):
        console.print(checks.printable(os.path.relpath(path)), markup=False, soft_wrap=True)


def _run(path: Path) -> runs.Run:
    try:
        return runs.read(path)
    except runs.BrokenRun as error:
        raise checks.UserError(f"compare: got {path}, expected a run directory ({error})") from error


if __name__ == "__main__":
    sys.exit(main())
