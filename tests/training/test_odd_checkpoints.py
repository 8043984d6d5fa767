"""Checkpoints whose sum is right and whose values are not what a fit writes: damaged, in one line, before a step."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import sconv
from sconv import checks
from sconv.training import checkpoint_file

NAME = "000001-00000000.npz"
ODD = {
    "position": ([1.5, 0], [-1, 0], [10**12, 0], [1], "ab", None, [True, 0]),
    "finished": (None, "yes", 1),
    "settings": ([], None),
    "parts": ([], None),
    "best": ({}, {"score": "low", "file": None}, {"score": 1.0, "file": 3}),
    "history": ({}, {"epoch": ["a"], "logs": {}}, {"epoch": [], "logs": {"loss": 1}}),
    "variables": ({}, {"model": []}, None),
    "schedule": ("cosine", [1]),
}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model().fit(*data(), batch_size=4, verbose=0, callbacks=[sconv.Checkpoint(folder)])
    return checkpoint_file.load(folder / NAME)


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    made = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


def data():
    return np.zeros((8, 4), np.float32), np.arange(8) % 3


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_is_a_damaged_checkpoint(state, tmp_path, name):
    for value in ODD[name]:
        checkpoint_file.save(tmp_path / NAME, {**state, name: value})
        with pytest.raises(checks.DataError, match=r"^checkpoint: .* is damaged"):
            sconv.Checkpoint(tmp_path).find()
    checkpoint_file.save(tmp_path / NAME, {key: each for key, each in state.items() if key != name})
    with pytest.raises(checks.DataError, match=r"^checkpoint: .* is damaged"):
        sconv.Checkpoint(tmp_path).find()


def test_the_one_before_an_odd_one_is_taken(state, tmp_path):
    checkpoint_file.save(tmp_path / NAME, state)
    checkpoint_file.save(tmp_path / "000002-00000000.npz", {**state, "position": None})
    with pytest.warns(UserWarning, match="going on from the one before"):
        path, _ = sconv.Checkpoint(tmp_path).find()
    assert path.name == NAME


def test_odd_values_that_only_a_model_knows_are_told_before_a_step(state, tmp_path):
    variables = {**state["variables"], "python": [np.zeros(3, np.uint32), "x"]}
    odd = {**state, "variables": variables, "finished": False, "position": [0, 1]}
    checkpoint_file.save(tmp_path / "000000-00000001.npz", odd)
    fresh = model()
    with pytest.raises(checks.DataError, match=r"^checkpoint: .* is damaged"):
        fresh.fit(*data(), batch_size=4, epochs=1, verbose=0, callbacks=[sconv.Checkpoint(tmp_path)])
    assert int(fresh.optimizer.iterations) == 0
