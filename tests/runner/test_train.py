"""A training run from its configuration to its directory, in this process."""

from __future__ import annotations

import csv
import dataclasses
import gc
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from conftest import TINY
from sconv import checks, output, schedules
from sconv.datasets import synthetic
from sconv.runner import plan
from sconv.runner.tasks import observers, progress_bar
from sconv.runner.tasks import train as train_task
from sconv.runner.tasks.observers import CutShort
from sconv.training.recording import Diverged

TWENTY = 20  # updates of a tiny run: 2 epochs of 80 examples in batches of 8


def rows(directory, name="steps"):
    with open(directory / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def column(directory, name, table="steps"):
    return np.array([float(row[name]) for row in rows(directory, table)])


def summary_of(directory):
    """As strict JSON: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((directory / "summary.json").read_text(), parse_constant=refuse)


# --- What a run leaves ---------------------------------------------------------------------------------------------


def test_directory(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert {"summary.json", "epochs.csv", "steps.csv", "model.keras"} <= names
    assert not [name for name in names if name.startswith(".") and name != ".hydra"]


def test_summary(finished_run):
    summary = summary_of(finished_run)
    epochs = rows(finished_run, "epochs")
    assert (summary["status"], summary["seed"], summary["steps"]) == ("finished", 0, TWENTY)
    for field, row in (("final", epochs[-1]), ("best", max(epochs, key=lambda one: float(one["val_accuracy"])))):
        assert summary[field]["epoch"] == int(row["epoch"])
        for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert summary[field][metric] == pytest.approx(float(row[metric]), rel=1e-6)
    # The rates are in steps.csv, for every update.
    assert summary["final"].keys() == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    seconds = summary["seconds"]
    assert {"training", "evaluation", "compile", "total"} <= set(seconds)
    assert 0 < seconds["training"] + seconds["evaluation"] + seconds["compile"] <= seconds["total"]
    assert summary["versions"]["keras"] == keras.__version__
    assert {"python", "sconv", "tensorflow", "numpy", "hydra-core"} <= set(summary["versions"])
    assert {"git_commit", "device", "started"} <= set(summary)
    resolved = summary["schedule"]
    assert (resolved["name"], resolved["steps"]) == ("onecycle_fastai", TWENTY)
    first, last = resolved["phases"]
    # 0.3 of 19 intervals is 5.7: the peak falls on step 6.
    assert (first["until_step"], last["until_step"]) == (6, 19)
    assert first["lr"] == pytest.approx([0.2 / 25, 0.2])
    assert last["momentum"] == [0.85, 0.95]


def test_best_is_the_first_of_the_highest():
    accuracies = [0.5, 0.8, 0.9, 0.9, 0.7]
    epochs = [{"epoch": number + 1, "val_accuracy": value} for number, value in enumerate(accuracies)]
    assert observers._outcome(epochs, "validation") == {"final": epochs[4], "best": epochs[2]}
    assert observers._outcome([], "test") == {"final": None, "best": None}


def test_steps_follow_the_schedule(finished_run):
    table = rows(finished_run)
    rates, momenta = schedules.onecycle_fastai(0.2).sample(TWENTY)
    assert [row["step"] for row in table] == [str(step) for step in range(TWENTY)]
    assert [row["learning_rate"] for row in table] == [f"{rate:.9g}" for rate in rates]
    assert [row["momentum"] for row in table] == [f"{momentum:.9g}" for momentum in momenta]


def test_epochs_agree_with_their_steps(finished_run):
    epochs, losses = rows(finished_run, "epochs"), column(finished_run, "loss").reshape(2, 10)
    assert [(row["epoch"], row["step"]) for row in epochs] == [("1", "10"), ("2", "20")]
    assert [float(row["loss"]) for row in epochs] == pytest.approx(losses.mean(axis=1), rel=1e-5)
    assert len(set(losses.ravel())) == TWENTY
    seconds = [float(row["seconds"]) for row in epochs]
    assert 0 < seconds[0] < seconds[1]


# --- Random numbers ------------------------------------------------------------------------------------------------


def test_a_seed_repeats_to_the_last_bit(train, finished_run):
    other = train("lr_max=0.2", "seed=1", "model.dropout=0.2")
    again = train("lr_max=0.2", "name=tiny")
    first = (finished_run / "steps.csv").read_bytes()
    assert (again / "steps.csv").read_bytes() == first
    assert (other / "steps.csv").read_bytes() != first
    for one, two in zip(rows(finished_run, "epochs"), rows(again, "epochs"), strict=True):
        assert {**one, "seconds": ""} == {**two, "seconds": ""}


def test_seed_0_is_a_seed_and_1_another(train, finished_run):
    other = train("lr_max=0.2", "seed=1")
    assert column(other, "loss")[0] != column(finished_run, "loss")[0]
    assert summary_of(other)["seed"] == 1


def test_each_epoch_trains_in_a_new_order(train):
    """With a rate too small to move a weight, a batch's loss tells which examples are in it."""
    directory = train("schedule=constant", "lr_max=1e-30", "epochs=3")
    losses = column(directory, "loss").reshape(3, 10)
    np.testing.assert_allclose(losses.mean(axis=1), losses.mean(), rtol=1e-5)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not set(np.round(losses[one], 5)) & set(np.round(losses[other], 5))


# --- Settings ------------------------------------------------------------------------------------------------------


def test_optimizer_without_momentum_keeps_it(train):
    with pytest.warns(UserWarning, match="momentum") as caught:
        directory = train("optimizer=rmsprop", "lr_max=0.003")
    assert len([one for one in caught if issubclass(one.category, UserWarning)]) == 1
    assert {row["momentum"] for row in rows(directory)} == {""}
    assert column(directory, "learning_rate").max() == 0.003


def test_momentum_null_says_nothing(train):
    """No warning: here one is an error."""
    directory = train("optimizer=rmsprop", "schedule.momentum=null")
    assert {row["momentum"] for row in rows(directory)} == {""}


def test_gradient_accumulation_carries_out_the_whole_schedule(train):
    directory = train("+optimizer.gradient_accumulation_steps=2", "lr_max=0.2")
    rates = schedules.onecycle_fastai(0.2).sample(TWENTY // 2)[0]
    assert [row["learning_rate"] for row in rows(directory)] == [f"{rate:.9g}" for rate in rates]
    assert summary_of(directory)["steps"] == TWENTY // 2
    assert summary_of(directory)["schedule"]["steps"] == TWENTY // 2


def test_last_batch_may_be_smaller(train):
    directory = train("dataset.train_size=83", "steps_per_execution=4")
    assert len(rows(directory)) == summary_of(directory)["steps"] == 22
    assert summary_of(directory)["steps_per_execution"] == 4


def test_more_steps_a_call_than_an_epoch_has_are_an_epoch(train, finished_run):
    """TensorFlow counts them in 32 bits: 2^31 were none, and an untrained model that had finished."""
    directory = train("lr_max=0.2", "steps_per_execution=2147483648")
    assert (summary_of(directory)["steps"], summary_of(directory)["steps_per_execution"]) == (TWENTY, 10)
    np.testing.assert_allclose(column(directory, "loss"), column(finished_run, "loss"), rtol=1e-5)


def test_finished_means_all_updates_made(train, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "updates", lambda *_: TWENTY + 1)
    with pytest.raises(CutShort, match=f"^training ended after {TWENTY} of {TWENTY + 1} updates$"), pytest.warns():
        train("lr_max=0.2", into=tmp_path)
    assert summary_of(tmp_path)["status"] == "failed"
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs=0", "epochs: got 0"),
        ("batch_size=0", "batch_size: got 0"),
        ("batch_size=81", "batch_size: got 81, expected at most the 80"),
        ("seed=-1", "seed: got -1"),
        ("precision=float8", "precision: got 'float8'"),
        ("steps_per_execution=0", "steps_per_execution: got 0"),
        ("steps_per_execution=many", "steps_per_execution: got 'many'"),
        ("batch_size=80", "steps: got 2, expected at least"),
        ("lr_max=0", "lr_max: got 0"),
    ],
)
def test_refused_before_anything_is_built(train, tmp_path, override, said):
    with pytest.raises(Exception, match="got") as caught:
        train(override, into=tmp_path)
    assert isinstance(caught.value, checks.UserError) or isinstance(caught.value.__cause__, checks.UserError)
    cause = caught.value if isinstance(caught.value, checks.UserError) else caught.value.__cause__
    assert str(cause).startswith(said)
    assert "\n" not in str(cause)
    assert not (tmp_path / "model.keras").exists()


# --- Cut short -----------------------------------------------------------------------------------------------------


def test_interrupted_run_keeps_what_it_has(train, tmp_path, monkeypatch):
    def press_ctrl_c(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress_bar.ProgressBar, "on_epoch_end", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train("lr_max=0.2", "steps_per_execution=1", into=tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["steps"]) == ("interrupted", 10)
    assert [row["step"] for row in rows(tmp_path)] == [str(step) for step in range(10)]
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.count_params() == summary["parameters"]
    assert float(model.optimizer.momentum) == 0.9
    assert int(model.optimizer.iterations) == 10


def test_interrupted_in_mid_epoch(train, tmp_path, monkeypatch):
    def press_ctrl_c(self, batch, logs=None):
        if batch == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress_bar.ProgressBar, "on_train_batch_end", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train("lr_max=0.2", "steps_per_execution=1", into=tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["steps"], summary["final"]) == ("interrupted", 7, None)
    assert [row["step"] for row in rows(tmp_path)] == [str(step) for step in range(7)]
    assert int(keras.saving.load_model(tmp_path / "model.keras").optimizer.iterations) == 7


def test_diverged_run_says_where(train, tmp_path):
    with pytest.raises(Diverged):
        train("lr_max=1e20", "steps_per_execution=1", into=tmp_path)
    summary = summary_of(tmp_path)
    assert summary["status"] == "diverged"
    losses = column(tmp_path, "loss")
    step = int(np.flatnonzero(~np.isfinite(losses))[0])
    rates, momenta = schedules.onecycle_fastai(1e20).sample(TWENTY)
    assert summary["diverged"] == {"step": step, "learning_rate": rates[step], "momentum": momenta[step]}
    assert summary["steps"] == len(losses) == step + 1
    assert not (tmp_path / "model.keras").exists()


def test_diverged_in_evaluation_still_writes_json(train, tmp_path):
    """One update blows the weights up, but its own loss was still finite: evaluation is the first to see it."""
    with pytest.raises(Diverged):
        train("schedule=constant", "lr_max=1e30", "batch_size=80", "epochs=2", into=tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["steps"]) == ("diverged", 1)


# --- While it works ------------------------------------------------------------------------------------------------


FOCAL = "loss._target_=keras.losses.CategoricalFocalCrossentropy"
TOLD = {
    "a wide terminal": (["lr_max=0.2"], 80, "http://localhost:6006/"),
    "a narrow one, lr too high": (
        ["lr_max=1000"],
        40,
        r"nothing learned: .* rose to .*; lower lr_max=1e\+03 \(lr_max=auto",
    ),
    "a pipe, lr too low": (["lr_max=1e-9"], None, r"nothing learned: .* another lr_max than 1e-09 \(lr_max=auto"),
    "a notebook's cell, another loss": (["lr_max=1e-9", FOCAL], 80, "nothing learned: .* another lr_max"),
    "a sweep": (["lr_max=0.2", FOCAL], 80, "test accuracy "),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_a_run_says(monkeypatch, capsys, job, tmp_path, case):
    """A line an epoch; on a terminal a bar, and in the end accuracy above the cycle; last where nothing was learned."""
    overrides, width, ends = TOLD[case]
    this = job(*TINY, "epochs=5", *overrides, directory=tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width or 80))
    monkeypatch.setenv("FORCE_COLOR", "1" if width else "")
    if in_a_cell := "cell" in case:
        monkeypatch.setenv("JPY_PARENT_PID", "1")
    train_task.train(dataclasses.replace(this, in_sweep=case == "a sweep"))
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out).replace("\r", "\n").splitlines()
    assert re.match(ends, said[-1])
    assert summary_of(tmp_path)["learned"] is ("nothing" not in ends)
    bars, pictures = ([line for line in said if sign in line] for sign in "━┤")
    lines = [line for line in said if "test_acc" in line]
    assert max(map(len, [*bars, *pictures, *lines])) <= (width or 80)
    assert bool(bars) == (bool(width) and not in_a_cell)
    if case == "a sweep":
        assert (lines, pictures) == ([], [])
        return
    told = [dict(re.findall(r"(\w+) +([\d.e+-]+)%?(?: |$)", line)) for line in lines]
    taken = [int(step) - 1 for step in column(tmp_path, "step", "epochs")]
    wanted = {"loss": column(tmp_path, "loss", "epochs"), "test_acc": 100 * column(tmp_path, "val_accuracy", "epochs")}
    if width != 40:
        wanted |= {
            short: column(tmp_path, name)[taken] for short, name in (("lr", "learning_rate"), ("mom", "momentum"))
        }
    for name, values in wanted.items():
        assert [float(line[name]) for line in told] == pytest.approx(values, rel=6e-3)
    epochs = [re.findall(r"(\d)/5 .* ([\d.]+) s$", line)[0] for line in lines]
    assert [epoch for epoch, _ in epochs] == [row["epoch"] for row in rows(tmp_path, "epochs")]
    # The file has rounded them once already.
    seconds = column(tmp_path, "seconds", "epochs")
    np.testing.assert_allclose([float(each) for _, each in epochs], seconds, atol=0.0511)
    if not width:
        assert pictures == []
        return
    assert not bars or ("50/50" in bars[-1], "mom 0.95" in bars[-1]) == (width == 80, width == 80)
    titles = [line.strip() for line in said if line.strip() in ("test accuracy", "learning rate", "momentum")]
    assert titles == ["test accuracy", "learning rate", "momentum"]
    drawn = column(tmp_path, "val_accuracy", "epochs"), column(tmp_path, "learning_rate"), column(tmp_path, "momentum")
    ends = [
        f"{extreme:{form}}"
        for values, form in zip(drawn, (".1%", ".4g", ".4g"), strict=True)
        for extreme in dict.fromkeys((values.max(), values.min()))
    ]
    assert [line.split()[0] for line in pictures] == ends


def test_where_python_is_a_notebooks_own_nothing_is_drawn_over(monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with output.status("starting"):
        pass
    assert capsys.readouterr().out == ""


def test_with_averaged_weights_what_is_evaluated_is_what_is_saved(train):
    directory = train("lr_max=0.2", "optimizer.use_ema=true", "optimizer.ema_momentum=0.9")
    model = keras.saving.load_model(directory / "model.keras")
    test = synthetic.load([6, 6, 1], classes=4, train_size=80, test_size=20).test
    loss = model.evaluate(test.images, np.eye(4)[test.labels], verbose=0)[0]
    assert summary_of(directory)["final"]["val_loss"] == pytest.approx(loss, rel=1e-5)
    plain = summary_of(train("lr_max=0.2"))["final"]["val_loss"]
    assert abs(plain - loss) > 1e-3 * loss


def test_runs_leave_nothing_behind_and_what_others_left_alone(train):
    """Each trace of an optimizer's step would else stay in memory for good, about 3 MB of LeNet-5."""

    @tf.custom_gradient
    def tripled(x):
        return x, lambda upstream: 3 * upstream

    before_the_first = tf.function(lambda x: tripled(x)).get_concrete_function(tf.TensorSpec(()))

    def graphs():
        gc.collect()
        return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())

    kept = []
    for seed in range(3):
        train(f"seed={seed}")
        kept.append(graphs())
    assert kept[1] == kept[2]
    with tf.GradientTape() as tape:
        tape.watch(x := tf.constant(2.0))
        y = before_the_first(x)
    assert tape.gradient(y, x) == 3
