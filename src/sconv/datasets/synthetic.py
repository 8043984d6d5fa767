"""Made-up images that can be learned: one random pattern a class, with noise over it; any size, no files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sconv import checks
from sconv.datasets.dataset import Dataset, Split

# Each part draws from its own stream of the seed, so that the size of one changes nothing in the others.
PATTERNS, TRAIN, TEST = range(3)
MOST_VALUES = 2**31  # which take 8 GB while they are made


def load(
    shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    train_size: int = 1000,
    test_size: int = 200,
    noise: float = 0.3,
    seed: int = 0,
) -> Dataset:
    """Make a train and a test split of noisy copies of one pattern a class.

    Images are uint8 [count, *shape], labels int64 [count]: 0, 1, ... in turn, so classes differ in count by one at
    most. `noise` is the standard deviation of the Gaussian noise as a share of the full range of 255. The same seed
    gives the same bytes, and a smaller split is the start of a larger one. Raises SettingError or SettingTypeError.
    """
    sizes = checks.integers("shape", shape, at_least=1, example="[28, 28, 1]")
    if not sizes:
        raise checks.SettingTypeError(f"shape: got {shape!r}, expected at least one whole number, such as [28, 28, 1]")
    count = checks.integer("classes", classes, at_least=2)
    train_count = checks.integer("train_size", train_size, at_least=count)
    test_count = checks.integer("test_size", test_size, at_least=count)
    values = math.prod(sizes) * (train_count + test_count + count)
    if values > MOST_VALUES:
        raise checks.SettingError(f"shape: got {shape!r}, which makes {values} values, expected at most {MOST_VALUES}")
    spread = checks.number("noise", noise, at_least=0)
    root = checks.integer("seed", seed)
    patterns = np.random.default_rng((root, PATTERNS)).random((count, *sizes), dtype=np.float32)
    return Dataset(
        name="synthetic",
        train=_noisy(patterns, train_count, spread, np.random.default_rng((root, TRAIN))),
        test=_noisy(patterns, test_count, spread, np.random.default_rng((root, TEST))),
        class_names=tuple(str(label) for label in range(count)),
    )


def _noisy(patterns: np.ndarray, count: int, noise: float, random: np.random.Generator) -> Split:
    labels = np.arange(count, dtype=np.int64) % len(patterns)
    images = random.standard_normal((count, *patterns.shape[1:]), dtype=np.float32)
    images *= noise
    images += patterns[labels]
    return Split((np.clip(images, 0, 1) * 255).round().astype(np.uint8), labels)
