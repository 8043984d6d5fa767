"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.budgets import summary

PAGE = "experiments/budgets/README.md"
SETTINGS = ("momentum of 0.9 where", "the 95 % bootstrap interval", "Keras 3.15's reads")


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    for task, curves in summary.read().items():
        for line in (*summary.speedups(task, curves), *summary.accuracies(task, curves)):
            yield PAGE, line
        cycle = curves[summary.CYCLES[0]]
        against = dict.fromkeys(("constant", "step", summary.strongest(curves)))
        told = (f"{summary.NAMES[name]} {summary.told(summary.fewer(curves[name], cycle))}" for name in against)
        yield "docs/evidence.md", f"{summary.TITLES[task]}: " + ", ".join(told)
