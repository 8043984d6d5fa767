"""One clear line where there is no TensorFlow, Keras has another backend, or what is given is of Keras 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import keras
import pytest

import sconv
from sconv import checks
from sconv.schedules import onecycle

NAMES = ("OneCycleScheduler", "lr_find", "fit_one_cycle")
# What needs no training works everywhere.
ASK = """
import sys
import sconv
from sconv.checks import SettingError, MissingError
assert sconv.schedules.onecycle(0.1).sample(10)[0].max() == 0.1
for name in sys.argv[1:]:
    try:
        getattr(sconv, name)
    except (SettingError, MissingError) as error:
        print(type(error).__name__, error)
"""
NO_TENSORFLOW = "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')"
BACKEND = "KERAS_BACKEND: got {}, expected tensorflow: the schedule is in TensorFlow's step"


@pytest.fixture
def ask(environment, tmp_path):
    """ask(code, **environment): what Python prints for each of the names."""

    def ask(code, **extra):
        command = [sys.executable, "-c", code, *NAMES]
        ran = subprocess.run(command, capture_output=True, text=True, env={**environment, **extra}, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return ask


@pytest.fixture
def without_tensorflow(environment, tmp_path):
    """The environment of a Python whose import of TensorFlow fails."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "tensorflow.py").write_text(NO_TENSORFLOW)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "stub"), environment.get("PYTHONPATH", "")])}


def test_without_tensorflow(ask, command, without_tensorflow):
    line = f"tensorflow: not installed in this Python ({sys.executable}), expected pip install tensorflow"
    assert ask(ASK, **without_tensorflow) == [f"MissingError {line}"] * len(NAMES)
    ran = command("dataset=synthetic", "model=mlp", **without_tensorflow)
    assert (ran.returncode, ran.stderr) == (2, f"sconv: {line}\n")


def test_another_backend(ask, tmp_path, monkeypatch):
    """Named, named in Keras's own file, and running."""
    assert ask(ASK, KERAS_BACKEND="torch") == [f"SettingError {BACKEND.format('torch')}"] * len(NAMES)
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert ask(ASK, KERAS_HOME=str(tmp_path)) == [f"SettingError {BACKEND.format('jax')}"] * len(NAMES)
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    for name in NAMES:
        monkeypatch.delitem(vars(sconv), name, raising=False)  # where an earlier test has asked for it
        with pytest.raises(checks.SettingError, match=BACKEND.format("openvino")):
            getattr(sconv, name)


def test_another_backend_on_the_command_line(command, tmp_path):
    ran = command("dataset=synthetic", KERAS_BACKEND="jax")
    assert (ran.returncode, ran.stderr) == (2, f"sconv: {BACKEND.format('jax')}\n")
    assert not [*tmp_path.glob("outputs/**/summary.json")]


# --- Keras 2 -------------------------------------------------------------------------------------------------------


class Optimizer:
    __module__ = "tf_keras.src.optimizers.sgd"


class Model:
    """What there is of Keras 2 in a fit: callbacks are given the model, then asked what its own have."""

    __module__ = "tf_keras.src.engine.sequential"
    optimizer = Optimizer()

    def fit(self, callbacks):
        for callback in callbacks:
            callback.set_model(self)
        for callback in callbacks:
            callback._implements_train_batch_hooks()


CALLS = {
    "OneCycleScheduler": lambda model: model.fit([sconv.OneCycleScheduler(0.1)]),
    "LRFinder": lambda model: model.fit([sconv.LRFinder()]),
    "lr_find": lambda model: sconv.lr_find(model, ([1.0], [1.0])),
    "fit_one_cycle": lambda model: sconv.fit_one_cycle(model, ([1.0], [1.0])),
    "attach": lambda model: sconv.attach(model.optimizer, onecycle(0.1), steps=10),
}


@pytest.mark.parametrize("call", CALLS)
def test_keras_2(call):
    with pytest.raises(checks.SettingTypeError) as raised:
        CALLS[call](Model())
    line = r"(model|optimizer): got <tf_keras\..*> of Keras 2 \(tf_keras\), expected a .*keras\..* of Keras 3"
    assert re.fullmatch(line, str(raised.value))
