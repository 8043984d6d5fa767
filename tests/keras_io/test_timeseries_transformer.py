"""Timeseries classification with a Transformer, https://keras.io/examples/timeseries/timeseries_classification_transformer/

There: Adam at 0.0001, batches of 64, 4 blocks with heads of 256. Here: the rows of handwritten digits, from top to
bottom, as series, 2 blocks with heads of 32.
"""

from __future__ import annotations

import keras
import pytest
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import sconv

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def series():
    found = load_digits()
    return train_test_split(found.images.astype("float32") / 16, found.target, test_size=500, random_state=0)


def encoder_block(series):
    attended = layers.MultiHeadAttention(num_heads=4, key_dim=32, dropout=0.25)(series, series)
    attended = layers.LayerNormalization(epsilon=1e-6)(layers.Dropout(0.25)(attended)) + series
    hidden = layers.Conv1D(4, 1, activation="relu")(attended)
    hidden = layers.Conv1D(series.shape[-1], 1)(layers.Dropout(0.25)(hidden))
    return layers.LayerNormalization(epsilon=1e-6)(hidden) + attended


def transformer():
    inputs = keras.Input((8, 8))
    series = inputs
    for _ in range(2):
        series = encoder_block(series)
    features = layers.GlobalAveragePooling1D(data_format="channels_first")(series)
    features = layers.Dropout(0.4)(layers.Dense(128, "relu")(features))
    model = keras.Model(inputs, layers.Dense(10, "softmax")(features))
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def published(series):
    x_train, x_test, y_train, y_test = series
    model = transformer()
    model.fit(x_train, y_train, batch_size=64, epochs=20, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def one_line(series):
    x_train, x_test, y_train, y_test = series
    model = transformer()
    sconv.fit_one_cycle(model, x_train, y_train, batch_size=64, epochs=5, range_test={"max_steps": 200}, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def test_better_in_a_quarter_of_the_epochs(series, mean):
    assert mean(one_line, series) > mean(published, series) + 0.15
