"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.smith2018_mnist import summary

PAGE = "experiments/smith2018_mnist/README.md"
SETTINGS = (
    "99.25 ± 0.03 against 99.03 ± 0.04 %",
    "arXiv 1803.09820",
    "one cycle from 0.01 to 0.1 in",
    "from 0.01,",
    "95 % interval",
)


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    rows = summary.read()
    for line in summary.lines(rows):
        yield PAGE, line
    for task, part, both in summary.pairs(rows):
        yield "docs/evidence.md", f"{summary.TITLES[task]}, {summary.PARTS[part]}: {summary.told(both)}"
