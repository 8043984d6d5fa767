"""A run directory is one run's: whatever is asked of it afterwards, nothing in or below it changes."""

from __future__ import annotations

import shlex

import pytest
from omegaconf import OmegaConf
from test_bad_input import carry_out

# Each trains, or starts a process of its own.
pytestmark = pytest.mark.slow

TINY = "dataset=synthetic dataset.shape=[6,6,1] dataset.train_size=80 dataset.test_size=20 model=mlp epochs=1"
FIRST = "hydra.run.dir=outputs/first"
OLD = "hydra.sweep.dir=outputs/old"


def contents(folder):
    return {str(path): path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def held(tmp_path_factory, environment):
    """A folder with a finished run, one that failed, and a finished sweep."""
    folder = tmp_path_factory.mktemp("held")
    arguments = (f"{FIRST} {TINY}", f"hydra.run.dir=outputs/failed {TINY} lr_max=-1", f"-m {OLD} {TINY} seed=0,1")
    results = carry_out([{"folder": str(folder), "arguments": shlex.split(one)} for one in arguments], environment)
    assert [result["code"] for result in results] == [0, 2, 0], results
    return folder


TAKEN = {
    f"{FIRST} {TINY}": "hydra.run.dir: got 'outputs/first', which holds a run already,",
    f"{FIRST} lr_max=-1": "hydra.run.dir: got 'outputs/first'",
    "hydra.run.dir=outputs lr_max=-1": "hydra.run.dir: got 'outputs', which holds a run already, ",
    f"hydra.run.dir=. {TINY}": "hydra.run.dir: got '.', which holds a run already, outputs/",
    "hydra.run.dir=outputs/old task=show": "hydra.run.dir: got 'outputs/old', which holds a run already, ",
    f"hydra.run.dir=outputs/failed {TINY}": "hydra.run.dir: got 'outputs/failed'",
    f"{FIRST} task=lr_find {TINY}": "hydra.run.dir: got 'outputs/first'",
    f"{FIRST} task=range_grid {TINY}": "hydra.run.dir: got 'outputs/first'",
    f"{FIRST} task=evaluate run=outputs/first": "hydra.run.dir: got 'outputs/first'",
    f"{FIRST} task=predict run=outputs/first images=.": "hydra.run.dir: got 'outputs/first'",
    f"-m {OLD} {TINY} seed=0,1": "hydra.sweep.dir: got 'outputs/old', which holds a run already, ",
    f"-m {OLD} {TINY} seed=2,3": "hydra.sweep.dir: got 'outputs/old'",
    f"-m hydra.sweep.dir=outputs/first {TINY} seed=0,1": "hydra.sweep.dir: got 'outputs/first'",
}


def test_a_directory_that_holds_a_run_is_refused_and_left_alone(held, environment):
    before = contents(held)
    cases = [{"folder": str(held), "arguments": shlex.split(one)} for one in TAKEN]
    for result, begins in zip(carry_out(cases, environment), TAKEN.values(), strict=True):
        (line,) = result["err"].splitlines()
        assert line.startswith(f"sconv: {begins}")
        assert (result["code"], result["out"], result["tensorflow"]) == (2, "", False)
    assert contents(held) == before


def test_two_jobs_of_a_sweep_with_one_directory(environment, tmp_path):
    """The first has it, the others are refused, and what asks for another directory is carried out."""
    swept = "hydra.sweep.dir=runs 'hydra.sweep.subdir=${seed}' seed=0,1 lr_max=0.1,0.2"
    (result,) = carry_out([{"folder": str(tmp_path), "arguments": shlex.split(f"-m {TINY} {swept}")}], environment)
    assert result["code"] == 2
    taken = [line for line in result["err"].splitlines() if line.startswith("sconv: ")]
    for seed, line in enumerate(taken):
        assert line.startswith(f"sconv: hydra.sweep.subdir: got 'runs/{seed}', which holds a run")
    assert len(taken) == 2
    ran = {seed: OmegaConf.load(tmp_path / "runs" / str(seed) / ".hydra" / "config.yaml") for seed in (0, 1)}
    assert {seed: (cfg.seed, cfg.lr_max) for seed, cfg in ran.items()} == {0: (0, 0.1), 1: (1, 0.1)}
    assert result["statuses"] == ["finished", "finished"]


def test_a_resumed_sweep_replaces_what_did_not_finish(environment, tmp_path):
    """And of that its own files alone: not a run that somebody put below it, nor a note beside it."""
    again = f"-m hydra.sweep.dir=runs resume_sweep=runs {TINY} seed=0,1"
    command = again.replace(" resume_sweep=runs", "")
    spoil = """
import json, pathlib
job = next(pathlib.Path("runs").glob("1-*"))
summary = json.loads((job / "summary.json").read_text())
(job / "summary.json").write_text(json.dumps({"status": "failed", "error": "old"}))
(job / "model.keras").write_text("cut short")
(job / "lr_find.json").write_text("{}")
(job / "notes.txt").write_text("mine")
(job / "below" / "train").mkdir(parents=True)
(job / "below" / "summary.json").write_text(json.dumps({"status": "finished"}))
(job / "below" / "train" / "events.out.tfevents.1").write_text("theirs")
"""
    steps = [{"arguments": shlex.split(command)}, {"python": spoil}, {"arguments": shlex.split(again)}]
    results = carry_out([{"folder": str(tmp_path), **step} for step in steps], environment)
    assert [result["code"] for result in results] == [0, 0, 0], results
    (job,) = (tmp_path / "runs").glob("1-*")
    assert '"finished"' in (job / "summary.json").read_text()
    assert "old" not in (job / "summary.json").read_text()
    assert (job / "model.keras").read_bytes() != b"cut short"
    assert not (job / "lr_find.json").exists()
    assert len(list(job.glob("events*"))) == 1
    assert (job / "notes.txt").read_text() == "mine"
    assert (job / "below" / "train" / "events.out.tfevents.1").read_text() == "theirs"


def test_a_strangers_sweep_is_taken_up_as_data(environment, tmp_path):
    """Nothing in it is resolved, and nothing is written through its links."""
    victim, theirs = tmp_path / "victim", tmp_path / "theirs"
    for name, overrides in (("7-a", "- name=${oc.env:SECRET}\n"), ("8-b", "&a [*a]")):
        (theirs / name / ".hydra").mkdir(parents=True)
        (theirs / name / ".hydra" / "overrides.yaml").write_text(overrides)
        (theirs / name / "schedule.csv").write_text("step,learning_rate,momentum,phase\n0,1,,1\n1,1,,1\n")
    (theirs / "multirun.yaml").touch()
    command = shlex.split(f"-m task=show {TINY} schedule=constant,cosine resume_sweep=theirs")
    victim.write_text("mine")
    link = {"python": "import os; os.remove('theirs/multirun.yaml'); os.symlink('../victim', 'theirs/multirun.yaml')"}
    steps = [{"arguments": command, "environment": {"SECRET": "told"}}, link, {"arguments": command}]
    shown, _, refused = carry_out([{"folder": str(tmp_path), **step} for step in steps], environment)
    assert (shown["code"], "${oc.env:SECRET}" in shown["out"], "told" in shown["out"]) == (1, True, False), shown
    assert "Traceback" not in shown["err"]
    line = "sconv: resume_sweep: got 'theirs', where multirun.yaml is a link, expected files of its own\n"
    assert (refused["code"], refused["err"]) == (2, line)
    assert victim.read_text() == "mine"
