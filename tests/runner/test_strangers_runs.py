"""task=evaluate and task=predict on run folders of strangers: what they hold is data, and is never carried out."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from test_evaluate import DATASET, carry_out, rows, write_run

from sconv import checks, runs
from sconv.runner.tasks.evaluate import evaluate
from sconv.runner.tasks.keras_file import check_file
from sconv.runner.tasks.predict import predict

TRAP = "import pathlib; pathlib.Path('sprung').touch()"


class Trap:
    def __reduce__(self):
        return (exec, (TRAP,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder as it was left; only to be copied."""
    write_run(folder := tmp_path_factory.mktemp("whole") / "run")
    return folder


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A run folder without a settings.json, in the folder where the command is given; nothing may spring there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text(TRAP)
    shutil.copytree(whole, tmp_path / "run")
    yield tmp_path / "run"
    assert not (tmp_path / "sprung").exists()
    assert "evil" not in sys.modules


def told(run, dataset, **more):
    """Put a record into the run, as the program writes it."""
    runs.write_settings(run, runs.Settings({"dataset": dataset, **more}, {}, [], "."))


def configured(run, text):
    (run / ".hydra" / "config.yaml").write_text(text)


def refuse(run, match, task=evaluate, *more):
    with pytest.raises(checks.UserError, match=match) as caught:
        carry_out(task, run.parent / "out", f"task={task.__name__}", f"run={run}", *more)
    assert "\n" not in str(caught.value)


def test_the_record_is_what_is_evaluated(run):
    told(run, {**DATASET, "test_size": 12})
    output = carry_out(evaluate, run.parent / "out", "task=evaluate", f"run={run}")
    assert json.loads((output / "evaluation.json").read_text())["examples"] == 12


def test_an_older_runs_knobs_are_read_and_nothing_else_is_resolved(run):
    plain = OmegaConf.to_yaml(OmegaConf.create({"dataset": {**DATASET, "test_size": "${size}"}, "size": 12}))
    configured(run, plain)
    output = carry_out(evaluate, run.parent / "out", "task=evaluate", f"run={run}")
    assert json.loads((output / "evaluation.json").read_text())["examples"] == 12


HIDDEN = {
    "escaped": r"\${oc.create:{_target_: pandas.read_pickle, filepath_or_buffer: p.pkl}}",
    "created": "${oc.create:{_target_: pandas.read_pickle, filepath_or_buffer: p.pkl}}",
    "environment": "${oc.env:HOME}",
    "in a text": "a${size}",
    "nested": "${dataset.seed}",
    "decoded": '${oc.decode:"1"}',
    "a group": "${dataset}",
    "missing": "???",
    "twice": "${hidden}",
    "to nowhere": "${nowhere}",
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("by", ["record", "older configuration"])
def test_what_hides_in_an_interpolation_is_refused(run, name, by):
    import pickle

    (run.parent / "p.pkl").write_bytes(pickle.dumps(Trap()))
    dataset = {**DATASET, "noise": HIDDEN[name]}
    if by == "record":
        told(run, dataset)
    else:
        configured(run, json.dumps({"dataset": dataset, "size": 12, "hidden": r"\${oc.env:HOME}"}))
    with pytest.raises(runs.BrokenRun, match=r"^(settings.json|config.yaml): .*dataset.noise"):
        runs.settings_of(run)
    if name == "escaped":
        refuse(run, r"^run: .*(settings.json|config.yaml): .*dataset.noise")


def test_what_a_runs_folder_tells_hydra_is_not_read(run):
    """Its logging once ran what a handler named (CVE-2026-106441); nor do searchpath and callbacks reach Hydra."""
    handler = {"()": "evil.Handler"}
    logging = {"version": 1, "handlers": {"file": handler}, "root": {"handlers": ["file"]}}
    hydra = {"job_logging": logging, "searchpath": [f"file://{run}"], "callbacks": {"x": {"_target_": "evil.Layer"}}}
    (run / ".hydra" / "hydra.yaml").write_text(json.dumps({"hydra": {**hydra, "runtime": {"cwd": "${oc.env:HOME}"}}}))
    carry_out(evaluate, run.parent / "out", "task=evaluate", f"run={run}")


@pytest.mark.parametrize("by", ["record", "older configuration"])
def test_a_helper_of_ours_writes_over_no_file(run, by):
    victim = run.parent / "victim.npy"
    np.save(victim, np.ones((2, 6, 5, 3), np.uint8))
    before = victim.read_bytes()
    target = {"_target_": "sconv.datasets.building.image_decoding.fill", "out": str(victim), "root": ".", "first": 0}
    dataset = {**target, "files": ["a.png", "b.png"], "resize": True}
    told(run, dataset) if by == "record" else configured(run, json.dumps({"dataset": dataset}))
    refuse(run, "^_target_: the run's config names 'sconv.datasets.building")
    assert victim.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: (run / "settings.json").write_text("{"),
        lambda run: os.mkfifo(run / "settings.json"),
        lambda run: (run / "settings.json").symlink_to("/dev/zero"),
        lambda run: told(run, [1]),
        lambda run: told(run, {"_target_": None}),
        lambda run: told(run, {**DATASET, "test_size": 10**400}),
        lambda run: told(run, {**DATASET, "shape": [10**6, 10**6]}),
        lambda run: configured(run, "a: &a [*a]"),
        lambda run: configured(run, "dataset: [1]"),
        lambda run: configured(run, "dataset: !!python/object/apply:os.system [touch sprung]"),
        lambda run: ((run / "summary.json").unlink(), os.mkfifo(run / "summary.json")),
        lambda run: (run / "summary.json").write_text('{"class_names": [' + "[" * 100),
        lambda run: (run / ".hydra" / "config.yaml").unlink(),
    ],
)
def test_what_is_broken_is_refused_in_one_line(run, spoil):
    spoil(run)
    refuse(run, ".")


def test_names_of_classes_are_shown_as_they_are(run, capsys):
    names = ["[/a]", "\x1b[2Jb", "=HYPERLINK(1)", "$\\frac$"]
    (run / "summary.json").write_text(json.dumps({"class_names": names}))
    labels = np.arange(4)
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    np.savez("mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    told(run, {"_target_": "sconv.datasets.npz.load", "path": "mine.npz", "class_names": names})
    output = carry_out(evaluate, run.parent / "out", "task=evaluate", f"run={run}")
    assert [row[0] for row in rows(output / "classes.csv")[1:]] == [*names[:2], "'=HYPERLINK(1)", names[3]]
    (run.parent / "images").mkdir()
    for name in ("[bold].png", "=1.png", "\x1b[2J.png"):
        Image.fromarray(images[0]).save(run.parent / "images" / name)
    (run.parent / "images" / "\x1b[3J.png").touch()
    os.mkfifo(run.parent / "images" / "pipe.png")
    carry_out(predict, run.parent / "out", "task=predict", f"run={run}", "images=images")
    said = capsys.readouterr().out
    assert {sign for sign in said if not sign.isprintable()} == {"\n"}
    assert "[/a]" in said
    assert "[bold].png" in said


def rewritten(run, change):
    """The run's model.keras with its configuration changed."""
    path = run / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(change(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def in_place_of_flatten(part):
    def change(config):
        layers = config["config"]["layers"]
        layers[2] = {**layers[2], **part}
        return config

    return change


def part(module, name, /, **config):
    return in_place_of_flatten({"module": module, "class_name": name, "registered_name": name, "config": config})


def test_what_an_older_keras_would_import_is_seen_in_the_file(run):
    """Whatever Keras this is: classes of other modules are to be registered, and Python's own functions are none."""
    path = run / "model.keras"
    assert check_file(path) == []
    rewritten(run, part("evil", "Layer"))
    assert check_file(path) == ["Layer"]
    rewritten(run, in_place_of_flatten({"module": "builtins", "class_name": "function", "config": "eval"}))
    with pytest.raises(checks.DataError, match="holds 'function', which may run code of its own"):
        check_file(path)


ODD_MODELS = {
    "a layer of a module here": lambda run: rewritten(run, part("evil", "Layer")),
    "a lambda": lambda run: rewritten(
        run, part("keras.layers", "Lambda", function={"class_name": "__lambda__", "config": {"value": ["4wA", 0, 0]}})
    ),
    "a saved model": lambda run: rewritten(run, part("keras.layers", "TFSMLayer", filepath="/", call_endpoint="serve")),
    "a pickle": lambda run: rewritten(run, part("keras.src.utils.torch_utils", "TorchModuleWrapper", module="gASV")),
    "a function that reads": lambda run: rewritten(run, part("keras.utils", "get_file", fname="x", origin="file:x")),
    "a part that loads": lambda run: rewritten(run, part("keras.saving", "load_model", filepath="x")),
    "a module outside": lambda run: rewritten(run, part("os", "system", command="touch sprung")),
    "a bomb": lambda run: bomb(run / "model.keras"),
    "no configuration": lambda run: zipfile.ZipFile(run / "model.keras", "w").close(),
    "a deep configuration": lambda run: deep(run / "model.keras"),
    "a list": lambda run: rewritten(run, lambda config: [config]),
    "a pipe": lambda run: ((run / "model.keras").unlink(), os.mkfifo(run / "model.keras")),
    "a device": lambda run: ((run / "model.keras").unlink(), (run / "model.keras").symlink_to("/dev/zero")),
    "an input without a size": lambda run: keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    ).save(run / "model.keras"),
    "an image for an output": lambda run: keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Conv2D(4, 3)]).save(
        run / "model.keras"
    ),
}


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 50_000_000)


def deep(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", b"[" * 200_000)


@pytest.mark.parametrize("name", ODD_MODELS)
def test_a_model_that_is_more_than_a_model_is_refused(run, name):
    task = predict if name.startswith("a ") else evaluate
    ODD_MODELS[name](run)
    Image.new("RGB", (5, 6)).save(run.parent / "image.png")
    refuse(run, r"^run: ", task, f"images={run.parent / 'image.png'}")


def test_weights_cut_short_or_of_another_shape_are_refused(run):
    path = run / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for content in (members["model.weights.h5"][:-200], b"", b"\x89HDF\r\n\x1a\n" + bytes(500)):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("metadata.json", "config.json"):
                archive.writestr(name, members[name])
            archive.writestr("model.weights.h5", content)
        refuse(run, r"^run: .*cannot be loaded")


def test_a_file_cut_short_is_no_model(run):
    path = run / "model.keras"
    path.write_bytes(path.read_bytes()[:-30])
    refuse(run, r"^run: .*no whole .keras file")
