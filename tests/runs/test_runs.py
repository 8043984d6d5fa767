"""The run directory: what is in it while a run goes on, after it ended well or badly, and for TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from sconv import runs
from sconv.training.recording import Diverged

RATES, MOMENTA, LOSSES = np.array([0.1, 0.2, 0.1]), np.array([0.95, 0.85, 0.95]), np.array([3.0, 1 / 3, 0.25], "f4")


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def scalars(directory):
    accumulator = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


# --- Summary -------------------------------------------------------------------------------------------------------


def end_with(error):
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        (ValueError("too\nmuch"), "failed"),
        (SystemExit(1), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (Diverged(7, 0.5, 0.9), "diverged"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_status_from_how_the_run_ended(tmp_path, error, status):
    expected = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with expected, runs.RunWriter(tmp_path / "a" / "run") as run:
        run.record(seed=0)
        during = runs.read_summary(tmp_path / "a" / "run")
        end_with(error)
    assert (during["status"], during["seed"]) == ("running", 0)
    summary = runs.read_summary(tmp_path / "a" / "run")
    assert summary["status"] == status
    assert status in runs.STATUSES
    assert summary["seed"] == 0
    assert ("error" in summary) == (status in ("failed", "diverged"))
    if status in ("failed", "diverged"):
        assert summary["error"].startswith(type(error).__name__)
        assert "\n" not in summary["error"]


def test_summary_is_replaced_in_one_move(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        run.record(value="old")
        # A second name for the same file: written in place, it would change; replaced, it keeps what it had.
        os.link(tmp_path / "summary.json", tmp_path / "kept.json")
        run.record(value="new")
        assert json.loads((tmp_path / "kept.json").read_text())["value"] == "old"
        assert runs.read_summary(tmp_path)["value"] == "new"


def test_summary_survives_what_cannot_be_written(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        run.record(steps=3)
        before = runs.read_summary(tmp_path)
        with pytest.raises(TypeError):
            run.record(thing=object())
        assert runs.read_summary(tmp_path) == before
        del run.summary["thing"]


def test_summary_is_whole_whenever_it_is_read(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        ended, seen = threading.Event(), []

        def watch():
            while not ended.is_set():
                seen.append(runs.read_summary(tmp_path)["status"])

        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(200):
            run.record(number=number, padding="x" * 20000)
        ended.set()
        watcher.join()
    assert seen
    assert set(seen) == {"running"}


def test_summary_holds_numpy_numbers(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        run.record(loss=np.float32(0.5), steps=np.int64(3), curve=np.array([1.0, 2.0]), where=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert (summary["loss"], summary["steps"], summary["curve"]) == (0.5, 3, [1.0, 2.0])
    assert summary["where"] == str(tmp_path)


def test_find_gives_the_run_directories(tmp_path):
    for name in ("b", "a/2", "a/1"):
        with runs.RunWriter(tmp_path / name):
            pass
    (tmp_path / "no-run").mkdir()
    assert runs.find(tmp_path) == [tmp_path / "a" / "1", tmp_path / "a" / "2", tmp_path / "b"]
    assert runs.find(tmp_path / "b") == [tmp_path / "b"]


def test_git_commit(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert runs.git_commit() is None
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    assert runs.git_commit() == commit
    (tmp_path / "file").write_text("two")
    assert runs.git_commit() == f"{commit}+"


# --- Tables --------------------------------------------------------------------------------------------------------


def test_tables(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        assert (tmp_path / "steps.csv").read_text().strip() == "step,learning_rate,momentum,loss"
        run.steps(0, RATES, MOMENTA, LOSSES)
        # What was written can be read while the run goes on.
        assert len(rows(tmp_path / "steps.csv")) == 3
        run.steps(3, RATES[:1], None, LOSSES[:1])
        run.epoch(1, 3, 1.23456, {"val_loss": 0.5, "accuracy": np.float32(0.1), "loss": 2.0, "val_accuracy": 0.75})
        assert len(rows(tmp_path / "epochs.csv")) == 1
    steps = rows(tmp_path / "steps.csv")
    assert [row["step"] for row in steps] == ["0", "1", "2", "3"]
    assert [row["momentum"] for row in steps] == ["0.95", "0.85", "0.95", ""]
    assert np.float32(steps[1]["loss"]) == LOSSES[1]
    (epoch,) = rows(tmp_path / "epochs.csv")
    assert list(epoch) == ["epoch", "step", "seconds", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(map(float, epoch.values())) == pytest.approx([1, 3, 1.235, 2.0, 0.1, 0.5, 0.75])


# --- TensorBoard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monitored", runs.SPLITS)
def test_scalars_of_each_step_and_epoch(tmp_path, monitored):
    with runs.RunWriter(tmp_path) as run:
        run.steps(0, RATES, MOMENTA, LOSSES)
        run.steps(3, RATES, MOMENTA, LOSSES * 2)
        run.epoch(1, 3, 1.0, {"loss": 2.0, "accuracy": 0.5, "val_loss": 3.0, "val_accuracy": 0.25}, monitored)
        run.epoch(2, 6, 2.0, {"loss": 1.0, "accuracy": 0.75, "val_loss": 1.5, "val_accuracy": 0.5}, monitored)
    train = scalars(tmp_path)
    epochs = {f"epoch_{name}/{split}" for name in ("loss", "accuracy") for split in ("train", monitored)}
    assert set(train) == {"learning_rate", "momentum", "loss", *epochs}
    assert train["learning_rate"] == [(step, np.float32(RATES[step % 3])) for step in range(6)]
    assert train["momentum"] == [(step, np.float32(MOMENTA[step % 3])) for step in range(6)]
    assert train["loss"] == [(step, LOSSES[step % 3] * (1 + step // 3)) for step in range(6)]
    assert train["epoch_loss/train"] == [(1, 2.0), (2, 1.0)]
    assert train["epoch_accuracy/train"] == [(1, 0.5), (2, 0.75)]
    assert train[f"epoch_loss/{monitored}"] == [(1, 3.0), (2, 1.5)]
    assert train[f"epoch_accuracy/{monitored}"] == [(1, 0.25), (2, 0.5)]
    # One entry in TensorBoard's list of runs.
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("momenta", [MOMENTA, None], ids=["momentum", "left alone"])
def test_steps_are_read_as_written_but_for_a_row_cut_short(tmp_path, momenta):
    with runs.RunWriter(tmp_path) as run:
        assert [len(column) for column in runs.read_steps(tmp_path).values()] == [0] * 4
        run.steps(0, RATES, momenta, LOSSES)
        run.steps(3, RATES[:1], None if momenta is None else momenta[:1], np.array([np.nan]))
    for cut in (0, 2):  # the end of the line, then the last digits too: what is left may look like a number
        found = runs.read_steps(tmp_path)
        rows = slice(3 if cut else 4)
        assert found["step"].tolist() == [0, 1, 2, 3][rows]
        assert found["learning_rate"].tolist() == [*RATES, RATES[0]][rows]
        expected = [np.nan] * 4 if momenta is None else [*momenta, momenta[0]]
        assert np.array_equal(found["momentum"], expected[rows], equal_nan=True)
        assert np.array_equal(found["loss"].astype("f4"), [*LOSSES, np.nan][rows], equal_nan=True)
        whole = (tmp_path / "steps.csv").read_bytes()
        (tmp_path / "steps.csv").write_bytes(whole[:-2])


@pytest.mark.parametrize("text", [None, "", "step,loss\n1,2\n", "step,learning_rate,momentum,loss\n1,x,1,1\n"])
def test_steps_that_cannot_be_read(tmp_path, text):
    if text is not None:
        (tmp_path / "steps.csv").write_text(text)
    with pytest.raises(runs.BrokenRun, match=r"^steps\.csv(: | is missing)"):
        runs.read_steps(tmp_path)


def test_no_momentum_no_curve(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        run.steps(0, RATES, None, LOSSES)
    assert set(scalars(tmp_path)) == {"learning_rate", "loss"}


def test_curves_can_be_watched_after_each_epoch(tmp_path):
    with runs.RunWriter(tmp_path) as run:
        run.steps(0, RATES, MOMENTA, LOSSES)
        run.epoch(1, 3, 1.0, {"loss": 2.0, "val_loss": 3.0})
        assert len(scalars(tmp_path)["loss"]) == 3
        assert scalars(tmp_path)["epoch_loss/test"] == [(1, 3.0)]


def test_a_run_begun_again_starts_its_curves_afresh(tmp_path):
    """A job of a sweep that is taken up again runs in the directory of the one that failed."""
    for _ in range(2):
        runs.claim("hydra.sweep.subdir", tmp_path, {"overrides.yaml": "- seed=0\n"}, None, resumed=True)
        with contextlib.suppress(KeyboardInterrupt), runs.RunWriter(tmp_path) as run:
            run.steps(0, RATES, MOMENTA, LOSSES)
            raise KeyboardInterrupt
    assert len(rows(tmp_path / "steps.csv")) == 3
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [0, 1, 2]


class Killed(BaseException):
    """Nothing of the program catches it, as nothing catches a kill."""


@contextlib.contextmanager
def killed_before(number):
    """Killed before the call of this number that changes a file; gives the count of the calls."""
    calls = []

    def deadly(call):
        def dies(*arguments, **more):
            calls.append(call)
            if len(calls) == number:
                raise Killed
            return call(*arguments, **more)

        return dies

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
        for where, names in ((os, ("rename", "replace")), (Path, ("mkdir", "write_text", "unlink"))):
            for name in names:
                patch.setattr(where, name, deadly(getattr(where, name)))
        yield calls


@pytest.mark.parametrize("resumed", [False, True])
def test_a_claim_that_is_killed_leaves_a_free_directory_or_a_whole_run(tmp_path, resumed):
    """Wherever it was: the same command, or resume=, goes on from there."""
    texts = {"config.yaml": "seed: 0\n", "overrides.yaml": "- seed=0\n"}
    record = runs.Settings({"seed": 0}, {}, ["seed=0"], "/")

    def claim(directory, resumed=resumed):
        runs.claim("hydra.run.dir", directory, texts, record, resumed=resumed)

    for moment in itertools.count(1):
        directory = tmp_path / str(moment)
        if resumed:
            claim(directory)
            (directory / "steps.csv").touch()
        with killed_before(moment) as calls:
            claim(directory)
        if resumed or not (directory / ".hydra").exists():
            claim(directory)
        runs.settled(directory)
        with pytest.raises(runs.DirectoryTakenError):
            claim(directory, resumed=False)
        runs.clear(directory)  # as a run does that begins anew
        assert runs.read_settings(directory) == record
        assert {path.name: path.read_text() for path in (directory / ".hydra").iterdir()} == texts
        assert {path.name for path in directory.iterdir()} == {".hydra", "settings.json"}
        if len(calls) < moment:
            break
    assert moment > len(texts) + 3


def hparams(directory):
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in accumulator.PluginTagToContent("hparams").items()
    }


@pytest.mark.parametrize("succeeded", [True, False])
def test_hparams(tmp_path, succeeded):
    with runs.RunWriter(tmp_path) as run:
        run.hparams({"schedule": "onecycle", "lr_max": 0.1, "epochs": 5, "flag": True, "nothing": None})
        run.hparams_end(succeeded)
    found = hparams(tmp_path)
    values = found[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    assert (values["schedule"].string_value, values["lr_max"].number_value) == ("onecycle", 0.1)
    assert (values["epochs"].number_value, values["flag"].bool_value) == (5, True)
    experiment = found[metadata.EXPERIMENT_TAG].experiment
    assert {info.name for info in experiment.hparam_infos} == set(values)
    metrics = {(info.name.group, info.name.tag) for info in experiment.metric_infos}
    assert metrics == {("", "epoch_accuracy/test"), ("", "epoch_loss/test")}
    status = found[metadata.SESSION_END_INFO_TAG].session_end_info.status
    assert status == (api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE)


def test_the_runner_fills_them(finished_run):
    """Tables and TensorBoard tell the same of a real run."""
    curves = scalars(finished_run)
    steps, epochs = rows(finished_run / "steps.csv"), rows(finished_run / "epochs.csv")
    for tag in ("learning_rate", "momentum", "loss"):
        assert curves[tag] == [(int(row["step"]), np.float32(row[tag])) for row in steps]
    for tag in ("loss", "accuracy"):
        expected = [(int(row["epoch"]), np.float32(row[tag])) for row in epochs]
        assert curves[f"epoch_{tag}/train"] == expected
        expected = [(int(row["epoch"]), np.float32(row[f"val_{tag}"])) for row in epochs]
        assert curves[f"epoch_{tag}/test"] == expected
    values = hparams(finished_run)[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    chosen = {name: values[name].string_value for name in ("schedule", "optimizer", "model", "dataset")}
    assert chosen == {"schedule": "onecycle_fastai", "optimizer": "sgd", "model": "mlp", "dataset": "synthetic"}
    numbers = {name: values[name].number_value for name in ("lr_max", "epochs", "batch_size", "seed")}
    assert numbers == {"lr_max": 0.2, "epochs": 2, "batch_size": 8, "seed": 0}


# --- Model ---------------------------------------------------------------------------------------------------------

LOADING = """
import sys
sys.modules["sconv"] = None
import json
import keras
import numpy as np
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
with np.load(sys.argv[2]) as data:
    labels = np.eye(4)[data["labels"]]
    found = model.evaluate(data["images"], labels, verbose=0, return_dict=True)
found["optimizer"] = type(model.optimizer).__module__
print(json.dumps(found))
"""


def test_model_loads_without_sconv(finished_run, environment, tmp_path):
    from sconv.datasets import synthetic

    test = synthetic.load(shape=[6, 6, 1], classes=4, train_size=80, test_size=20).test
    np.savez(tmp_path / "test.npz", images=test.images, labels=test.labels)
    ran = subprocess.run(
        [sys.executable, "-c", LOADING, str(finished_run), str(tmp_path / "test.npz")],
        capture_output=True,
        text=True,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    last = rows(finished_run / "epochs.csv")[-1]
    assert found["accuracy"] == pytest.approx(float(last["val_accuracy"]), abs=1e-6)
    assert found["loss"] == pytest.approx(float(last["val_loss"]), rel=1e-4)
    assert found["optimizer"].startswith("keras.")
