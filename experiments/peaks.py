"""Where a learning rate is best, on a grid of powers of two."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def best_power(grid: Iterable[int], mean: Callable[[int], float]) -> int:
    """The power of two with the highest mean, of a grid that grows where its best lies at an edge."""
    means = {power: mean(power) for power in grid}
    while (best := max(means, key=lambda power: means[power])) in (min(means), max(means)):
        beyond = best - 1 if best == min(means) else best + 1
        means[beyond] = mean(beyond)
    return best
