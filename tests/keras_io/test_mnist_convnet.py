"""Simple MNIST convnet, https://keras.io/examples/vision/mnist_convnet/.

There: Adam at 0.001, batches of 128 of 60,000 digits. Here: 2,000 of them.
"""

from __future__ import annotations

import pytest

import sconv
from experiments.keras_examples.networks import mnist_convnet
from sconv.datasets import mnist_5k

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    found = mnist_5k.load()
    return (found.train.images[:2000], found.train.labels[:2000]), (found.test.images, found.test.labels)


def published(digits):
    model = mnist_convnet(1e-3)
    model.fit(*digits[0], batch_size=128, epochs=6, verbose=0)
    return model.evaluate(*digits[1], verbose=0)[1]


def one_line(digits):
    model = mnist_convnet(1e-3)
    sconv.fit_one_cycle(model, *digits[0], batch_size=128, epochs=3, range_test={"max_steps": 100}, verbose=0)
    return model.evaluate(*digits[1], verbose=0)[1]


def test_better_in_half_the_epochs(digits, mean):
    assert mean(one_line, digits) > mean(published, digits)
