"""task=lr_find, lr_max=auto and task=range_grid as a user runs them, and what they leave behind."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # trains or builds large models, or starts a browser

SMALL = (
    "dataset=synthetic",
    "dataset.shape=[6,6,1]",
    "dataset.classes=3",
    "dataset.train_size=300",
    "dataset.test_size=30",
    "model=mlp",
    "model.hidden=[16]",
    "epochs=2",
    "lr_find.start_lr=1e-4",
    "lr_find.end_lr=30",
    "lr_find.max_steps=120",
)


def sconv(folder, *arguments):
    """Run the command line in a folder."""
    environment = {**os.environ, "MPLBACKEND": "agg"}
    flags = [argument for argument in arguments if argument.startswith("-")]
    command = [
        sys.executable,
        "-m",
        "sconv",
        *flags,
        *SMALL,
        *(argument for argument in arguments if argument not in flags),
    ]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def only(folder, name):
    (found,) = Path(folder).rglob(name)
    return found


def facts(path):
    return json.loads(path.read_text())


def columns(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def pictures(folder):
    """The size and tag of every image that TensorBoard would show."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: (image.width, image.height) for tag in events.Tags()["images"] for image in events.Images(tag)}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two schedules that share a range test, one that does not, under lr_max=auto."""
    folder = tmp_path_factory.mktemp("swept")
    run = sconv(folder, "-m", "lr_max=auto", "schedule=constant,cosine,onecycle")
    assert run.returncode == 0, run.stderr
    directories = {facts(path)["schedule"]["name"]: path.parent for path in folder.rglob("summary.json")}
    return run, directories


def test_lr_find_reports_every_suggestion_and_leaves_curve_and_picture(tmp_path, monkeypatch):
    """As on a terminal: where it draws as well."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    run = sconv(tmp_path, "task=lr_find", "lr_find.suggestion=valley")
    assert run.returncode == 0, run.stderr
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run.stdout).replace("\r", "\n")
    directory = only(tmp_path, "lr_find.json").parent
    found = facts(directory / "lr_find.json")
    told = dict(re.findall(r"^(\w+) +([\d.e-]+)", said, re.MULTILINE))
    for rule in ("valley", "steep", "minimum", "slide", "smith"):
        assert float(told[rule]) == pytest.approx(found["suggestions"][rule], rel=0.01)
    assert re.search(r"^valley .*suggested", said, re.MULTILINE)
    assert re.search(r"^range test ━.* \d+/120 lr [\d.e-]+", said, re.MULTILINE)
    assert re.search(r"^ +lr .* 0\.01 .*\n +good +├─+┤", said, re.MULTILINE)
    assert max(len(line) for line in said.splitlines() if "┤" in line) <= 80
    pick = found["suggestions"]["valley"]
    around = ",".join(f"{pick * factor:.2g}" for factor in (0.5, 1, 2.5))
    beside = [word for word in SMALL if not word.startswith("lr_find.")]
    (following,) = re.findall(r"^next +(.*)", said, re.MULTILINE)
    assert shlex.split(following) == ["python", "-m", "sconv", "-m", f"lr_max={around}", *beside]
    assert found["suggestion"] == found["suggestions"]["valley"]
    curve = columns(directory / "lr_find.csv")
    rates = np.array(curve["learning_rate"], float)
    assert rates == pytest.approx(np.geomspace(1e-4, 30, 120)[: len(rates)], rel=1e-6)
    assert len(curve["loss"]) == len(curve["smoothed"]) == found["steps"]
    assert (directory / "lr_find.png").read_bytes()[:4] == b"\x89PNG"
    (size,) = pictures(directory).values()
    assert min(size) > 300
    summary = facts(directory / "summary.json")
    assert (summary["status"], summary["task"], summary["lr_max"]) == ("finished", "lr_find", found["suggestion"])
    assert "lr_find" in directory.name


def test_auto_trains_with_the_pick(swept):
    run, directories = swept
    assert not {"┤", "━"} & set(run.stdout), "a log wants no pictures"
    for directory in directories.values():
        pick = facts(directory / "lr_find.json")["suggestion"]
        summary = facts(directory / "summary.json")
        assert summary["lr_max"] == pick
        assert max(map(float, columns(directory / "steps.csv")["learning_rate"])) == pytest.approx(pick, rel=1e-6)
        assert f"{pick:.3g}" in run.stdout
        # The curve and its picture are where the test was done.
        assert ("lr_find" in pictures(directory)) == ("from" not in facts(directory / "lr_find.json"))


def test_in_a_sweep_the_test_is_done_once_for_those_that_share_it(swept):
    run, directories = swept
    constant, cosine, onecycle = (
        facts(directories[name] / "lr_find.json") for name in ("constant", "cosine", "onecycle")
    )
    assert "from" not in constant
    assert cosine["from"] == directories["constant"].name
    assert cosine["suggestion"] == constant["suggestion"]
    # Its momentum at the peak is another one.
    assert "from" not in onecycle
    assert onecycle["momentum"] == 0.85
    assert onecycle["key"] != constant["key"]
    assert f"../{directories['constant'].name}/lr_find.png" in run.stdout


def test_training_after_the_test_equals_training_with_its_pick(swept, tmp_path):
    _, directories = swept
    pick = facts(directories["cosine"] / "lr_find.json")["suggestion"]
    run = sconv(tmp_path, f"lr_max={pick!r}", "schedule=cosine")
    assert run.returncode == 0, run.stderr
    assert only(tmp_path, "steps.csv").read_bytes() == (directories["cosine"] / "steps.csv").read_bytes()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("lr_max=abc", "lr_max: got 'abc', expected a finite number above 0, or auto"),
        ("lr_max=-1", "lr_max: got -1, expected a finite number above 0, or auto"),
        (
            ("lr_max=auto", "lr_find.start_lr=50"),
            "lr_find.start_lr: got 50, expected a finite number above 0 and below 30",
        ),
        (("lr_max=auto", "lr_find.suggestion=best"), "lr_find.suggestion: got 'best', expected one of valley, steep"),
    ],
)
def test_bad_settings_are_one_line(tmp_path, override, said):
    run = sconv(tmp_path, *([override] if isinstance(override, str) else override))
    assert run.returncode == 2
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith(f"sconv: {said}")


@pytest.mark.slow
def test_the_grid_recommends_an_lr_and_a_weight_decay(tmp_path):
    run = sconv(tmp_path, "task=range_grid", "range_grid.l2=[0,1e-4,1.0]", "range_grid.batch_size=[32,64]")
    assert run.returncode == 0, run.stderr
    directory = only(tmp_path, "range_grid.json").parent
    found = facts(directory / "range_grid.json")
    assert len(found["tests"]) == 6
    curves = columns(directory / "range_grid.csv")
    firsts = dict(reversed(list(zip(curves["setting"], curves["loss"], strict=True))))
    for size in (32, 64):  # the same weights and the same first batch
        assert len({loss for setting, loss in firsts.items() if setting.endswith(f"batch_size {size}")}) == 1
    assert len(set(firsts.values())) == 2
    assert found["label"] in found["tests"]
    assert found["lr"] == found["tests"][found["label"]]["suggestions"]["smith"]
    assert re.search(r"^recommended .*the largest weight decay", run.stdout, re.MULTILINE)
    lowest = {setting: float(loss) for setting, loss in zip(curves["setting"], curves["smoothed"], strict=True)}
    assert lowest["l2 0, batch_size 32"] != lowest["l2 1, batch_size 32"], "the decay is put into effect"
    assert "range_grid" in pictures(directory)
