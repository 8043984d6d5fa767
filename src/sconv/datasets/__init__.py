"""Datasets: one module a source, each with `load(...) -> Dataset`."""

from sconv.datasets.dataset import Dataset, Split, Stream, updates

__all__ = ["Dataset", "Split", "Stream", "updates"]
