"""task=evaluate and task=predict by the files they leave, against scikit-learn's figures."""

import csv
import itertools
import json
import os
import sys

import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from sklearn import metrics

from sconv import checks, plots
from sconv.datasets import synthetic
from sconv.runner.config import schema
from sconv.runner.config.data import load_dataset
from sconv.runner.job import Job
from sconv.runner.tasks.evaluate import Evaluation, _tell, evaluate
from sconv.runner.tasks.predict import predict

SHAPE, NAMES = (6, 5, 3), ("ant", "bee", "cat", "dog")
DATASET = {
    "_target_": "sconv.datasets.synthetic.load",
    "shape": list(SHAPE),
    "classes": 4,
    "test_size": 90,
    "noise": 0.9,
}
LOSSES = {
    "one-hot": (4, "softmax", keras.losses.CategoricalCrossentropy()),
    "sparse": (4, "softmax", keras.losses.SparseCategoricalCrossentropy()),
    "logits": (4, None, keras.losses.CategoricalCrossentropy(from_logits=True)),
    "one of two": (1, "sigmoid", keras.losses.BinaryCrossentropy()),
    "logit of two": (1, None, keras.losses.BinaryCrossentropy(from_logits=True)),
}


def model_of(kind):
    outputs, activation, loss = LOSSES[kind]
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(outputs, activation=activation)(x))
    model.compile("sgd", loss)
    return model


def write_run(folder, kind="one-hot", dataset=DATASET, names=("0", "1", "2", "3")):
    if LOSSES[kind][0] == 1:
        dataset, names = {**dataset, "classes": 2}, names[:2]
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create({"dataset": dataset}), folder / ".hydra" / "config.yaml")
    (folder / "summary.json").write_text(json.dumps({"status": "finished", "class_names": names}))
    model = model_of(kind)
    model.save(folder / "model.keras")
    return model, OmegaConf.create(dataset)


def flat_run(folder):
    """A run on inputs that are no images."""
    write_run(folder, dataset={**DATASET, "shape": [7]})
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    model.save(folder / "model.keras")
    return folder


def carry_out(task, output, *overrides):
    overrides = [*overrides, "device._target_=builtins.dict"]  # TensorFlow runs already
    output.mkdir(exist_ok=True)
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        cfg = compose("config", overrides)
        task(Job(cfg, output, {}, tuple(overrides)), **{name: cfg.task[name] for name in cfg.task if name[0] != "_"})
    return output


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def as_probabilities(outputs, kind):
    if kind == "logits":
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    if kind == "logit of two":
        outputs = 1 / (1 + np.exp(-outputs))
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs / outputs.sum(axis=1, keepdims=True)  # in 64 bits


@pytest.mark.parametrize("kind", LOSSES)
def test_evaluate_tells_what_scikit_learn_tells(kind, tmp_path, capsys):
    model, settings = write_run(tmp_path / "run", kind)
    test = load_dataset(settings).test
    found = as_probabilities(np.asarray(model(test.images), np.float64), kind)
    output = carry_out(evaluate, tmp_path / "out", "task=evaluate", f"run={tmp_path / 'run'}")
    told = json.loads((output / "evaluation.json").read_text())
    assert told["examples"] == 90
    assert told["accuracy"] == pytest.approx(metrics.accuracy_score(test.labels, found.argmax(axis=1)))
    assert told["loss"] == pytest.approx(metrics.log_loss(test.labels, found), rel=1e-4)
    confusion = metrics.confusion_matrix(test.labels, found.argmax(axis=1))
    assert np.array_equal(np.array(rows(output / "confusion.csv")[1:])[:, 1:].astype(int), confusion)
    recall = metrics.recall_score(test.labels, found.argmax(axis=1), average=None)
    classes = rows(output / "classes.csv")
    assert classes[0] == ["class", "examples", "accuracy"]
    assert [float(row[2]) for row in classes[1:]] == pytest.approx(recall.tolist())
    with Image.open(output / "confusion.png") as image:
        assert np.asarray(image.convert("L")).std() > 10
    assert f"{told['accuracy']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", LOSSES)
def test_mirror_images_are_asked_too_and_told_apart(kind, tmp_path, capsys):
    model, settings = write_run(tmp_path / "run", kind)
    test = load_dataset(settings).test
    both = (test.images, np.flip(test.images, axis=2))
    one, other = (as_probabilities(np.asarray(model(images), np.float64), kind) for images in both)
    wanted = ("task=evaluate", f"run={tmp_path / 'run'}", "task.mirrored=true")
    told = json.loads((carry_out(evaluate, tmp_path / "out", *wanted) / "evaluation.json").read_text())
    right = {
        name: (found.argmax(axis=1) == test.labels).mean() for name, found in (("one", one), ("both", one + other))
    }
    assert (told["accuracy"], told["accuracy_mirrored"]) == pytest.approx((right["one"], right["both"]))
    assert right["one"] != right["both"]
    assert f"mirrored too   {right['both']:.4f}, by each image and its mirror image together" in capsys.readouterr().out


@pytest.mark.parametrize("classes", [3, 31], ids=["counts", "too many for counts"])
def test_the_picture_shows_counts_and_shares_of_each_class_with_a_scale_for_errors(classes):
    counts = np.diag(np.arange(classes) * 10)  # of the first class there is none
    counts[1, 2] = 30
    figure = plots.confusion(counts, [f"class {number}" for number in range(classes)], "title")
    axis, *bars = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("predicted", "true", "title")
    errors, right = axis.images
    wrong, shares = np.zeros((classes, classes)), np.ones(classes)
    wrong[1, 2], shares[:2] = 0.75, (0, 0.25)
    assert np.array_equal(errors.get_array(), wrong)
    assert np.array_equal(right.get_array().compressed(), shares)
    assert np.array_equal(right.get_array().mask, ~np.eye(classes, dtype=bool))
    assert [(bar.get_ylabel(), bar.get_ylim()) for bar in bars] == [
        ("errors, of the true class", (0, 0.75)),
        ("right", (0, 1)),
    ]
    said = {text.get_position(): text.get_text() for text in axis.texts if text.get_text()}
    assert said == ({(1, 1): "10", (2, 1): "30", (2, 2): "20"} if classes == 3 else {})


@pytest.mark.parametrize(("letters", "upright"), [(3, True), (12, False)])
def test_labels_stand_upright_where_they_fit(letters, upright):
    names = [chr(ord("a") + number) * letters for number in range(10)]
    figure = plots.confusion(np.eye(10, dtype=int), names)
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {0.0 if upright else 90.0}
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))


def test_evaluate_on_another_dataset(tmp_path):
    model, settings = write_run(tmp_path / "run")
    other = OmegaConf.merge(settings, {"seed": 5, "test_size": 12})
    test = load_dataset(other).test
    given = ["dataset=synthetic", "dataset.shape=[6,5,3]", "dataset.classes=4", "dataset.noise=0.9"]
    wanted = ["task=evaluate", f"run={tmp_path / 'run'}", *given, "dataset.seed=5", "dataset.test_size=12"]
    told = json.loads((carry_out(evaluate, tmp_path / "out", *wanted) / "evaluation.json").read_text())
    assert told["examples"] == 12
    right = np.asarray(model(test.images)).argmax(axis=1) == test.labels
    assert told["accuracy"] == pytest.approx(right.mean())


def test_a_setting_of_the_dataset_alone_is_of_the_runs_own(tmp_path):
    _, settings = write_run(tmp_path / "run")
    test = load_dataset(OmegaConf.merge(settings, {"classes": 4, "test_size": 90})).test
    wanted = ["task=evaluate", f"run={tmp_path / 'run'}", "dataset.train_size=8"]
    told = json.loads((carry_out(evaluate, tmp_path / "out", *wanted) / "evaluation.json").read_text())
    assert (told["dataset"], told["examples"]) == ("synthetic", len(test))
    output = carry_out(evaluate, tmp_path / "more", *wanted[:2], "+dataset.test_size=12")
    assert json.loads((output / "evaluation.json").read_text())["examples"] == 12


def test_paths_of_a_run_are_those_from_where_it_was_made(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype(np.uint8)
    labels = np.arange(8) % 4
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    write_run(tmp_path / "run", dataset={"_target_": "sconv.datasets.npz.load", "path": "mine.npz"})
    there = {"hydra": {"runtime": {"cwd": str(tmp_path)}}}
    OmegaConf.save(OmegaConf.create(there), tmp_path / "run" / ".hydra" / "hydra.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    output = carry_out(evaluate, tmp_path / "out", "task=evaluate", f"run={tmp_path / 'run'}")
    assert json.loads((output / "evaluation.json").read_text())["examples"] == 8
    carry_out(evaluate, tmp_path / "part", "task=evaluate", f"run={tmp_path / 'run'}", "dataset.train_size=4")
    carry_out(evaluate, tmp_path / "here", "task=evaluate", f"run={tmp_path / 'run'}", "+dataset.path=../mine.npz")
    assert os.getcwd() == str(tmp_path / "elsewhere")


OWN_LAYER = """
import keras

@keras.saving.register_keras_serializable(package="own_layers")
class Twice(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs

def build(input_shape, classes):
    middle = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 510), Twice()]
    return keras.Sequential([keras.Input(input_shape), *middle, keras.layers.Dense(classes, activation="softmax")])
"""


def test_a_layer_of_ones_own_is_loaded_where_it_is_allowed(tmp_path, monkeypatch):
    (tmp_path / "own_layers.py").write_text(OWN_LAYER)
    monkeypatch.syspath_prepend(tmp_path)
    import own_layers

    write_run(tmp_path / "run")
    path = tmp_path / "run" / ".hydra" / "config.yaml"
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), {"model": {"_target_": "own_layers.build"}}), path)
    model = own_layers.build(SHAPE, 4)
    model.compile("sgd", keras.losses.CategoricalCrossentropy())
    model.save(tmp_path / "run" / "model.keras")
    monkeypatch.delitem(sys.modules, "own_layers")
    keras.saving.get_custom_objects().pop("own_layers>Twice")
    wanted = ["task=evaluate", f"run={tmp_path / 'run'}"]
    with pytest.raises(checks.DataError, match=r"Twice.*allowed_targets=\[own_layers.build\] allows them$") as caught:
        carry_out(evaluate, tmp_path / "out", *wanted)
    assert "\n" not in str(caught.value)
    assert "own_layers" not in sys.modules
    carry_out(evaluate, tmp_path / "out", *wanted, "allowed_targets=[own_layers.*]")
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_the_table_fits_the_terminal(capsys, monkeypatch, tmp_path):
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    dataset = synthetic.load(SHAPE, classes=10, train_size=20, test_size=20)
    confusion = np.diag([100] * 9 + [0])
    confusion[0, 1] = 7
    monkeypatch.chdir(tmp_path)
    for width, whole in (("80", False), ("140", True)):
        monkeypatch.setenv("COLUMNS", width)
        _tell(Evaluation(0.5, confusion), dataset, names, tmp_path)
        shown = capsys.readouterr().out
        assert ("most often taken for" in shown) is not whole
        assert max(map(len, shown.splitlines())) <= int(width)
        assert "0.9346" in shown
        assert "automobile" in shown
        assert " - " in shown
        assert "nan" not in shown


def test_evaluate_calls_nothing_a_foreign_run_names(tmp_path):
    trap = {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "sprung")}
    write_run(tmp_path / "run", dataset={**DATASET, "noise": trap})
    with pytest.raises(checks.SettingError, match=r"^_target_: the run's config names 'pathlib.Path.touch'"):
        carry_out(evaluate, tmp_path / "out", "task=evaluate", f"run={tmp_path / 'run'}")
    assert not (tmp_path / "sprung").exists()


def test_many_classes_show_the_worst_and_what_they_are_taken_for(tmp_path, capsys):
    names = [f"class {number}" for number in range(40)]
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    settings = {**DATASET, "classes": 40}
    OmegaConf.save(OmegaConf.create({"dataset": settings}), tmp_path / "run" / ".hydra" / "config.yaml")
    (tmp_path / "run" / "summary.json").write_text(json.dumps({}))
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, keras.layers.Dense(40, activation="softmax")(keras.layers.Flatten()(inputs)))
    model.compile("sgd", keras.losses.CategoricalCrossentropy())
    model.save(tmp_path / "run" / "model.keras")
    output = carry_out(evaluate, tmp_path / "out", "task=evaluate", f"run={tmp_path / 'run'}")
    assert len(rows(output / "classes.csv")) == 1 + len(names)
    shown = capsys.readouterr().out
    assert "most often taken for" in shown
    assert len(shown.splitlines()) < 30


def save_images(folder, count=3, size=(5, 6)):
    """PNGs, which keep every pixel; returns their pixels by name."""
    folder.mkdir(parents=True, exist_ok=True)
    random, pixels = np.random.default_rng(0), {}
    for number in range(count):
        pixels[f"{number}.png"] = random.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels[f"{number}.png"]).save(folder / f"{number}.png")
    return pixels


@pytest.mark.parametrize("kind", ["one-hot", "logits", "logit of two"])
def test_predict_tells_class_and_probability_of_each_image(kind, tmp_path, caplog):
    model, _ = write_run(tmp_path / "run", kind, names=NAMES)
    pixels = save_images(tmp_path / "images" / "deep")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    wanted = ["task=predict", f"run={tmp_path / 'run'}", f"images={tmp_path / 'images'}"]
    found = rows(carry_out(predict, tmp_path / "out", *wanted) / "predictions.csv")
    assert found[0] == ["file", "class", "probability"]
    expected = as_probabilities(np.asarray(model(np.stack(list(pixels.values()))), np.float64), kind)
    assert [row[0] for row in found[1:]] == [str(tmp_path / "images" / "deep" / name) for name in pixels]
    assert [row[1] for row in found[1:]] == [NAMES[row.argmax()] for row in expected]
    assert [float(row[2]) for row in found[1:]] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-5)
    assert "notes.txt is left out: not an image" in caplog.text


def test_predict_resizes_and_takes_one_file(tmp_path):
    write_run(tmp_path / "run", names=NAMES)
    save_images(tmp_path / "images", count=1, size=(50, 31))
    wanted = ["task=predict", f"run={tmp_path / 'run'}", f"images={tmp_path / 'images' / '0.png'}"]
    assert len(rows(carry_out(predict, tmp_path / "out", *wanted) / "predictions.csv")) == 2


@pytest.mark.parametrize("task", [evaluate, predict])
@pytest.mark.parametrize(
    ("run", "why"), [("null", "got nothing"), ("nowhere", "is no directory"), ("empty", "no model")]
)
def test_a_run_that_is_none_is_one_line(task, run, why, tmp_path):
    (tmp_path / "empty").mkdir()
    wanted = run if run == "null" else tmp_path / run
    with pytest.raises(checks.SettingError, match=f"^run: .*{why}.*expected the directory of a") as caught:
        carry_out(task, tmp_path / "out", f"run={wanted}", "images=.")
    assert "\n" not in str(caught.value)


def test_other_wrong_settings_are_one_line(tmp_path):
    write_run(tmp_path / "run")
    run = f"run={tmp_path / 'run'}"
    (tmp_path / "bad.png").write_text("no image")
    for overrides, message in (
        ([run], "images: got nothing"),
        ([run, f"images={tmp_path / 'none'}"], "images: got .*none.*, expected an image file or a folder"),
        ([run, f"images={tmp_path / 'bad.png'}"], "images: got .* none can be read"),
    ):
        with pytest.raises(checks.UserError, match=f"^{message}"):
            carry_out(predict, tmp_path / "out", *overrides)
    with pytest.raises(checks.SettingError, match=r"^dataset: synthetic has inputs \(28, 28, 1\) of classes"):
        carry_out(evaluate, tmp_path / "out", run, "dataset=synthetic")
    with pytest.raises(
        checks.SettingError, match=r"^task.mirrored: got true and inputs of shape \(7,\), expected images"
    ):
        carry_out(
            evaluate, tmp_path / "out", "task=evaluate", f"run={flat_run(tmp_path / 'flat')}", "task.mirrored=true"
        )
    with pytest.raises(checks.SettingTypeError, match=r"^task.mirrored: got 2, expected true or false"):
        carry_out(evaluate, tmp_path / "out", run, "task=evaluate", "task.mirrored=2")
    (tmp_path / "run" / "model.keras").write_text("broken")
    with pytest.raises(checks.DataError, match=r"^run: .*model.keras is broken"):
        carry_out(evaluate, tmp_path / "out", run)
