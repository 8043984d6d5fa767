"""The learning-rate range test as a schedule."""

from __future__ import annotations

from sconv import checks
from sconv.schedules.levels import held
from sconv.schedules.schedule import Phase, Schedule


def range_test(
    start_lr: float = 1e-7, end_lr: float = 10.0, momentum: float | None = None, anneal: str = "exponential"
) -> Schedule:
    """One rise from `start_lr` to `end_lr`, momentum held.

    It rises by the same factor at every step (`anneal="exponential"`) or by the same amount ("linear"). Source: Smith,
    "Cyclical learning rates" (arXiv 1506.01186), section 3.3, linear; exponential as in fastai.
    """
    end = checks.number("end_lr", end_lr, above=0)
    start = checks.number("start_lr", start_lr, above=0, below=end)
    return Schedule((Phase(1.0, (start, end), held(momentum), anneal),), "range_test")
