"""The multilayer perceptron: its parameters, counted by hand, and its settings."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sconv.models import mlp


def test_parameters_on_mnist():
    assert mlp.build((28, 28, 1), 10).count_params() == (28 * 28 * 128 + 128) + (128 * 10 + 10) == 101_770


def test_parameters_of_several_layers():
    model = mlp.build([5, 3], 4, hidden=[7, 6])
    assert model.count_params() == (5 * 3 * 7 + 7) + (7 * 6 + 6) + (6 * 4 + 4)


def test_without_hidden_layers_it_is_softmax_regression():
    model = mlp.build((6,), 3, hidden=(), scale=0.5)
    weights, bias = (np.asarray(variable) for variable in model.trainable_variables)
    x = np.arange(12, dtype=np.uint8).reshape(2, 6)
    scores = np.exp(0.5 * x @ weights + bias)
    expected = scores / scores.sum(axis=1, keepdims=True)
    assert model.predict(x, verbose=0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("dropout", "count"), [(0, 0), (0.25, 2)])
def test_dropout_follows_every_hidden_layer(dropout, count):
    model = mlp.build((6,), 3, hidden=(5, 4), dropout=dropout)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [dropout] * count
