"""A user's own model and data: used without a change here, and judged in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from sconv import checks
from sconv.datasets import Dataset, Split
from sconv.datasets.building import check
from sconv.runner import build
from sconv.runner.config import data, targets
from sconv.training import model_contract

PACKAGE = Path(__file__).parents[1] / "byo_package"
ROOT = Path(__file__).parents[2]
LOSS = keras.losses.CategoricalCrossentropy()

IMAGES, LABELS = np.zeros((6, 4, 4, 1), np.uint8), np.arange(6) % 3
SPLIT = Split(IMAGES, LABELS)


def dataset(train=SPLIT, test=SPLIT, names=("a", "b", "c"), validation=None):
    return Dataset("made", train, test, names, validation)


def model(inputs=(4, 4, 1), units=3, activation="softmax"):
    entry = keras.Input(inputs)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(entry))
    return keras.Model(entry, keras.layers.Dense(units, activation=activation, kernel_initializer="ones")(x))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (((IMAGES, LABELS), (IMAGES, LABELS)), "returned a tuple"),
        (None, "returned None"),
        (dataset(names=("a",)), "has 1 class"),
        (dataset(train=(IMAGES, LABELS)), "train: got a tuple"),
        (dataset(test=Split(IMAGES.tolist(), LABELS)), "test"),
        (
            dataset(train=Split(IMAGES.astype(np.float64), LABELS)),
            r"got float64 \(6, 4, 4, 1\), expected uint8 or float32",
        ),
        (dataset(train=Split(IMAGES, LABELS[:5])), r"labels: got int64 \(5,\)"),
        (dataset(train=Split(IMAGES, np.eye(3)[LABELS])), "expected whole numbers"),
        (dataset(train=Split(IMAGES, LABELS + 1)), "got 1 to 3, expected 0 to 2"),
        (dataset(train=Split(IMAGES, LABELS - 1)), "got -1 to 1"),
        (dataset(train=Split(IMAGES[:0], LABELS[:0])), "at least one"),
        (
            dataset(test=Split(np.zeros((6, 4, 4, 3), np.uint8), LABELS)),
            r"got inputs of \(4, 4, 3\), expected \(4, 4, 1\)",
        ),
        (dataset(train=Split(np.full((6, 4), np.nan, np.float32), LABELS)), "not finite"),
        (dataset(validation=Split(IMAGES, LABELS + 5)), "validation.labels: got 5 to 7"),
        (dataset(names=3), "class_names: got 3, expected a tuple"),
        (dataset(names="abc"), "class_names: got 'abc', expected a tuple"),
        (
            dataset(test=Split(IMAGES.astype(np.float32), LABELS)),
            "test.images: got float32, expected uint8 as in train",
        ),
    ],
)
def test_a_dataset_that_breaks_the_contract_is_one_line(value, said):
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=said) as caught:
        check.check_dataset(value, "my.load")
    assert str(caught.value).startswith("dataset: my.load")
    assert "expected" in str(caught.value)


def test_a_dataset_that_keeps_it_is_accepted():
    check.check_dataset(dataset(validation=SPLIT), "my.load")
    check.check_dataset(dataset(*[Split(np.ones((6, 5), np.float32), LABELS.astype(np.uint8))] * 2), "my.load")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("resnet", "returned a str, expected a Sequential or functional keras.Model"),
        (type("Own", (keras.Model,), {})(), "returned a Own, expected a Sequential or functional keras.Model"),
        (model(inputs=(5, 5, 1)), r"does not take raw inputs of \(4, 4, 1\)"),
        (model(units=4), r"gives \(2, 4\) for 2 inputs, expected \(2, 3\)"),
        (model(activation=None), "gives no probabilities .* loss.from_logits=true"),
    ],
)
def test_a_model_that_breaks_the_contract_is_one_line(value, said):
    ones = dataset(*[Split(IMAGES + 255, LABELS)] * 2)
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=said) as caught:
        model_contract.check_model(value, ones, LOSS, "my.build")
    assert str(caught.value).startswith("model: my.build")
    assert "\n" not in str(caught.value)


def test_a_model_that_keras_would_not_load_again_is_told(caplog):
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    for layer, said in ((Own(), "a layer Own"), (keras.layers.Lambda(lambda x: x), "a Lambda layer")):
        inner = keras.Sequential([keras.Input((4, 4, 1)), layer])
        made = keras.Sequential([inner, model()])
        caplog.clear()
        model_contract.note_weaknesses(made, "my.build")
        assert f"model: my.build has {said}, which Keras does not load again" in caplog.text
        caplog.clear()
    model_contract.note_weaknesses(model(), "my.build")
    assert caplog.text == ""


MODULES = {
    "number": ("build = 3", r"^model\._target_: got number.build, which is 3, expected a function$"),
    "broken": ("def", r"^model\._target_: got broken.build, whose module fails: SyntaxError: .*line 1"),
    "unnamed": ("x = 1\ny = nonesuch", r"whose module fails: NameError: .* \(unnamed.py, line 2\)$"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_fails_is_one_line(tmp_path, monkeypatch, name):
    text, said = MODULES[name]
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=said) as caught:
        targets.function("model", f"{name}.build")
    assert "\n" not in str(caught.value)


def test_a_model_that_keeps_it_is_accepted():
    ones = dataset(*[Split(IMAGES + 255, LABELS)] * 2)
    model_contract.check_model(model(), ones, LOSS, "my.build")
    model_contract.check_model(
        model(activation=None), ones, keras.losses.CategoricalCrossentropy(from_logits=True), "my.build"
    )
    two = dataset(*[Split(IMAGES, LABELS % 2)] * 2, names=("a", "b"))
    model_contract.check_model(model(units=1, activation="sigmoid"), two, keras.losses.BinaryCrossentropy(), "my.build")


def test_labels_take_the_form_the_loss_takes():
    assert model_contract.label_depth(model(), LOSS) == 3
    assert model_contract.label_depth(model(), keras.losses.SparseCategoricalCrossentropy()) is None
    assert model_contract.label_depth(model(units=1), keras.losses.BinaryCrossentropy()) is None


def settings(**values):
    return OmegaConf.create({"classes": None, "train_size": None, "validation": None, **values})


def test_the_part_asked_for_is_selected_from_any_loader(monkeypatch):
    monkeypatch.syspath_prepend(PACKAGE)
    mine = data.load_dataset(settings(_target_="my_package.data.load", classes=["light", "dark"], train_size=20))
    assert mine.class_names == ("light", "dark")
    assert np.bincount(mine.train.labels).tolist() == [10, 10]
    assert mine.train.images[mine.train.labels == 0].min() >= 160
    held = data.load_dataset(settings(_target_="my_package.data.load", validation=0.25))
    assert (len(held.train), len(held.monitored), len(held.test)) == (90, 30, 120)


def test_a_loader_that_can_make_a_number_gets_it_and_a_list_still_selects():
    of = "sconv.datasets.synthetic.load"
    assert len(data.load_dataset(settings(_target_=of, train_size=3000)).train) == 3000
    assert data.load_dataset(settings(_target_=of, classes=4)).classes == 4
    assert data.load_dataset(settings(_target_=of, classes=["7", "2"])).class_names == ("7", "2")


@pytest.mark.parametrize(
    ("group", "target", "extra", "said"),
    [
        (
            "dataset",
            "my_package.data.load",
            {"cuont": 3},
            r"^dataset\.cuont: got 3, .* one of count; .*count\?$",
        ),
        ("model", "my_package.data.load", {}, "model: my_package.data.load.count. is called with input_shape, classes"),
        (
            "model",
            "my_package.net.build",
            {"depth": 3},
            r"^model\.depth: got 3, which my_package.net.build does",
        ),
        (
            "model",
            "my_package.net.bild",
            {},
            "^model._target_: got my_package.net.bild, expected a function that can be",
        ),
        ("dataset", "absent.load", {}, "^dataset._target_: got absent.load, expected .*: No module named 'absent'"),
    ],
)
def test_a_wrong_signature_or_name_is_one_line(monkeypatch, group, target, extra, said):
    monkeypatch.syspath_prepend(PACKAGE)
    chosen = OmegaConf.create({"_target_": target, **extra})
    given = () if group == "dataset" else (dataset(), LOSS)
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=said) as caught:
        {"dataset": data.load_dataset, "model": build._build_model}[group](chosen, *given)
    assert "\n" not in str(caught.value)


def test_heavy_imbalance_is_told(caplog, monkeypatch):
    monkeypatch.syspath_prepend(PACKAGE)
    data.load_dataset(settings(_target_="my_package.data.load"))
    assert not caplog.records
    labels = np.array([0] * 95 + [1] * 4 + [2])
    skewed = Split(np.zeros((100, 4, 4, 1), np.uint8), labels)
    monkeypatch.setattr("my_package.data.load", lambda: dataset(skewed, skewed))
    data.load_dataset(settings(_target_="my_package.data.load"))
    assert "to train on there are 1 of c, 95 of a; always answering a would be right 95 %" in caplog.text


def run(folder, *overrides, python=sys.executable, **environment):
    done = subprocess.run(
        [python, "-m", "sconv", *overrides, "epochs=2"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (summary,) = (json.loads(path.read_text()) for path in folder.glob("outputs/*/*/summary.json"))
    return summary


def test_own_model_and_data_by_target(tmp_path):
    path = os.pathsep.join([str(PACKAGE), str(ROOT / "src")])
    summary = run(
        tmp_path, "model._target_=my_package.net.build", "dataset._target_=my_package.data.load", PYTHONPATH=path
    )
    assert summary["steps"] == 8
    assert summary["parameters"] == 9 * 8 + 8 + 8 * 3 + 3


@pytest.mark.long
@pytest.mark.slow
def test_own_package_in_a_fresh_environment(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "-q", ROOT, PACKAGE]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"no package index: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (tmp_path / "run").mkdir()
    summary = run(
        tmp_path / "run",
        f"--config-dir={PACKAGE / 'my_conf'}",
        "model=mine",
        "dataset=mine",
        python=python,
        PYTHONPATH="",
    )
    assert summary["steps"] == 10
    assert summary["parameters"] == 9 * 4 + 4 + 4 * 3 + 3
