"""What ends a run before its time: signals, a second process, a full disk; and what resume= refuses."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import keras
import pytest
from test_bad_input import carry_out

from conftest import PATIENCE
from sconv import runs
from sconv.runner import stops
from sconv.training import checkpoint_file

# Each trains, or starts a process of its own.
pytestmark = pytest.mark.slow

TINY = "dataset=synthetic dataset.shape=[6,6,1] dataset.train_size=80 dataset.test_size=20 model=mlp batch_size=8"
ALONE = "expected nothing: a run goes on as it began"


# SIGTERM in the second epoch of the run of that number.
INTERRUPT = """
import os, signal
from sconv.runner.tasks import progress_bar
runs = []
def press(self, batch, logs=None):
    if self not in runs:
        runs.append(self)
    if len(runs) - 1 == {run} and self._epoch == 1 and batch == 2:
        os.kill(os.getpid(), signal.SIGTERM)
before = progress_bar.ProgressBar.on_train_batch_end
progress_bar.ProgressBar.on_train_batch_end = press
"""
BACK = "progress_bar.ProgressBar.on_train_batch_end = before"


@pytest.fixture(scope="module")
def held(tmp_path_factory, environment):
    """A folder with a run that was interrupted, one that finished, one that tested, and one that leads elsewhere."""
    folder = tmp_path_factory.mktemp("held")
    cut = f"{TINY} epochs=2 hydra.run.dir=cut steps_per_execution=1"
    steps = [
        *({"arguments": shlex.split(f"{TINY} epochs=2 hydra.run.dir={name}")} for name in ("whole", "owned")),
        {"arguments": shlex.split(f"task=show {TINY} epochs=2 hydra.run.dir=shown")},
        {"python": INTERRUPT.format(run=0)},
        {"arguments": shlex.split(cut)},
        {"python": BACK},
    ]
    results = carry_out([{"folder": str(folder), **step} for step in steps], environment)
    assert [result["code"] for result in results] == [0, 0, 0, 0, 143, 0], results
    assert results[4]["out"].splitlines()[-1] == f"{'resume':<14} python -m sconv resume=cut"
    shutil.copytree(folder / "owned", folder / "linked")
    (folder / "linked" / "steps.csv").unlink()
    (folder / "linked" / "steps.csv").symlink_to(folder / "owned" / "steps.csv")
    settings = folder / "owned" / "settings.json"
    told = json.loads(settings.read_text())
    told["settings"]["dataset"]["noise"] = {"_target_": "os.system", "command": "touch harmed"}
    settings.write_text(json.dumps(told))
    summary = folder / "owned" / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"running"'))
    return folder


REFUSED = {
    "resume=nowhere": "resume: got 'nowhere', expected the directory of a run",
    "resume=shown": "resume: got 'shown', expected a run of task=train",
    "resume=linked": "resume: got 'linked', where steps.csv is a link",
    "resume=owned": "_target_: the run's config names 'os.system', expected one of ",
    "resume=cut model=lenet5": f"model: got another value beside resume, {ALONE}",
    "resume=cut seed=1": f"seed: got another value beside resume, {ALONE}",
    "resume=cut task=lr_find": f"task: got another value beside resume, {ALONE}",
    "resume=cut epochs=3": "epochs: got 3, but the run was planned for 2, ",
    "resume=whole epochs=3": "epochs: got 3, but the run was planned for 2, ",
    "resume=cut resume_allow=[seed]": "resume_allow: got 'seed', expected one of epochs",
    "resume=cut hydra.run.dir=other": "hydra.run.dir: got 'other' beside resume",
    "-m resume=cut,whole": "resume: got 'cut,whole'",
}


def contents(folder):
    return {str(path): path.is_file() and path.read_bytes() for path in folder.rglob("*") if path.name != "sconv.log"}


def test_what_resume_refuses(held, environment):
    before = contents(held)
    cases = [{"folder": str(held), "arguments": shlex.split(one)} for one in REFUSED]
    for (arguments, begins), result in zip(REFUSED.items(), carry_out(cases, environment), strict=True):
        (line,) = result["err"].splitlines()
        assert line.startswith(f"sconv: {begins}"), arguments
        assert (result["code"], result["tensorflow"]) == (2, False), arguments
    assert contents(held) == before


def test_an_interrupted_run_goes_on_and_a_finished_one_only_for_more_epochs(held, environment):
    words = ("resume=cut", "resume=cut", "resume=whole resume_allow=[epochs] epochs=3")
    assert runs.read_summary(held / "cut")["status"] == "interrupted"
    assert int(keras.saving.load_model(held / "cut" / "model.keras").optimizer.iterations) == 13
    on, again, more = carry_out([{"folder": str(held), "arguments": shlex.split(one)} for one in words], environment)
    assert (on["code"], again["code"], more["code"]) == (0, 0, 0)
    assert "at step 13 of 20 (000001-00000003.npz)" in on["out"]
    assert again["out"] == "finished before, nothing to do: cut\n"
    cut, longer = (runs.read_summary(held / name) for name in ("cut", "whole"))
    assert (cut["status"], cut["resumed"][0]["step"], cut["resumed"][0]["changed"]) == ("finished", 13, {})
    assert (longer["status"], longer["steps"], longer["schedule"]["steps"]) == ("finished", 30, 30)
    assert (longer["resumed"][0]["step"], longer["resumed"][0]["changed"]) == (20, {"epochs": 3})
    assert runs.read(held / "whole").config["epochs"] == 3
    assert runs.read_steps(held / "whole")["step"].tolist() == list(range(30))


def test_terminated_held_and_gone_on(environment, tmp_path):
    """A real process: SIGTERM ends it with a checkpoint, and of two that go on at once one is refused."""
    command = [sys.executable, "-u", "-m", "sconv"]
    pipes = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    arguments = [*shlex.split(TINY), "epochs=100000", "checkpoint.every=[]", "hydra.run.dir=run"]
    running = subprocess.Popen([*command, *arguments], **pipes)
    try:
        next(line for line in running.stdout if line.startswith("epoch 5/"))
        assert checkpoint_file.listed(tmp_path / "run" / "checkpoints") == []
        second = subprocess.run([*command, "resume=run"], **{**pipes, "stdout": subprocess.DEVNULL}, timeout=PATIENCE)
        assert (second.returncode, second.stderr) == (
            2,
            "sconv: resume: got 'run', in which another process is at work\n",
        )
        running.send_signal(signal.SIGTERM)
        said, errors = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    assert (running.returncode, errors) == (143, "interrupted\n")
    assert said.splitlines()[-1] == f"{'resume':<14} python -m sconv resume=run"
    summary = runs.read_summary(tmp_path / "run")
    ((position, _),) = checkpoint_file.listed(tmp_path / "run" / "checkpoints")
    assert (summary["status"], summary["steps"]) == ("interrupted", 10 * position.epoch + position.batch)


TWICE = """
import os, signal, time
from sconv.runner import stops
with stops.on_request():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    print("once", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(9)
"""


def test_a_second_signal_leaves_at_once_and_handlers_are_put_back(environment):
    before = [signal.getsignal(number) for number in stops._SIGNALS]
    ended = subprocess.run([sys.executable, "-c", TWICE], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGTERM, "once\n", "")
    with stops.at_once():
        with stops.on_request() as request:
            os.kill(os.getpid(), signal.SIGTERM)
            assert request.is_due()
            assert not request.is_due(100)
        with pytest.raises(stops.Interrupted) as caught:
            signal.raise_signal(signal.SIGUSR1)
    assert stops.exit_code(caught.value) == 128 + signal.SIGUSR1
    assert [signal.getsignal(number) for number in stops._SIGNALS] == before


def test_a_signal_to_all_workers_is_no_second_one_for_those_that_heard_of_it(monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append(number))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    request = stops.Request()
    request.hear()
    assert request.is_due()
    request.receive(signal.SIGTERM)
    assert killed == []
    request.receive(signal.SIGTERM)
    assert killed == [signal.SIGTERM]


def test_a_signal_that_somebody_else_handles_is_theirs():
    theirs = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stops.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, theirs)


def test_the_jobs_of_a_sweep_go_on_from_their_checkpoints(environment, tmp_path):
    sweep = f"-m hydra.sweep.dir=runs {TINY} epochs=2 steps_per_execution=1 seed=0,1"
    again = f"{sweep} resume_sweep=runs"
    words = [{"arguments": shlex.split(one)} for one in (sweep, again)]
    steps = [{"python": INTERRUPT.format(run=1)}, words[0], {"python": BACK}, words[1]]
    _, cut, _, done = carry_out([{"folder": str(tmp_path), **step} for step in steps], environment)
    assert (cut["code"], sorted(cut["statuses"])) == (143, ["finished", "interrupted"])
    assert (done["code"], done["statuses"]) == (0, ["finished", "finished"]), done
    first, second = (runs.read_summary(path) for path in runs.find(tmp_path / "runs"))
    assert "resumed" not in first
    assert [each["step"] for each in second["resumed"]] == [13]
    assert runs.read_steps(runs.find(tmp_path / "runs")[1])["step"].tolist() == list(range(20))
