"""What is told of this record, with the numbers as results.csv has them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.momentum_cycle import summary

PAGE = "experiments/momentum_cycle/README.md"
SETTINGS = ('the row "0.95"', "against 0.95 held", "begins at 0.95 is")

FIRST_SCREEN = ("lenet5-fashion_10k", "sgd")


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    rows = summary.read()
    for line in (*summary.lines(rows), *summary.outcomes(rows)):
        yield PAGE, line
    for (task, optimizer), arms in summary.comparisons(rows).items():
        cycled, held = summary.best(arms, summary.CYCLED), summary.best(arms, summary.HELD)
        points, low, high = summary.difference(cycled, held)
        against = f"{points:+.2f} [{low:+.2f}, {high:+.2f}] points against the best held one, {held.momentum}"
        more, least, most = summary.difference(cycled, summary.best(arms, ("0.95",)))
        callbacks = f"{more:+.2f} [{least:+.2f}, {most:+.2f}] against 0.95 held"
        yield "docs/evidence.md", f"{summary.OPTIMIZERS[optimizer]}: {against}; {callbacks}"
        if (task, optimizer) == FIRST_SCREEN:
            above = f"momentum ends {-points:.1f} points above the better cycle, interval [{-high:.2f}, {-low:.2f}]"
            yield "README.md", above
            yield "README.md", f"the cycle, {more:.1f} below it with an interval of [{least:.2f}, {most:.2f}]"
        else:
            yield "README.md", f"ends {more:.2f} points above 0.95 held, interval [{least:.2f}, {most:.2f}]"
