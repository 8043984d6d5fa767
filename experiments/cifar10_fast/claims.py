"""What is told of this record, with the numbers as results.csv and seconds.csv have them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.cifar10_fast import summary

PAGE = "experiments/cifar10_fast/README.md"
SETTINGS = ("arXiv 2404.00498", "the first aim, which is 88 %")


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    for document in (PAGE, "docs/evidence.md"):
        yield document, summary.accuracy()
        yield document, summary.duration()
    yield PAGE, f"would take {summary.full_size()}"
