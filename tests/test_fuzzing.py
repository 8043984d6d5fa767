"""Any scalar anywhere in a configuration, any bytes in any file that is read: one line, or a right result.

Never a traceback, a hang, or a run that looks finished and is not. CI tries the same 2,000 cases and some each time;
`SCONV_FUZZ=50 python -m pytest tests/test_fuzzing.py` fifty times as many, others every time. What was found stays, as
an @example.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

import fabricate
from hostile import check_told, damaged, fuzzed, odd, one_line
from sconv import checks, runs
from sconv.datasets import image_csv, npz
from sconv.datasets.building import image_decoding
from sconv.report import table
from sconv.report.comparison import compare
from sconv.report.groups import gather
from sconv.runner import errors
from sconv.runner.config import trusted, validate
from sconv.runner.config.data import load_dataset
from sconv.runner.plan import plan
from sconv.training import checkpoint_file

# How many cases of each CI tries.
CASES = {
    "summary": 200,
    "configuration of a run": 100,
    "bytes of a run": 250,
    "record": 300,
    "knobs": 100,
    "npz": 500,
    "table": 150,
    "images": 300,
    "checkpoint": 100,
    "model": 40,
    "idx": 40,
}
assert sum(CASES.values()) > 2000


# --- Run folders ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A baseline, and a run to spoil."""
    root = tmp_path_factory.mktemp("runs")
    fabricate.run(root / "good", [0.5, 0.6, 0.7])
    fabricate.run(root / "odd", [0.4, 0.6, 0.8], schedule="onecycle")
    runs.write_settings(root / "odd", runs.Settings(RECORD, {"model": "mlp"}, ["epochs=1"], "."))
    return root


@pytest.fixture(scope="module")
def parts(folder):
    return {str(path.relative_to(folder / "odd")): path.read_bytes() for path in files(folder / "odd")}


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and "events" not in path.name)


def report(folder):
    """Read it, compare, and print: what stays of the odd run is whole."""
    try:
        runs.read(folder / "odd")
    except runs.BrokenRun as error:
        return check_told(str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups, notes = gather([folder])
        out = io.StringIO()
        table.show(compare(groups), Console(file=out, width=100))
        table.listing([run for group in groups for run in group.runs], Console(file=out, width=100))
    assert "baseline" in out.getvalue()
    assert {sign for sign in out.getvalue() if not sign.isprintable()} <= {"\n"}
    assert all("\n" not in note for note in notes)
    for run in (run for group in groups for run in group.finished):
        assert 0 <= runs.accuracy(run.summary, "test") <= 1
        assert len(run.epochs["step"]) > 0


def in_place_of(folder, parts, name, content):
    for other, whole in parts.items():
        (folder / "odd" / other).write_bytes(content if other == name else whole)


SUMMARY = {
    "status": "finished",
    "seed": 0,
    "steps": 60,
    "train_examples": 640,
    "monitored": "test",
    "learned": True,
    "seconds": {"training": 6.0, "total": 8.0},
    "test": {"loss": 0.5, "accuracy": 0.8},
    "class_names": ["a", "b"],
    "final": {"epoch": 3, "val_accuracy": 0.8},
    "best": {"epoch": 3, "val_accuracy": 0.8},
    "error": "none",
    "started": "2026-01-01T00:00:00",
    "process": {"host": "here", "pid": 1},
    "device": {"kind": "cpu"},
}
STATUSES = ("finished", "diverged", "running", "failed", "interrupted")


@fuzzed(CASES["summary"])
@given(summary=odd(SUMMARY), status=st.sampled_from(STATUSES))
def test_any_summary(folder, parts, summary, status):
    summary["status"] = status if summary.get("status") == "finished" else summary.get("status")
    in_place_of(folder, parts, "summary.json", json.dumps(summary).encode())
    with one_line():
        report(folder)


@fuzzed(CASES["configuration of a run"])
@given(config=odd({**fabricate.CONFIG, "epochs": 3}))
def test_any_configuration_of_a_run(folder, parts, config):
    in_place_of(folder, parts, ".hydra/config.yaml", yaml.dump(config, Dumper=yaml.CSafeDumper).encode())
    with one_line():
        report(folder)


@fuzzed(CASES["bytes of a run"])
@given(data=st.data())
def test_any_bytes_in_the_files_of_a_run(folder, parts, data):
    name = data.draw(st.sampled_from(sorted(parts)))
    in_place_of(folder, parts, name, data.draw(damaged(parts[name])))
    with one_line():
        report(folder)
    with one_line(runs.BrokenRun):
        runs.read_steps(folder / "odd")
    with one_line(runs.BrokenRun):
        runs.settings_of(folder / "odd")


# --- The record of a run, and configurations --------------------------------------------------------------------------

SYNTHETIC = {
    "_target_": "sconv.datasets.synthetic.load",
    "shape": [4, 4, 1],
    "classes": 3,
    "train_size": 12,
    "test_size": 6,
    "noise": 0.3,
    "seed": 0,
    "validation": None,
}
RECORD = {"dataset": SYNTHETIC, "model": {"_target_": "sconv.models.mlp.build"}, "lr_max": 0.1}


@fuzzed(CASES["record"])
@given(record=odd({"settings": RECORD, "choices": {"model": "mlp"}, "overrides": [], "directory": "."}))
def test_any_record_of_a_run(tmp_path_factory, record):
    folder = tmp_path_factory.getbasetemp()
    (folder / "settings.json").write_text(json.dumps(record))
    with one_line(*errors._MENDABLE, line=errors.line):
        own = runs.settings_of(folder).settings.get("dataset")
        if isinstance(own, dict):
            load_dataset(trusted.trusted(own))


@pytest.fixture(scope="module")
def knobs(compose):
    return compose("dataset=synthetic", "dataset.shape=[4,4,1]", "dataset.train_size=40", "epochs=2", "batch_size=8")


@pytest.mark.slow
@fuzzed(CASES["knobs"])
@given(data=st.data())
def test_any_scalar_anywhere_in_a_configuration(knobs, data):
    """As far as it goes without training: what is refused is refused in one line."""
    changed = data.draw(odd(OmegaConf.to_container(knobs)))
    try:
        merged = OmegaConf.merge(knobs, changed)
    except OverflowError:
        return  # of a number that the command line refuses before it is read
    except errors._MENDABLE as error:
        return check_told(errors.line(error))
    with one_line(*errors._MENDABLE, line=errors.line):
        cfg = OmegaConf.create(OmegaConf.to_container(merged))
        validate.validate(cfg, in_sweep=False)
        plan(cfg)


# --- Data -------------------------------------------------------------------------------------------------------------


def arrays(**members):
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


ARRAYS = arrays(x_train=np.arange(96, dtype=np.uint8).reshape(6, 4, 4), y_train=np.arange(6) % 2)


def with_right_sums(content):
    """The same archive as one who means harm would make it: nothing in it contradicts its own sums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {each.filename: each for each in archive.infolist()}
            for each in members.values():
                each.CRC = None
            whole = {}
            for name, each in members.items():
                with archive.open(each) as file:
                    file._expected_crc = None
                    whole[name] = file.read()
    except Exception:
        return content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, inside in whole.items():
            archive.writestr(name.replace("\0", "0"), inside)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@fuzzed(CASES["npz"])
@given(content=damaged(ARRAYS), is_made_right=st.booleans())
def test_any_bytes_of_arrays(tmp_path_factory, content, is_made_right):
    path = tmp_path_factory.getbasetemp() / "a.npz"
    path.write_bytes(with_right_sums(content) if is_made_right else content)
    with one_line(checks.UserError):
        dataset = npz.load(str(path))
        assert len(dataset.train) == len(dataset.train.labels)


TABLE = b"image,label,split\na.png,x,train\nb.png,y,train\nc.png,x,test\nd.png,y,test\n"


@fuzzed(CASES["table"])
@given(content=damaged(TABLE), has_splits=st.booleans())
def test_any_bytes_of_a_table(tmp_path_factory, content, has_splits):
    folder = tmp_path_factory.getbasetemp() / "table"
    folder.mkdir(exist_ok=True)
    for name in "abcd":
        Image.new("RGB", (3, 2)).save(folder / f"{name}.png")
    (folder / "t.csv").write_bytes(content)
    with one_line(checks.UserError):
        split = "split" if has_splits else None
        image_csv.load(str(folder / "t.csv"), split_column=split, cache=str(folder / "cache"), bad_files="skip")
    shutil.rmtree(folder / "cache", ignore_errors=True)


def pictures():
    ramp = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in {"png": {}, "jpeg": {"exif": exif}, "gif": {}, "bmp": {}, "tiff": {}, "webp": {}}.items():
        buffer = io.BytesIO()
        Image.fromarray(ramp).save(buffer, kind, **options)
        yield buffer.getvalue()


PICTURES = list(pictures())


@fuzzed(CASES["images"])
@given(data=st.data())
def test_any_bytes_of_an_image(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    (folder / "image").write_bytes(data.draw(damaged(data.draw(st.sampled_from(PICTURES)))))
    np.save(folder / "out.npy", np.zeros((1, 6, 5, 3), np.uint8))
    with one_line():
        bad, _ = image_decoding.fill(folder / "out.npy", folder, ["image"], 0, True)
        assert all(reason and "\n" not in reason for _, reason in bad)
        image_decoding.first_size([folder / "image"])


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    return gzip.compress(header + values.tobytes(), mtime=0)


IDX = {
    "train-images-idx3-ubyte.gz": idx(np.zeros((20, 28, 28), np.uint8)),
    "train-labels-idx1-ubyte.gz": idx(np.arange(20, dtype=np.uint8) % 10),
    "t10k-images-idx3-ubyte.gz": idx(np.zeros((10, 28, 28), np.uint8)),
    "t10k-labels-idx1-ubyte.gz": idx(np.arange(10, dtype=np.uint8)),
}


@pytest.mark.slow
@fuzzed(CASES["idx"])
@given(data=st.data())
def test_any_bytes_of_idx_files(tmp_path_factory, monkeypatch_module, data):
    folder = tmp_path_factory.getbasetemp() / "keras"
    (folder / "datasets" / "fashion-mnist").mkdir(parents=True, exist_ok=True)
    monkeypatch_module.setenv("KERAS_HOME", str(folder))
    name = data.draw(st.sampled_from(sorted(IDX)))
    for other, whole in IDX.items():
        content = whole
        if other == name:
            is_packed = data.draw(st.booleans())
            inside = data.draw(damaged(gzip.decompress(whole) if is_packed else whole))
            content = gzip.compress(inside, mtime=0) if is_packed else inside
        (folder / "datasets" / "fashion-mnist" / other).write_bytes(content)
    with one_line(*errors._MENDABLE, line=errors.line):
        dataset = load_dataset(OmegaConf.create({"_target_": "sconv.datasets.fashion_mnist.load"}))
        assert len(dataset.train) == len(dataset.train.labels)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


# --- Models and checkpoints -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model that has made a step, its file, and its checkpoint's state as plain values with its arrays."""
    import keras

    import sconv

    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Dropout(0.1)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((8, 4), np.float32), np.arange(8) % 3
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[sconv.Checkpoint(folder, "1epoch")])
    model.save(folder / "model.keras")
    ((_, path),) = checkpoint_file.listed(folder)
    return model, as_lists(checkpoint_file.load(path)), (folder / "model.keras").read_bytes()


def as_lists(value):
    """A state whose sequences are lists: `odd` then reaches into them."""
    if isinstance(value, dict):
        return {key: as_lists(each) for key, each in value.items()}
    return [as_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


ODD_VALUES = (
    *(None, True, -1, 1.5, 10**20, "x", [], {}, [1], {"array": 0, "dtype": "float32"}, {"array": 10**9, "dtype": "x"}),
    *(np.zeros(0, np.uint8), np.full(3, np.nan, np.float32), np.zeros((2, 2), np.int64), np.array("text")),
)


@pytest.mark.slow
@fuzzed(CASES["checkpoint"])
@given(data=st.data())
def test_any_value_in_a_checkpoint_with_the_right_sum(trained, tmp_path_factory, data):
    from sconv.training import checkpoint

    model, whole, _ = trained
    state = data.draw(odd(whole, ODD_VALUES))
    other = tmp_path_factory.getbasetemp() / "000001-00000000.npz"
    checkpoint_file.save(other, state)
    before = random.getstate()  # Hypothesis draws by it
    with one_line(checks.UserError):
        checkpoint.restore(model, other)
    random.setstate(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@fuzzed(CASES["model"])
@given(data=st.data())
def test_any_bytes_of_a_model(trained, tmp_path_factory, compose, data):
    from sconv.runner.tasks.saved_model import load_model

    folder = tmp_path_factory.getbasetemp() / "model"
    folder.mkdir(exist_ok=True)
    whole = trained[2]
    if data.draw(st.booleans()):
        content = data.draw(damaged(whole))
    else:  # as one who means harm would write it
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if data.draw(st.booleans()):
            members["config.json"] = json.dumps(data.draw(odd(json.loads(members["config.json"])))).encode()
        else:
            name = data.draw(st.sampled_from(sorted(members)))
            members[name] = data.draw(damaged(members[name]))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, inside in members.items():
                archive.writestr(name, inside)
        content = buffer.getvalue()
    (folder / "model.keras").write_bytes(content)
    with one_line(checks.UserError):
        cfg = OmegaConf.create({"allowed_targets": [], "accelerate": False})
        model = load_model(cfg, folder)
        assert model.output_shape[-1] >= 1
