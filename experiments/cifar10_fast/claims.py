"""What is told of this record, with the numbers as its CSV files have them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.cifar10_fast import summary

PAGE = "experiments/cifar10_fast/README.md"
SETTINGS = ("arXiv 2404.00498", "the aim was 88 % in five minutes")


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    for document in (PAGE, "docs/evidence.md", "README.md"):
        yield document, summary.accuracy()
        yield document, summary.duration()
        yield document, summary.peer()
    yield PAGE, f"would take {summary.full_size()}"
    yield PAGE, f"takes {summary.software()}"
