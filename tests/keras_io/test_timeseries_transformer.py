"""Timeseries classification with a Transformer, https://keras.io/examples/timeseries/timeseries_classification_transformer/

There: Adam at 0.0001, batches of 64, 4 blocks with heads of 256. Here: the rows of handwritten digits, from top to
bottom, as series, 2 blocks with heads of 32.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import sconv
from experiments.keras_examples.networks import timeseries_transformer

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def series():
    found = load_digits()
    return train_test_split(found.images.astype("float32") / 16, found.target, test_size=500, random_state=0)


build = timeseries_transformer((8, 8), 10, blocks=2, head=32)


def published(series):
    x_train, x_test, y_train, y_test = series
    model = build(1e-4)
    model.fit(x_train, y_train, batch_size=64, epochs=20, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def one_line(series):
    x_train, x_test, y_train, y_test = series
    model = build(1e-4)
    sconv.fit_one_cycle(model, x_train, y_train, batch_size=64, epochs=5, range_test={"max_steps": 200}, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def test_better_in_a_quarter_of_the_epochs(series, mean):
    assert mean(one_line, series) > mean(published, series) + 0.15
