"""keras.io's examples on data at hand: as published, and with their `fit` replaced by `sconv.fit_one_cycle`.

Network, data, batches, loss and optimizer are the same in both; the published rate is the page's own, the epochs are
scaled to the size of the data. Ours are fewer, or as many to a better end, and no rate is chosen by hand. The updates
of the range test, a few hundred at most, come on top: on the pages' full data they are a small part of training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def mean() -> Callable[..., float]:
    """mean(train, data): the mean of what train(data) returns, over seeds."""

    def over_seeds(train: Callable[[Any], float], data: Any, seeds: int = 1) -> float:
        scores = []
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            scores.append(train(data))
        return float(np.mean(scores))

    return over_seeds
