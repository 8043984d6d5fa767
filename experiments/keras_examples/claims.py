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
    told = [f"{name.replace('_', ' ')} {factors(one)}" for name, one in summary.summaries(rows).items()]
    if told:
        yield "docs/evidence.md", f"{', '.join(told)}"
        reached = [one for one in summary.summaries(rows).values() if one.factor]
        fewer, counted = ([getattr(one, name) for one in reached] for name in ("factor", "counted"))
        epochs = f"{min(fewer):.1f} to {max(fewer):.1f} times fewer epochs"
        yield (
            "README.md",
            f"in {epochs}, and with the updates of the range test counted in {min(counted):.1f} to {max(counted):.1f}",
        )


def factors(one: summary.Summary) -> str:
    """The factor in epochs, in brackets with the range test counted; none where no length that was tried is enough."""
    return "none" if one.factor is None else f"{one.factor:.1f} ({one.counted:.1f})"
