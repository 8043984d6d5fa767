"""What a sweep says at its end, told from the run directories alone."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
import time

import numpy as np
import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from hostile import alarm
from sconv import runs
from sconv.runner import cli
from sconv.runner.config.schema import CONF
from sconv.runner.job import Job
from sconv.runner.sweeps import outcome, resume
from sconv.runner.sweeps.progress import progress

ENDS = {
    "finished": None,
    "failed": ValueError("no [such] file"),
    "diverged": type("Lost", (Exception,), {"status": "diverged"})("not finite at step 7"),
    "interrupted": KeyboardInterrupt(),
}
SECONDS = {"total": 3.21, "training": 1.5}


def job(directory, status, accuracy=None):
    with contextlib.suppress(Exception, KeyboardInterrupt), runs.RunWriter(directory) as run:
        if accuracy is not None:
            run.record(monitored="test", test={"accuracy": accuracy}, steps=125, seconds=SECONDS)
        if ENDS[status]:
            raise ENDS[status]


def told(directory, width=100):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    return outcome.outcome(directory, console), console.file.getvalue()


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["finished", "finished"], 0),
        (["finished", "diverged", "finished"], 3),
        (["failed", "finished"], 1),
        (["diverged", "failed"], 1),
        (["finished", "interrupted"], 1),
    ],
    ids=str,
)
def test_exit_code_and_a_row_a_job(tmp_path, statuses, code):
    for number, status in enumerate(statuses):
        job(tmp_path / f"{number}-seed={number}", status, accuracy=0.5 + number / 10)
    found, said = told(tmp_path)
    assert found == code
    lines = said.splitlines()
    for number, status in enumerate(statuses):
        (row,) = [line.split() for line in lines if line.startswith(f"{number} seed={number} ")]
        assert row == [str(number), f"seed={number}", status, f"{0.5 + number / 10:.4f}", "125", "3.2"]
    errors = [line for line in lines if ": " in line]
    assert len(errors) == sum(status in ("failed", "diverged") for status in statuses)


def test_a_job_that_was_killed_did_not_finish(tmp_path):
    job(tmp_path / "0-seed=0", "finished", 0.5)
    (tmp_path / "1-seed=1").mkdir()
    (tmp_path / "1-seed=1" / "summary.json").write_text('{"status": "running"}')
    found, said = told(tmp_path)
    assert found == 1
    assert "running" in said


def test_a_summary_that_cannot_be_read_hides_no_other(compose, tmp_path):
    job(tmp_path / "0-seed=0", "finished", 0.5)
    (tmp_path / "1-seed=1").mkdir()
    (tmp_path / "1-seed=1" / "summary.json").write_text("")
    found, said = told(tmp_path)
    assert found == 1
    assert [line.split()[2] for line in said.splitlines() if " seed=" in line] == ["finished", "broken"]
    assert f"resume_sweep={tmp_path}" in said
    assert resume.finished_before(compose(f"resume_sweep={tmp_path}")) is None


def test_jobs_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 0, 1, 11):
        job(tmp_path / f"{number}-seed={number}", "finished", 0.5)
    lines = told(tmp_path)[1].splitlines()
    assert [line.split()[0] for line in lines if " seed=" in line] == ["0", "1", "2", "10", "11"]


def test_what_all_jobs_share_is_left_out(tmp_path):
    for number, schedule in enumerate(("baseline", "onecycle")):
        job(tmp_path / f"{number}-epochs=3,schedule={schedule},lr_max=0.1", "finished", 0.5)
    lines = told(tmp_path)[1].splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["0", "schedule=baseline", "finished"],
        ["1", "schedule=onecycle", "finished"],
    ]


def test_means_over_seeds_and_the_report_to_ask_for(tmp_path, monkeypatch):
    """By what the jobs were told: the folders of long command lines have no room for it."""
    reached = {("a,b", 0): 0.5, ("a,b", 1): 0.6, ("a,b", 2): 0.9, ("c", 0): 0.7, ("c", 1): None}
    for number, ((schedule, seed), accuracy) in enumerate(reached.items()):
        directory = tmp_path / "a sweep" / f"{number}-cut_short"
        job(directory, "failed" if accuracy is None else "finished", accuracy)
        told_it = ["epochs=3", f"schedule=[{schedule}]", f"seed={seed}"]
        runs.write_settings(directory, runs.Settings({}, {}, told_it, "/"))
    monkeypatch.chdir(tmp_path)
    for width in (80, 40):
        lines = told(tmp_path / "a sweep", width)[1].splitlines()
        wide = width == 80
        assert ("steps  seconds in all" in lines[0]) is wide
        assert "report python -m sconv.report 'a sweep'" in lines
        rows = [line.split() for line in lines[lines.index(next(line for line in lines if "mean ± std" in line)) + 1 :]]
        if wide:
            spread = f"{np.std([0.5, 0.6, 0.9], ddof=1):.4f}"
            assert rows[:2] == [
                ["schedule=[a,b]", "3", "0.6667", "±", spread, "1.5", "±", "0.0"],
                ["schedule=[c]", "1", "0.7000", "1.5"],
            ]
        assert max(len(line) for line in lines if not re.search(": |resume|http", line)) <= width
    assert "mean" not in told(tmp_path / "a sweep" / "3-cut_short")[1]


def test_what_went_wrong_is_said_in_full(tmp_path):
    job(tmp_path / "0-a", "failed")
    job(tmp_path / "1-b", "diverged")
    said = told(tmp_path, width=60)[1].splitlines()
    assert "0-a: ValueError: no [such] file" in said
    assert "1-b: Lost: not finite at step 7" in said


def test_a_long_name_loses_nothing(tmp_path):
    name = "0-" + ",".join(f"override{number}={number * 111}" for number in range(8))
    job(tmp_path / name, "finished", 0.5)
    said = told(tmp_path, width=60)[1]
    assert name[2:].replace(",", "") in re.sub(r"\s|finished|0\.5000|125|3\.2", "", said)


# --- The sweep that runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "jobs"),
    [
        (["schedule=baseline,onecycle,onecycle_fastai", "seed=0,1,2", "epochs=3"], 9),
        (["seed=range(0,5)"], 5),
        (["model.hidden=[64,32],[16]"], 2),
        (["schedule=glob(onecycle*)", "seed=0,1"], 2 * len(list(CONF.glob("schedule/onecycle*.yaml")))),
        (["epochs=3"], 1),
        (["lr_max=interval(0.1,1)", "seed=0,1"], None),
    ],
    ids=str,
)
def test_time_left(tmp_path, monkeypatch, overrides, jobs):
    """Told from the run directories alone: a worker process knows no other job."""
    config = {"hydra": {"overrides": {"task": overrides}}}
    before, again = tmp_path / "90-before", [tmp_path / f"{number}-seed={number}" for number in range(2)]
    job(before, "finished", 0.5)
    OmegaConf.save(OmegaConf.create(config), tmp_path / "multirun.yaml")
    began = (tmp_path / "multirun.yaml").stat().st_mtime
    os.utime(before / "summary.json", (began - 10, began - 10))
    for number, directory in enumerate(again, 1):
        job(directory, "finished", 0.5)
        os.utime(directory / "summary.json", (began, began))
        monkeypatch.setattr(time, "time", lambda: began + 60.0)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            said, in_a_worker = progress(directory), progress(directory, names_it=True)
        left = None if jobs is None or number >= jobs - 1 else f"{number} of {jobs - 1} jobs, about "
        assert said.startswith(left) if left else said == ""
        told = f"#{number - 1} seed={number - 1}: finished; test acc 0.5000"
        assert in_a_worker == (f"{told}; {said}" if left else f"{told}\n")
    if jobs == 9:
        assert said == "2 of 8 jobs, about 0:03:00 left\n"


BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in itertools.pairwise("abcdefghi")
)
HOSTILE = {
    "reads": "hydra: {overrides: {task: ['${oc.env:SEEDS}']}}",
    "counts": "hydra: {overrides: {task: ['seed=range(1000000000000)']}}",
    "grows": BOMB + "hydra: {overrides: {task: ['seed=0,1,2', *i]}}",
    "another": "hydra: [overrides]",
    "no text": "hydra: {overrides: {task: [{_target_: os.getcwd}, 3]}}",
    "no override": "hydra: {overrides: {task: ['a=b(c']}}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_strangers_sweep_says_is_text(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SEEDS", "seed=0,1,2")
    job(tmp_path / "0-seed=0", "finished", 0.5)
    (tmp_path / "multirun.yaml").write_text(HOSTILE[kind])
    os.utime(tmp_path / "multirun.yaml", (0, 0))
    with initialize_config_dir(str(CONF), version_base="1.3"), alarm(20):
        assert progress(tmp_path / "0-seed=0") == ""


def test_a_job_without_a_directory_to_leave_word_in_is_not_lost(tmp_path, monkeypatch, capsys):
    """As on a full disk, where nothing can be claimed: by the exit code, or through Hydra from a worker process."""
    cfg = OmegaConf.create({"resume": None, "resume_sweep": None, "device": {"kind": "cpu"}})

    def claim(job):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.directory))

    monkeypatch.setattr(cli, "claim", claim)
    monkeypatch.setattr(cli, "_log_what_is_said", lambda _: None)
    for has_workers in (False, True):
        monkeypatch.setattr(cli, "from_hydra", lambda _, has=has_workers: Job(cfg, tmp_path, {}, (), True, has))
        if has_workers:
            with pytest.raises(OSError, match="No space left"):
                cli.job(cfg)
        else:
            assert cli.job(cfg) == runs.ExitCode.USER_ERROR
            assert "No space left" in capsys.readouterr().err


# --- Taken up again ------------------------------------------------------------------------------------------------


def test_a_job_is_known_by_its_configuration(compose, tmp_path):
    def cfg(*overrides):
        return compose(f"resume_sweep={tmp_path}", *overrides)

    for number, status in enumerate(("finished", "failed")):
        with contextlib.suppress(ValueError), runs.RunWriter(tmp_path / str(number)) as run:
            # As it was without resume_sweep: that is no part of what a job is.
            run.record(fingerprint=resume.fingerprint(compose(f"seed={number}")))
            if ENDS[status]:
                raise ENDS[status]
    assert resume.finished_before(cfg("seed=0")) == tmp_path / "0"
    assert resume.finished_before(cfg()) == tmp_path / "0"
    assert resume.finished_before(cfg("seed=1")) is None
    assert resume.finished_before(cfg("seed=0", "lr_max=0.2")) is None
    assert resume.finished_before(compose("seed=0")) is None
