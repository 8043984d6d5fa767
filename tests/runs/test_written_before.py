"""Run folders that an earlier layout of the program wrote: reported, evaluated and predicted with as they are.

Their summaries do not say which split was monitored; their configurations name functions where they then were.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sconv.report.__main__ import main
from sconv.report.comparison import compare
from sconv.report.groups import gather

BEFORE = Path(__file__).parent / "before"
COMMANDS = Path(__file__).parents[1] / "commands.py"
RUNS = pytest.mark.parametrize("name", ["with_validation", "without_validation"])
# Loss and accuracy on the test split, as that program evaluated it.
TEST = {"with_validation": (1.4171183, 0.25), "without_validation": (1.3912748, 0.25)}


def cells(capsys, *arguments):
    assert main([*map(str, arguments)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_list_has_a_column_for_each_split(capsys):
    over, _, one, other = cells(capsys, "--list", BEFORE)
    assert over[:2] == ["val", "test"]
    assert one[1:4] == ["finished", "25.00", "25.00"]
    assert other[1:4] == ["finished", "-", "25.00"]


def test_compare_gives_each_number_to_its_split(capsys):
    found = cells(capsys, "--compare", BEFORE / "with_validation", BEFORE / "without_validation")
    assert ["validation", "loss", "1.4215", "-"] in found
    assert ["test", "loss", "1.4171", "1.3913"] in found
    assert ["dataset.validation", "0.2", "None"] in found


def test_they_are_training_runs_and_take_part_in_a_comparison():
    groups, notes = gather([BEFORE])
    assert notes == []
    held_out, not_held_out = compare(groups).rows
    assert (held_out.group.monitored, not_held_out.group.monitored) == ("validation", "test")
    assert (held_out.validation.mean, held_out.test.mean) == (0.25, 0.25)
    assert (not_held_out.validation, not_held_out.test.mean) == (None, 0.25)


@pytest.fixture(scope="module")
def commands(tmp_path_factory, environment):
    """Where each command ran, by name of the run and task."""
    root = tmp_path_factory.mktemp("before")
    image = root / "image.png"
    Image.fromarray(np.arange(0, 252, 7, np.uint8).reshape(6, 6)).save(image)
    folders = {(name, task): root / name / task for name in TEST for task in ("evaluate", "predict")}
    cases = [
        {"folder": str(folder), "arguments": [f"task={task}", f"run={BEFORE / name}", f"images={image}"]}
        for (name, task), folder in folders.items()
    ]
    ran = subprocess.run(
        [sys.executable, COMMANDS], input=json.dumps(cases), env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    ended = [(one["code"], one["err"]) for one in json.loads(ran.stdout)]
    assert ended == [(0, "")] * len(cases)
    return folders


@pytest.mark.slow
@RUNS
def test_their_models_are_evaluated_on_their_own_test_split(commands, name):
    (path,) = commands[name, "evaluate"].rglob("evaluation.json")
    found = json.loads(path.read_text())
    assert found["examples"] == 20
    assert (found["loss"], found["accuracy"]) == (pytest.approx(TEST[name][0], rel=1e-5), TEST[name][1])


@pytest.mark.slow
@RUNS
def test_their_models_predict(commands, name):
    (path,) = commands[name, "predict"].rglob("predictions.csv")
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    assert Path(row["file"]).name == "image.png"
    assert row["class"] in {"0", "1", "2", "3"}
    assert 0.25 <= float(row["probability"]) <= 1
