"""Range tests of models that a plain multiple of the best loss would end too soon, or that have learned already."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import sconv
from sconv.checks import SettingError

pytestmark = [pytest.mark.filterwarnings("ignore:lr_find"), pytest.mark.slow]


def network(features, outputs=1, activation=None):
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(outputs, activation=activation),
        ]
    )


def outliers(random):
    x = random.normal(size=(4000, 8))
    y = x @ random.normal(size=(8, 1)) + 0.1 * random.normal(size=(4000, 1))
    return x, y + 100 * random.normal(size=y.shape) * (random.random(y.shape) < 0.01)


def rare_positives(random):
    x = random.normal(size=(20000, 10))
    score = x @ random.normal(size=10)
    return x, (score > np.quantile(score, 0.995))[:, None].astype(float)


def clusters(random):
    labels = random.integers(0, 5, 4000)
    return 1.2 * random.normal(size=(5, 16))[labels] + random.normal(size=(4000, 16)), labels


def test_a_regression_with_outliers():
    keras.utils.set_random_seed(0)
    model = network(8)
    model.compile("adam", "huber")
    test = sconv.lr_find(model, outliers(np.random.default_rng(0)))
    assert test.diverged_at > 0.03
    assert 1e-3 < test.suggestion < 0.2


def test_rare_positives_with_a_large_weight():
    keras.utils.set_random_seed(0)
    model = network(10, activation="sigmoid")
    model.compile("adam", "binary_crossentropy")
    data = rare_positives(np.random.default_rng(0))
    test = sconv.lr_find(model, data, class_weight={0: 1, 1: 200})
    assert test.diverged_at is None or test.diverged_at > 3e-3
    assert 3e-4 < test.suggestion < 0.1


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model, data = network(16, 5, "softmax"), clusters(np.random.default_rng(0))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data, epochs=6, verbose=0)
    return model, data


@pytest.mark.parametrize("state", ["as it is", "frozen", "unfrozen"])
def test_a_trained_model_is_told_and_has_a_rate_that_keeps_it(trained, state):
    model, data = trained
    if state != "as it is":
        model.layers[0].trainable = state == "unfrozen"
        model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.warns(UserWarning, match="as that of a trained model does"):
        test = sconv.lr_find(model, data, max_steps=400)
    assert test.diverged_at > 5e-3
    weights, (before, accuracy) = model.get_weights(), model.evaluate(*data, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sconv.fit_one_cycle(model, data, epochs=2, range_test={"max_steps": 400}, verbose=0)
    after = model.evaluate(*data, verbose=0)
    assert any((one != other).any() for one, other in zip(weights, model.get_weights(), strict=True))
    model.set_weights(weights)
    assert after[1] > accuracy - 0.01
    assert after[0] < 2 * before + 0.05


def test_a_loss_that_no_weight_changes_is_still_an_error():
    keras.utils.set_random_seed(0)
    model = network(8)
    model.compile("adam", lambda y_true, y_pred: keras.ops.abs(y_true) + 0 * y_pred)
    with pytest.raises(SettingError, match="nor rose"):
        _ = sconv.lr_find(model, outliers(np.random.default_rng(0)), max_steps=200).suggestion
