"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.keras_examples import summary

PAGE = "experiments/keras_examples/README.md"
SETTINGS: tuple[str, ...] = ()


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    rows = summary.read()
    for line in summary.lines(rows):
        yield PAGE, line
    complete = list(summary.summaries(rows).values())
    if complete:
        factors = [one.factor for one in complete if one.factor is not None]
        counted = [one.counted for one in complete if one.counted is not None]
        reached = f"Of {len(complete)} documented trainings, one cycle ends where {len(factors)} end in fewer epochs"
        yield "docs/evidence.md", f"{reached}, {between(factors)} times as few; {between(counted)} with the range test"


def between(numbers: list[float]) -> str:
    """From the lowest to the highest."""
    return f"{min(numbers):.1f} to {max(numbers):.1f}" if numbers else "none"
