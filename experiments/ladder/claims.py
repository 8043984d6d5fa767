"""What is told of this record, with the numbers as the CSV files have them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.ladder import summary

PAGE = "experiments/ladder/README.md"
SETTINGS = ("at 72.7 %", "at 80.4 %", "middle 95 % of what comes")


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    measured = summary.read()
    for line in summary.lines(summary.ladder(*measured)):
        yield PAGE, line
    if epochs := summary.ladder(*measured)[-1].epochs:
        yield PAGE, summary.lived(epochs)
    told = list(summary.whole(*measured))
    for document in (PAGE, "docs/evidence.md", "README.md"):
        yield from ((document, sentence) for sentence in told)
