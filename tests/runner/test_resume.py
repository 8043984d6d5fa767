"""A run that goes on from a checkpoint leaves the same directory as one that was never stopped: tolerance zero."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import faults
from sconv import runs, schedules
from sconv.datasets import synthetic
from sconv.datasets.dataset import Stream
from sconv.runner import errors, resuming
from sconv.runner.tasks import giving_up, going_on
from sconv.runner.tasks.train import train as train_task
from sconv.training import checkpoint_file, keras_internals
from sconv.training.recording import Diverged

# Each trains, or starts a process of its own.
pytestmark = pytest.mark.slow

HERE = "test_resume"
SMALL = (
    *("dataset=synthetic", "dataset.shape=[6,6,1]", "dataset.classes=4", "dataset.train_size=38"),
    *("dataset.test_size=20", "epochs=2", "batch_size=8", "lr_max=0.1"),
    *("checkpoint.every=[1step,1epoch]", "checkpoint.keep=99"),
)
BATCHES = 5
MLP = ("model=mlp", "model.hidden=[8]", "model.dropout=0.3", "augment=standard", "augment.padding=1")
KINDS = {
    "dropout, augmentation, validation": (*MLP, "dataset.validation=0.2", "dataset.train_size=48"),
    "half precision, executions of 2": (*MLP, "precision=mixed_float16", "steps_per_execution=2"),
    "averaged weights": (*MLP, "optimizer.use_ema=true", "optimizer.ema_momentum=0.8"),
    "accumulation": (*MLP, "optimizer=adam", "+optimizer.gradient_accumulation_steps=2"),
    "normalisation, found lr_max": (f"model._target_={HERE}.normalised", "lr_max=auto", "lr_find.max_steps=60"),
    "small images first": (
        *(f"model._target_={HERE}.pooled", "dataset.shape=[12,12,1]", "progressive_resizing=[0.5,1]"),
        *("epochs=2", "augment=flip", "augment.alternating=true"),
    ),
    "streamed": (*MLP, f"dataset._target_={HERE}.streamed", "dataset.classes=null", "dataset.train_size=null"),
}


def normalised(input_shape, classes, **settings):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.2), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def pooled(input_shape, classes, **settings):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    layers += [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


@keras.saving.register_keras_serializable()
class Square(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.square(inputs)


def explosive(input_shape, classes, **settings):
    """Logits of the fourth power: too high a learning rate takes them beyond all numbers in some steps."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(8), Square(), Square()]
    return keras.Sequential([keras.Input(input_shape), *layers, keras.layers.Dense(classes)])


@keras.saving.register_keras_serializable()
class Sure(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.clip(keras.ops.softmax(inputs), 1e-7, 1 - 1e-7)


def stuck(input_shape, classes, **settings):
    """Probabilities without a gradient where they are 0 or 1: at a high learning rate they soon are, and stay."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(classes), Sure()]
    return keras.Sequential([keras.Input(input_shape), *layers])


def streamed(**settings):
    split = synthetic.load([6, 6, 1], classes=4, train_size=38, test_size=20)
    images, labels = split.train.images, split.train.labels
    examples = lambda: tf.data.Dataset.from_tensor_slices((images, labels))  # noqa: E731
    stream = Stream(examples, lambda raw: raw, len(labels), images.shape[1:], lambda: labels, shuffle_buffer=10)
    return dataclasses.replace(split, train=stream)


class Left:
    """All that a run leaves that is no time."""

    def __init__(self, directory):
        with open(directory / "epochs.csv", newline="") as file:
            self.epochs = [{**row, "seconds": ""} for row in csv.DictReader(file)]
        self.steps = (directory / "steps.csv").read_bytes()
        model = keras.saving.load_model(directory / "model.keras")
        self.weights = [value.tobytes() for value in model.get_weights()]
        self.slots = [variable.numpy().tobytes() for variable in model.optimizer.variables]
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
        self.curves = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
        }
        summary = runs.read_summary(directory)
        told = ("status", "steps", "final", "best", "test", "learned", "schedule", "precision", "accelerated", "seed")
        self.summary = {name: summary.get(name) for name in told}

    def check_equals(self, other):
        for name in vars(self):
            assert getattr(self, name) == getattr(other, name), name


@pytest.fixture(scope="module")
def whole(job, tmp_path_factory):
    """whole(*overrides): the directory of an undisturbed run with a checkpoint of each step."""

    def run(*overrides):
        directory = tmp_path_factory.mktemp("whole")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint_file, "prune", lambda *_, **__: None)
            train_task(job(*SMALL, *overrides, directory=directory))
        return directory

    return run


def resumed(job, directory, place, overrides, folder):
    """What a run leaves that was killed at the end, of whose checkpoints one is left; under a clock that jumps."""
    into = folder / f"{place.file_name}"
    shutil.copytree(directory, into)
    for position, path in checkpoint_file.listed(into / "checkpoints"):
        if position != place:
            path.unlink()
    (into / "model.keras").unlink()
    (into / "lr_find.json").unlink(missing_ok=True)  # what was found is not looked for again
    summary = json.loads((into / "summary.json").read_text())
    (into / "summary.json").write_text(json.dumps({**summary, "status": "running"}))
    with pytest.MonkeyPatch.context() as patch:
        jumping(patch)
        train_task(dataclasses.replace(job(*SMALL, *overrides, directory=into), resumed=True))
    return into


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_it_is_the_same_run(job, whole, tmp_path, kind):
    directory = whole(*KINDS[kind])
    positions = [position for position, _ in checkpoint_file.listed(directory / "checkpoints")]
    assert positions[-1] == (2, 0)
    places = positions if kind == next(iter(KINDS)) else [one for one in positions if one in ((1, 4), (2, 0))]
    assert len(places) == (10 if places is positions else 2)
    for place in places:
        into = resumed(job, directory, place, KINDS[kind], tmp_path)
        Left(into).check_equals(Left(directory))
        assert not (into / "lr_find.json").exists()
        (told,) = runs.read_summary(into)["resumed"]
        assert told["changed"] == {}


def test_it_goes_on_with_the_onednn_of_its_record(tmp_path):
    """What the record names is imported, and TensorFlow with it, before the device of the run is set up."""
    other = not keras_internals.onednn_is_on()
    surroundings = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}

    def sconv(*arguments):
        command = [sys.executable, "-m", "sconv", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=300)

    began = sconv(*SMALL, *MLP, f"device.onednn={other}", "hydra.run.dir=run")
    assert began.returncode == 0, began.stderr
    again = sconv("resume=run", "resume_allow=[epochs]", "epochs=3")
    assert (again.returncode, again.stderr) == (0, "")
    summary = runs.read_summary(tmp_path / "run")
    assert (summary["status"], summary["device"]["onednn"], summary["steps"]) == ("finished", other, 3 * BATCHES)


# --- Divergence ----------------------------------------------------------------------------------------------------

EXPLOSIVE = (f"model._target_={HERE}.explosive", "loss.from_logits=true", "on_divergence=restart", "epochs=4")


def test_restarted_with_half_the_learning_rate(job, tmp_path):
    """From a good checkpoint, with nothing told twice; killed later, it goes on as it was."""
    directory, small = tmp_path / "whole", (*EXPLOSIVE, "lr_max=0.2", "checkpoint.every=1epoch", "checkpoint.keep=2")
    train_task(job(*SMALL, *small, directory=directory))
    left, summary = Left(directory), runs.read_summary(directory)
    places = [tuple(one["from"]) for one in summary["restarts"]]
    assert len(places) > 1
    assert (summary["status"], "diverged" in summary) == ("finished", False)
    table, planned = runs.read_steps(directory), schedules.onecycle_fastai(0.2).sample(4 * BATCHES)[0]
    assert table["step"].tolist() == list(range(4 * BATCHES))
    shares = table["learning_rate"] / planned
    kept = BATCHES * places[-1][0]
    np.testing.assert_allclose(shares[kept:], 0.5 ** len(places), rtol=1e-6)
    assert shares[0] == pytest.approx(1 if kept else shares[-1])
    assert [step for step, _ in left.curves["loss"]] == list(range(4 * BATCHES))
    ((last, _),) = checkpoint_file.listed(directory / "checkpoints")
    Left(resumed(job, directory, last, small, tmp_path)).check_equals(left)


@pytest.mark.long
def test_it_is_not_restarted_for_ever(job, tmp_path):
    with pytest.raises(Diverged):
        train_task(job(*SMALL, *EXPLOSIVE, "lr_max=1e9", "checkpoint.every=[]", directory=tmp_path))
    summary = runs.read_summary(tmp_path)
    assert (summary["status"], len(summary["restarts"])) == ("diverged", 8)


@pytest.mark.long
def test_what_is_lost_is_given_up(job, tmp_path):
    """Its loss is a number to the end: the status tells, and the next try begins anew."""
    lost = (f"model._target_={HERE}.stuck", "dataset.train_size=160", "dataset.noise=2", "epochs=20", "lr_max=5")
    lost = (*SMALL, *lost, "schedule.div_factor=1e5", "checkpoint.every=1epoch")
    said = r"^the loss has been above its start for 100 steps at step \d+ \(.*\); lower lr_max"
    with pytest.raises(giving_up.Lost, match=said):
        train_task(job(*lost, directory=tmp_path / "stop"))
    summary = runs.read_summary(tmp_path / "stop")
    assert summary["status"] == "diverged"
    assert 120 + 100 < summary["steps"] < 400
    with contextlib.suppress(giving_up.Lost), pytest.MonkeyPatch.context() as patch:
        patch.setattr(going_on, "_MOST_RESTARTS", 1)
        train_task(job(*lost, "on_divergence=restart", directory=tmp_path / "again"))
    (told,) = runs.read_summary(tmp_path / "again")["restarts"]
    assert (told["diverged_at"], told["from"]) == (summary["diverged"]["step"], [0, 0])
    table, planned = runs.read_steps(tmp_path / "again"), schedules.onecycle_fastai(2.5, div_factor=1e5).sample(400)[0]
    np.testing.assert_allclose(table["learning_rate"], planned[: len(table["step"])], rtol=1e-6)


# --- Killed, and out of room ---------------------------------------------------------------------------------------


def test_killed_at_random_moments():
    faults.main(kills=5, seed=1, epochs=6)


OFTEN = (*SMALL, *MLP, "checkpoint.keep=2", "checkpoint.every=2steps")
TROUBLES = {
    "the disk is full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "the folder is read-only": OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "the folder is gone": None,
    "no memory for a step": tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\n[[node]]"),
    "no memory for a checkpoint": MemoryError(),
}


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    train_task(job(*OFTEN, directory=tmp_path_factory.mktemp("undisturbed")))
    return Left(tmp_path_factory.getbasetemp() / "undisturbed0")


def strike(trouble, patch, directory, elsewhere):
    """Have it come about; what raises at once does."""
    write, sync = Path.write_bytes, os.fsync

    def fails(*_, **__):
        raise TROUBLES[trouble]

    if trouble == "the folder is gone":
        directory.rename(elsewhere)
    elif trouble == "no memory for a checkpoint":
        patch.setattr(
            os, "fsync", lambda handle: fails() if "npz" in os.readlink(f"/proc/self/fd/{handle}") else sync(handle)
        )
    else:
        if isinstance(TROUBLES[trouble], OSError):
            patch.setattr(Path, "write_bytes", lambda path, content: (write(path, content[:9]), fails()))
        fails()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_without_room_it_ends_whole_and_goes_on_with_it(job, undisturbed, tmp_path, trouble, monkeypatch):
    directory, elsewhere, steps = tmp_path / "run", tmp_path / "elsewhere", runs.RunWriter.steps

    def watched(self, first, *columns):
        if first >= BATCHES + 3:
            strike(trouble, monkeypatch, directory, elsewhere)
        steps(self, first, *columns)

    monkeypatch.setattr(runs.RunWriter, "steps", watched)
    with pytest.raises((OSError, MemoryError, tf.errors.OpError)) as caught:
        train_task(job(*OFTEN, directory=directory))
    monkeypatch.undo()
    said = errors.line(caught.value)
    if trouble == "the folder is gone":
        assert "No such file" in said
        elsewhere.rename(directory)
    else:
        assert said.startswith("batch_size: no memory left" if "memory" in trouble else "hydra.run.dir: cannot write")
        assert runs.read_summary(directory)["status"] == "failed"
    assert (errors.exit_code(caught.value), "\n" in said) == (2, False)
    assert not [path for path in directory.rglob(".*") if path.name != ".hydra"]
    train_task(dataclasses.replace(job(*OFTEN, directory=directory), resumed=True))
    assert 0 < runs.read_summary(directory)["resumed"][0]["step"] < 2 * BATCHES
    Left(directory).check_equals(undisturbed)


def jumping(patch):
    """Have the clock jump back and forth by hours."""
    real, hours = time.time, itertools.cycle((-5, 7, -30, 0))
    patch.setattr(time, "time", lambda: real() + 3600 * next(hours))


def test_a_clock_that_jumps_calls_for_no_checkpoint(job, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "prune", lambda *_, **__: None)
    jumping(monkeypatch)
    train_task(job(*SMALL, *MLP, "checkpoint.every=5min", directory=tmp_path))
    assert [position for position, _ in checkpoint_file.listed(tmp_path / "checkpoints")] == [(2, 0)]


@pytest.mark.parametrize("averaged", [False, True])
def test_with_more_epochs_it_is_as_if_they_had_been_planned(job, tmp_path, monkeypatch, averaged):
    """Under a schedule without an end: what a fit does at its end is not gone on from."""
    longer = (*SMALL, *MLP, "schedule=constant", *(["optimizer.use_ema=true"] if averaged else []))
    monkeypatch.setattr(resuming, "change_record", lambda *_: None)  # of which a bare task has none
    train_task(job(*longer, "epochs=3", directory=tmp_path / "whole"))
    train_task(job(*longer, directory=tmp_path / "more"))
    more = job(*longer, "epochs=3", "resume_allow=[epochs]", directory=tmp_path / "more")
    train_task(dataclasses.replace(more, resumed=True))
    Left(tmp_path / "more").check_equals(Left(tmp_path / "whole"))
