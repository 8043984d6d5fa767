"""Datasets: one module a source, each with `load(...) -> Dataset`."""

from sconv.datasets.dataset import Dataset, Split, updates

__all__ = ["Dataset", "Split", "updates"]
