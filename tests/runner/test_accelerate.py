"""accelerate=...: what runs fuses, what is saved is the stock model, and what is said of it is so."""

from __future__ import annotations

import csv
import functools
import json
import logging
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

# Each trains, or starts a process of its own.
pytestmark = pytest.mark.slow

DATA = ("dataset=synthetic", "dataset.shape=[8,8,1]", "dataset.classes=4", "dataset.test_size=20")
CONVNET = (*DATA, "dataset.train_size=24", "model=convnet", "epochs=1", "batch_size=8", "lr_max=0.05")
RANGE_TEST = ("lr_find.start_lr=1e-4", "lr_find.end_lr=1e4", "lr_find.max_steps=60")

# What Keras tells one object from another by, of this very process.
ADDRESS = re.compile(rb'"shared_object_id": \d+')


def summary_of(directory):
    return json.loads((directory / "summary.json").read_text())


@pytest.fixture
def fused(monkeypatch):
    """What the fused operation was traced for since: training or inference."""
    seen, function = [], tf.compat.v1.nn.fused_batch_norm

    @functools.wraps(function)
    def call(*args, is_training=True, **kwargs):
        if not tf.executing_eagerly():
            seen.append("training" if is_training else "inference")
        return function(*args, is_training=is_training, **kwargs)

    monkeypatch.setattr(tf.compat.v1.nn, "fused_batch_norm", call)
    return seen


@pytest.fixture(scope="module")
def both(train):
    """The same run with and without."""
    return train(tiny=CONVNET), train("accelerate=false", tiny=CONVNET)


def test_the_saved_model_is_the_stock_one_and_its_numbers_too(both):
    ours, stock = (zipfile.ZipFile(directory / "model.keras").read("config.json") for directory in both)
    assert ADDRESS.sub(b"", ours) == ADDRESS.sub(b"", stock)
    assert b"sconv" not in ours
    weights, expected = (keras.saving.load_model(directory / "model.keras").get_weights() for directory in both)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    without = "import sys; sys.modules['sconv'] = None; import keras; keras.saving.load_model(sys.argv[1])"
    subprocess.run([sys.executable, "-c", without, str(both[0] / "model.keras")], check=True)


def test_the_summary_says_what_was_fused(both):
    assert [summary_of(directory)["accelerated"] for directory in both] == ["4 normalisations fused", None]


@pytest.mark.filterwarnings("ignore:lr_find")
@pytest.mark.parametrize("task", [(), ("task=lr_find", *RANGE_TEST), ("lr_max=auto", *RANGE_TEST)])
def test_trains_fused_unless_told_not_to(train, fused, task, caplog, capsys):
    with caplog.at_level(logging.INFO):
        train(*task, tiny=CONVNET)
    assert "training" in fused
    assert ("inference" in fused) == ("task=lr_find" not in task)
    assert caplog.text.count("accelerate: 4 normalisations fused") == 1
    assert ("accelerated    4 normalisations fused\n" in capsys.readouterr().out) == ("task=lr_find" not in task)
    fused.clear()
    train(*task, "accelerate=false", tiny=CONVNET)
    assert not fused
    assert "accelerated" not in capsys.readouterr().out


def test_evaluates_and_predicts_fused(train, both, fused, tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    said = {}
    for knob in ("true", "false"):
        fused.clear()
        evaluated = train("task=evaluate", *DATA, f"run={both[0]}", f"accelerate={knob}", tiny=())
        assert set(fused) == ({"inference"} if knob == "true" else set())
        predicted = train("task=predict", f"run={both[0]}", f"images={tmp_path}", f"accelerate={knob}", tiny=())
        assert len(fused) == (8 if knob == "true" else 0)
        with open(predicted / "predictions.csv", newline="") as file:
            probability = float(next(csv.DictReader(file))["probability"])
        said[knob] = json.loads((evaluated / "evaluation.json").read_text())["loss"], probability
    assert said["true"] == pytest.approx(said["false"], abs=1e-4)


def test_what_xla_compiles_is_left_to_it_and_nothing_is_said(train, fused, caplog, capsys, monkeypatch):
    """As on a GPU, where Keras has it compile by itself."""
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)
    with caplog.at_level(logging.INFO):
        directory = train(tiny=CONVNET)
    assert not fused
    assert summary_of(directory)["accelerated"] is None
    assert "accelerate" not in caplog.text + capsys.readouterr().out


def test_of_a_network_without_normalisation_there_is_nothing_to_say(finished_run):
    assert summary_of(finished_run)["accelerated"] is None
