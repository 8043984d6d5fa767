"""Imbalanced classification, https://keras.io/examples/structured_data/imbalanced_classification/

There: credit card fraud, Adam at 0.01, batches of 2048, the rare class weighted up. Here: made-up rows, 1 % of them
positive.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

import sconv
from experiments.keras_examples.examples import one_over_count
from experiments.keras_examples.networks import imbalanced_classification

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def frauds():
    x, y = make_classification(
        26_000, 30, n_informative=12, n_redundant=4, n_clusters_per_class=2, weights=[0.99], flip_y=0, random_state=0
    )
    return train_test_split(((x - x.mean(0)) / x.std(0)).astype("float32"), y, stratify=y, random_state=0)


def published(frauds):
    x_train, x_test, y_train, y_test = frauds
    model = imbalanced_classification(1e-2)
    model.fit(x_train, y_train, batch_size=2048, epochs=20, class_weight=one_over_count(y_train), verbose=0)
    return average_precision_score(y_test, model.predict(x_test, batch_size=2048, verbose=0))


def one_line(frauds):
    x_train, x_test, y_train, y_test = frauds
    model = imbalanced_classification(1e-2)
    sconv.fit_one_cycle(
        model,
        x_train,
        y_train,
        batch_size=2048,
        epochs=20,
        class_weight=one_over_count(y_train),
        range_test={"max_steps": 250},
        verbose=0,
    )
    return average_precision_score(y_test, model.predict(x_test, batch_size=2048, verbose=0))


def test_better_in_as_many_epochs(frauds, mean):
    assert mean(one_line, frauds, seeds=2) > mean(published, frauds, seeds=2)
