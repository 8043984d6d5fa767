"""Regression of the quality of wines, https://keras.io/examples/keras_recipes/bayesian_neural_networks/

There: of the experiments the first, a standard network, 100 epochs of RMSprop at 0.001 in batches of 256. Here:
Friedman's made-up regression in place of 4,898 wines.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

import sconv
from experiments.keras_examples.networks import wine_quality

# Told are: RMSprop without momentum has none to cycle; so small a network with sigmoids does not diverge.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:RMSprop was built with momentum=0"),
    pytest.mark.filterwarnings("ignore:lr_find. the loss had not diverged"),
]


@pytest.fixture(scope="module")
def wines():
    return train_test_split(*make_friedman1(5000, noise=1, random_state=0), test_size=0.15, random_state=0)


def published(wines):
    x_train, x_test, y_train, y_test = wines
    model = wine_quality(1e-3)
    model.fit(x_train, y_train, batch_size=256, epochs=100, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def one_line(wines):
    x_train, x_test, y_train, y_test = wines
    model = wine_quality(1e-3)
    sconv.fit_one_cycle(model, x_train, y_train, batch_size=256, epochs=20, range_test={"max_steps": 300}, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def test_a_smaller_error_in_a_fifth_of_the_epochs(wines, mean):
    assert mean(one_line, wines) < mean(published, wines) - 0.5
