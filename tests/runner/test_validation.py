"""Validation numbers and test numbers of runs in which they differ, each under its own name wherever they are told."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import fabricate
from sconv import runs
from sconv.datasets import Dataset, Split, synthetic
from sconv.report import curves, markdown, page
from sconv.report.__main__ import main
from sconv.report.comparison import compare
from sconv.report.groups import gather
from sconv.runner.sweeps import outcome
from sconv.runner.sweeps.progress import progress


def load(shape, classes, train_size, test_size, noise=0.3, seed=0):
    """Data of which a model that has learned gets next to nothing right in the test: its labels are shifted by one."""
    whole = synthetic.load(shape, classes, train_size, test_size, noise, seed)
    test = Split(whole.test.images, (whole.test.labels + 1) % classes)
    return Dataset("shifted", whole.train, test, whole.class_names)


# --- A real run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(train):
    """A run with a validation split: its directory, what it said, and its two accuracies from elsewhere."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        directory = train("dataset._target_=test_validation.load", "dataset.validation=0.25", "epochs=6", "lr_max=0.2")
    test = load([6, 6, 1], 4, 80, 20).test
    model = keras.saving.load_model(directory / "model.keras")
    right = float(np.mean(model.predict(test.images, verbose=0).argmax(axis=1) == test.labels))
    with open(directory / "epochs.csv", newline="") as file:
        monitored = float(list(csv.DictReader(file))[-1]["val_accuracy"])
    assert monitored > right + 0.3
    return directory, said.getvalue(), monitored, right


def test_the_summary_has_both_and_says_which_was_monitored(run):
    directory, _, monitored, right = run
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["monitored"] == "validation"
    assert summary["final"]["val_accuracy"] == pytest.approx(monitored)
    assert summary["test"]["accuracy"] == pytest.approx(right)
    assert set(summary["test"]) == {"loss", "accuracy"}


def test_the_last_lines_name_both_and_no_best(run):
    _, said, monitored, right = run
    lines = said.splitlines()
    assert [f"val accuracy   {monitored:.4f}", f"test accuracy  {right:.4f}"] == lines[-6:-4]
    assert "best" not in said
    assert f" val_acc {monitored:.1%} " in lines[-7]


def test_without_a_validation_split_the_test_split_is_monitored_and_called_so(finished_run, train, tmp_path):
    summary = json.loads((finished_run / "summary.json").read_text())
    assert summary["monitored"] == "test"
    assert summary["test"] == {name: summary["final"][f"val_{name}"] for name in ("loss", "accuracy")}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        train("epochs=1", into=tmp_path)
    accuracy = json.loads((tmp_path / "summary.json").read_text())["test"]["accuracy"]
    assert f"test accuracy  {accuracy:.4f}" in said.getvalue().splitlines()
    assert f" test_acc {accuracy:.1%} " in said.getvalue().splitlines()[0]
    assert not re.search(r"\bval", said.getvalue().partition("run   ")[0])


def test_tensorboard_shows_each_under_its_name(run):
    directory, _, monitored, right = run
    events = EventAccumulator(str(directory)).Reload()
    found = {split: events.Scalars(f"epoch_accuracy/{split}")[-1] for split in runs.SPLITS}
    assert (found["validation"].value, found["validation"].step) == (pytest.approx(monitored), 6)
    assert (found["test"].value, found["test"].step) == (pytest.approx(right), 6)
    told = events.PluginTagToContent("hparams")[metadata.EXPERIMENT_TAG]
    metrics = plugin_data_pb2.HParamsPluginData.FromString(told).experiment.metric_infos
    assert {(one.name.group, one.name.tag, one.display_name) for one in metrics} == {
        ("", f"epoch_{name}/{split}", f"{split} {name}") for split in runs.SPLITS for name in ("accuracy", "loss")
    }


def test_a_sweep_tells_both(run, tmp_path):
    directory, _, monitored, right = run
    shutil.copytree(directory, tmp_path / "0-seed=0")
    console = Console(file=io.StringIO(), width=100, highlight=False)
    assert outcome.outcome(tmp_path, console) == 0
    heading, row = console.file.getvalue().splitlines()[:2]
    assert heading.split() == ["job", "status", "val", "acc", "test", "acc", "steps", "seconds", "in", "all"]
    assert row.split()[-5:-2] == ["finished", f"{monitored:.4f}", f"{right:.4f}"]
    said = progress(tmp_path / "0-seed=0", names_it=True)
    assert said == f"#0 seed=0: finished; val acc {monitored:.4f}; test acc {right:.4f}\n"


def test_the_report_of_a_real_run(run, tmp_path, capsys):
    directory, _, monitored, right = run
    # Trained without Hydra, it has no .hydra of its own.
    fabricate.run(tmp_path, [0.5], test=0.5)
    for name in ("summary.json", "epochs.csv"):
        shutil.copy(directory / name, tmp_path / name)
    assert main(["--list", str(tmp_path)]) == 0
    *_, heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "status", "acc", "%", "acc", "%", "seconds"]
    assert row.split()[2:4] == [f"{100 * monitored:.2f}", f"{100 * right:.2f}"]


# --- Runs made up, so that every number is known -------------------------------------------------------------------


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Three groups of three seeds that monitor validation.

    Of the two baselines the one at lr_max 0.1 is better in validation, the one at 0.2 in the test.
    """
    root = tmp_path_factory.mktemp("held_out")
    for seed in range(3):
        noise = 0.01 * seed
        fabricate.run(root / f"a{seed}", [0.4, 0.6, 0.7 + noise], seed=seed, test=0.5 + noise)
        fabricate.run(
            root / f"b{seed}", [0.4, 0.5, 0.6 + noise], seed=seed, test=0.55 + noise, settings={"lr_max": 0.2}
        )
        fabricate.run(root / f"c{seed}", [0.75, 0.9, 0.8 + noise], seed=seed, test=0.65 + noise, schedule="onecycle")
    return root


LABELS = ["baseline lr_max=0.1", "baseline lr_max=0.2", "onecycle lr_max=0.1"]


@pytest.fixture(scope="module")
def comparison(held_out):
    return compare(gather([held_out])[0])


def test_the_baseline_is_chosen_and_the_target_set_on_validation_the_difference_is_of_test(comparison):
    rows = dict(zip(LABELS, comparison.rows, strict=True))
    assert [row.baseline.label for row in comparison.rows] == [LABELS[0]] * 3
    onecycle = rows[LABELS[2]]
    assert onecycle.target == pytest.approx(0.71)
    assert onecycle.time_to_target["epoch"].costs == (1, 1, 1)
    assert (onecycle.validation.mean, onecycle.test.mean) == (pytest.approx(0.81), pytest.approx(0.66))
    assert onecycle.gain.mean == pytest.approx(0.66 - 0.51)
    assert f"* the baseline, {LABELS[0]}: target 71.00 % validation accuracy (the mean it ends at)" in (
        comparison.notes
    )


def test_the_table_on_the_terminal(held_out, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([str(held_out), "--no-files"]) == 0
    said = capsys.readouterr().out
    table = said.partition("What each group ends at")[2]
    assert max(map(len, (line for line in table.splitlines() if not line.startswith("·")))) <= 80
    heading = next(line for line in table.splitlines() if line.startswith("group "))
    assert re.split(r"\s{2,}", heading)[2:4] == ["val acc %", "test acc %"]
    assert "81.00 ±1.00  66.00 ±1.00" in said
    assert "To the target validation accuracy" in said
    assert said.startswith("Final test accuracy")
    assert "onecycle lr_max=0.1 66.00 against baseline lr_max=0.1 51.00: +15.00 points" in said
    assert "best" not in said


def test_the_files(comparison, tmp_path):
    markdown.write(comparison, tmp_path)
    sheet = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))[2]
    assert sheet["monitored"] == "validation"
    assert float(sheet["validation_accuracy_mean"]) == pytest.approx(0.81)
    assert float(sheet["test_accuracy_mean"]) == pytest.approx(0.66)
    assert float(sheet["difference_mean"]) == pytest.approx(0.15)
    assert not any("best" in name or "final" in name for name in sheet)
    text = (tmp_path / "report.md").read_text()
    heading, *cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][:5]
    found = dict(zip(heading, cells[3], strict=True))
    assert (found["val acc %"], found["test acc %"]) == ("81.00 ±1.00", "66.00 ±1.00")
    assert "best" not in text
    assert "![steps to the target validation accuracy](time_to_target.png)" in text
    html = page.write(comparison, tmp_path).read_text()
    head, body = (re.findall(f">([^<>]*)</{tag}>", html) for tag in ("button></th", "td"))
    width = len(head) - 1
    found = dict(zip(head[1:], body[2 * width : 3 * width], strict=True))
    assert (found["val acc %"], found["test acc %"]) == ("81.00 ±1.00", "66.00 ±1.00")
    assert re.findall("<h3>(.*?)</h3>", html)[:2] == ["validation accuracy", "validation loss"]
    assert 'aria-label="validation accuracy over steps. ' in html


def panels(groups, monkeypatch, out):
    """The texts of the pictures: y axes and names of the curves, x axis and groups of the time to the target."""
    figures = {}
    monkeypatch.setattr(markdown.plots, "save", lambda figure, path: figures.update({path.stem: figure}))
    markdown.write(compare(groups), out)
    names = [axis.get_ylabel() for axis in figures["curves"].axes if axis.get_ylabel()]
    named, (reach,) = figures["curves"].axes[0].texts, figures["time_to_target"].axes
    groups = [text.get_text() for text in reach.get_yticklabels()]
    return names, [text.get_text() for text in named], reach.get_xlabel(), groups


def test_the_pictures_say_what_was_monitored(held_out, tmp_path, monkeypatch):
    names, lines, axis, groups = panels(gather([held_out])[0], monkeypatch, tmp_path)
    assert names == ["validation accuracy", "validation loss", "training loss"]
    assert axis == "steps to the target validation accuracy"
    assert lines == groups == LABELS


def test_where_groups_mix_every_line_says_which(tmp_path, monkeypatch, capsys):
    fabricate.run(tmp_path / "0", [0.4, 0.7], test=0.6)
    fabricate.run(tmp_path / "1", [0.4, 0.8])
    groups, _ = gather([tmp_path])
    names, lines, axis, reached = panels(groups, monkeypatch, tmp_path)
    assert names == ["validation or test accuracy", "validation or test loss", "training loss"]
    labels = ["baseline dataset.validation=0.1", "baseline dataset.validation=None"]
    assert lines == reached == [f"{labels[0]} (validation)", f"{labels[1]} (test)"] == curves.labels(groups)
    assert axis == "steps to the target validation or test accuracy"
    notes = compare(groups).notes
    assert f"curves and targets on the validation split: {labels[0]}" in notes
    assert f"curves and targets on the test split: {labels[1]}" in notes
    assert any(f"{labels[1]}: target 80.00 % test accuracy" in note for note in notes)
    main(["--list", str(tmp_path)])
    first, second = (line.split()[2:4] for line in capsys.readouterr().out.splitlines()[2:])
    assert (first, second) == (["70.00", "60.00"], ["-", "80.00"])
    main(["--compare", str(tmp_path / "0"), str(tmp_path / "1")])
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["validation", "accuracy", "0.7000", "-"] in said
    assert ["test", "accuracy", "0.6000", "0.8000"] in said
    assert not any("best" in line for line in said)


# --- Runs written before -------------------------------------------------------------------------------------------


def older(run, **changed):
    """The run as it was written when summaries did not say what was monitored."""
    path = run / "summary.json"
    summary = json.loads(path.read_text())
    if summary.pop("monitored") == "test" or summary["status"] != "finished":
        summary.pop("test")
    path.write_text(json.dumps({**summary, **changed}))
    return run


@pytest.mark.parametrize(
    ("test", "ends", "monitored", "expected"),
    [
        (None, None, "test", {"validation": None, "test": 0.7}),
        (0.6, None, "validation", {"validation": 0.7, "test": 0.6}),
        (0.6, KeyboardInterrupt(), "validation", {"validation": 0.7, "test": None}),
    ],
)
def test_runs_written_before_are_read_right(tmp_path, capsys, test, ends, monitored, expected):
    run = older(fabricate.run(tmp_path / "0", [0.4, 0.7], test=test, ends=ends))
    summary = runs.read_summary(run)
    assert summary["monitored"] == monitored
    assert {split: runs.accuracy(summary, split) for split in runs.SPLITS} == expected
    main(["--list", str(tmp_path)])
    shown = capsys.readouterr().out.splitlines()[-1].split()
    told = [value for split, value in expected.items() if split in runs.splits([summary])]
    assert shown[2 : 2 + len(told)] == ["-" if value is None else f"{100 * value:.2f}" for value in told]


def test_a_validation_split_of_the_users_own_function_is_recognised_in_a_run_written_before(tmp_path):
    run = older(fabricate.run(tmp_path / "0", [0.4, 0.7], test=0.6))
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["dataset"]["validation"]
    path.write_text(yaml.safe_dump(config))
    assert runs.read_summary(run)["monitored"] == "validation"
