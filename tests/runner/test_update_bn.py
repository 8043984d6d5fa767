"""update_bn=...: the model that is saved evaluates with statistics of its own weights, and the numbers are its own."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest

from sconv.datasets import digits

HERE = "test_update_bn"
TINY = (
    "dataset=digits",
    f"model._target_={HERE}.normalised",
    "epochs=2",
    "batch_size=64",
    "lr_max=0.1",
)


def normalised(input_shape, classes, **settings):
    layers = [keras.layers.Rescaling(1 / 16)]
    for channels in (8, 16):
        convolution = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)
        layers += [convolution, keras.layers.BatchNormalization(), keras.layers.ReLU()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def outcome(directory):
    """The summary, and what the saved model reaches on the test split, by plain Keras."""
    model, test = keras.saving.load_model(directory / "model.keras"), digits.load().test
    labels = keras.utils.to_categorical(test.labels, 10)
    reached = model.evaluate(test.images, labels, verbose=0, return_dict=True)
    return json.loads((directory / "summary.json").read_text()), reached, model


@pytest.mark.slow
@pytest.mark.parametrize("knobs", [("dataset.validation=0.25",), ("optimizer.use_ema=true",)])
def test_the_numbers_are_those_of_the_model_that_is_saved(train, knobs, capsys):
    summary, reached, _ = outcome(train(*knobs, "update_bn=true", tiny=TINY))
    assert summary["test"] == pytest.approx(reached, abs=1e-5)
    assert summary["batch_statistics"] == "of 2 layers, computed at the end (update_bn=true)"
    assert "statistics     of 2 layers, computed at the end (update_bn=true)\n" in capsys.readouterr().out


def test_a_short_run_evaluates_as_it_trained_unless_told_not_to(train, capsys):
    """46 batches at momentum 0.99: m^46, two thirds of what evaluation goes by, is what it was before training."""
    found = {knob: train(f"update_bn={knob}", tiny=TINY) for knob in ("auto", "false")}
    (told, fresh, model), (untold, stale, old) = (outcome(directory) for directory in found.values())
    assert told["batch_statistics"] == "of 2 layers, computed at the end (46 batches are few at momentum 0.99)"
    assert untold["batch_statistics"] is None
    assert told["test"] == pytest.approx(fresh, abs=1e-5)
    assert capsys.readouterr().out.count("statistics  ") == 1
    for one, other in zip(model.trainable_variables, old.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)  # the same training
    assert fresh["accuracy"] > max(0.9, stale["accuracy"] + 0.1)
    with open(found["auto"] / "epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["val_accuracy"]) == pytest.approx(fresh["accuracy"], abs=1e-5)
