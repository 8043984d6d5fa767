"""1,797 handwritten digits of 8x8 pixels that are installed with scikit-learn: real data for the quickest of runs."""

from __future__ import annotations

import numpy as np

from sconv.datasets.building.subset import hold_out
from sconv.datasets.dataset import Dataset, Split

TEST_SHARE = 0.2


def load() -> Dataset:
    """Load 1,438 train and 359 test digits, always the same ones, stratified.

    Images are uint8 [count, 8, 8, 1]: the file's 0 to 16, stretched to 0 to 255; labels int64 [count]. Source: the
    test set of Alpaydin and Kaynak, "Optical recognition of handwritten digits" (UCI, 1998), as in scikit-learn.
    """
    from sklearn.datasets import load_digits

    file = load_digits()
    images = np.round(file.images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    labels = file.target.astype(np.int64)
    train, test = (Split(images[rows], labels[rows]) for rows in hold_out(labels, TEST_SHARE))
    return Dataset("digits", train, test, tuple(str(digit) for digit in range(10)))
