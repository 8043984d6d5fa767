"""The command line as a user meets it: what it prints, what it exits with, what it leaves behind."""

from __future__ import annotations

import csv
import json
import math
import re
import signal
import subprocess
import sys

import keras
from omegaconf import OmegaConf

from sconv import runs

TINY = [
    "dataset=synthetic",
    "dataset.shape=[6,6,1]",
    "dataset.train_size=80",
    "dataset.test_size=20",
    "model=mlp",
    "model.hidden=[16]",
    "epochs=2",
    "batch_size=8",
]


def one_run(folder):
    (directory,) = runs.find(folder / "outputs")
    return directory, runs.read_summary(directory)


def test_the_console_script_finds_modules_in_the_current_folder(tmp_path, environment):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "script.py").write_text("from sconv.runner.cli import main\nmain()\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "net.py").write_text("def build(input_shape, classes):\n    raise NotImplementedError\n")
    asked = [sys.executable, str(tmp_path / "bin" / "script.py"), "task=show", "model._target_=net.build"]
    ran = subprocess.run(asked, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, timeout=100)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_tensorflow_starts_soon(command, tmp_path):
    # Its import makes hundreds of thousands of objects, of which all stay: no garbage is looked for among them; when
    # a model is built that is on again.
    (tmp_path / "net.py").write_text(
        "import gc, sconv.models.mlp as mlp\n"
        "def build(input_shape, classes):\n"
        "    collections = gc.get_stats()[2]['collections']\n"
        "    print('said', gc.isenabled(), collections, gc.get_freeze_count())\n"
        "    return mlp.build(input_shape, classes)\n"
    )

    ran = command(*TINY, "epochs=1", "model._target_=net.build", "~model.hidden")
    assert ran.returncode == 0, ran.stderr
    ((enabled, collections, frozen),) = (
        line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("said")
    )
    assert enabled == "True"
    assert int(collections) <= 2  # Keras asks for one; importing would make eight
    assert int(frozen) > 300_000


def test_no_argument_trains_on_real_images(command, tmp_path):
    ran = command()
    assert ran.returncode == 0
    assert ran.stderr == ""
    directory, summary = one_run(tmp_path)
    assert (summary["status"], summary["seed"]) == ("finished", 0)
    assert summary["test"]["accuracy"] >= 0.95
    cfg = OmegaConf.load(directory / ".hydra" / "config.yaml")
    assert (summary["parameters"], summary["steps"]) == (81194, cfg.epochs * math.ceil(4000 / cfg.batch_size))
    assert (summary["schedule"]["name"], summary["compute_dtypes"]) == ("onecycle_fastai", {"float32": 5})
    assert directory.relative_to(tmp_path).parts[0] == "outputs"
    assert {"config.yaml", "overrides.yaml", "hydra.yaml"} <= {path.name for path in (directory / ".hydra").iterdir()}
    assert (directory / "sconv.log").exists()
    lines = ran.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == [
        f"{epoch + 1}/{cfg.epochs}" for epoch in range(cfg.epochs)
    ]
    said = "\n".join(line for line in lines if not line.startswith("epoch "))
    assert f"{summary['test']['accuracy']:.4f}" in said
    assert f"{summary['steps']:,}" in said
    assert f"{summary['seconds']['training']:.1f} s" in said
    assert str(directory.relative_to(tmp_path)) in said.splitlines()[2]
    assert "tensorboard --logdir outputs" in said
    assert len(lines) - cfg.epochs <= 7


# --- Errors: what can be got wrong, kind by kind, is in test_bad_input.py -------------------------------------------


def test_user_error_is_one_line(command):
    ran = command("dataset=synthetic", "batch_size=0")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "sconv: batch_size: got 0, expected a whole number of at least 1\n"


def test_diverged(command, tmp_path):
    ran = command(*TINY, "lr_max=1e20")
    assert ran.returncode == 3
    (line,) = ran.stderr.splitlines()
    summary = one_run(tmp_path)[1]
    assert summary["status"] == "diverged"
    assert f"step {summary['diverged']['step']} " in line
    assert f"{summary['diverged']['learning_rate']:.4g}" in line
    assert f"{summary['diverged']['momentum']:.4g}" in line


def test_ctrl_c(environment, tmp_path):
    arguments = [sys.executable, "-u", "-m", "sconv", *TINY, "epochs=100000"]
    running = subprocess.Popen(
        arguments,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        for line in running.stdout:
            if line.startswith("epoch 5/"):
                break
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, errors
    assert errors.splitlines() == ["interrupted"]
    directory, summary = one_run(tmp_path)
    assert summary["status"] == "interrupted"
    assert 50 <= summary["steps"] < 1_000_000
    with open(directory / "steps.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(summary["steps"]))
    assert int(keras.saving.load_model(directory / "model.keras").optimizer.iterations) == summary["steps"]


# --- Sweeps --------------------------------------------------------------------------------------------------------

# A user's own dataset needs no change in sconv. Of six runs one finds it missing, one has images out of all measure.
FUSSY = """
import numpy as np
from sconv.datasets import Dataset, synthetic
from sconv.datasets.dataset import Split

def load(run):
    if run == "1-sconv.schedules.onecycle":
        raise RuntimeError("the disk is on fire")
    made = synthetic.load([6, 6, 1], 4, 80, 20)
    images = made.train.images.astype(np.float32)
    if run == "0-sconv.schedules.baseline":
        images[7] = 3e38
    test = Split(made.test.images.astype(np.float32), made.test.labels)
    return Dataset("fussy", Split(images, made.train.labels), test, made.class_names)
"""


def test_sweep(command, tmp_path):
    (tmp_path / "fussy.py").write_text(FUSSY)
    option = tmp_path / "my_conf" / "dataset" / "fussy.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: fussy.load\nrun: ${seed}-${schedule._target_}\n")
    # Softmax regression: a hidden layer's ReLU may turn NaN into 0.
    tiny = ["dataset=fussy", "model=mlp", "model.hidden=[]", "epochs=2", "batch_size=8"]
    swept = ["schedule=baseline,onecycle,onecycle_fastai", "seed=0,1"]
    ran = command("-m", "--config-dir", str(tmp_path / "my_conf"), *swept, *tiny, PYTHONPATH=str(tmp_path))
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr + ran.stdout
    directories = runs.find(tmp_path / "outputs")
    assert len(directories) == 6
    assert len({path.parent for path in directories}) == 1
    assert directories[0].relative_to(tmp_path).parts[:2] == ("outputs", "sweeps")
    ended = {}
    for path in directories:
        summary = runs.read_summary(path)
        schedule, seed = re.search(r"schedule=(\w+),seed=(\d)", path.name).groups()
        ended[schedule, int(seed)] = summary["status"]
        assert summary["seed"] == int(seed)
        if summary["status"] == "finished":
            assert (summary["schedule"]["name"], summary["steps"]) == (schedule, 20)
            assert (path / "model.keras").exists()
            assert len((path / "steps.csv").read_text().splitlines()) == 21
    schedules = ("baseline", "onecycle", "onecycle_fastai")
    expected = {(schedule, seed): "finished" for schedule in schedules for seed in range(2)}
    assert ended == {**expected, ("onecycle", 1): "failed", ("baseline", 0): "diverged"}
    table = ran.stdout[ran.stdout.index("status") :]
    listed = re.findall(r"^(\d) schedule=(\w+) seed=(\d) +(\w+)", table, re.MULTILINE)
    assert [int(number) for number, *_ in listed] == list(range(6))
    assert {(schedule, int(seed)): status for _, schedule, seed, status in listed} == ended
    assert "the disk is on fire" in table
    assert "not finite at step" in table


# --- Own options ---------------------------------------------------------------------------------------------------


def test_own_configuration_folder(command, tmp_path):
    folder = tmp_path / "my_conf" / "schedule"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: sconv.schedules.constant\nlr_max: ${lr_max}\nmomentum: 0.5\n")
    ran = command("--config-dir", str(folder.parent), "schedule=mine", "--cfg", "job", "--resolve")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "momentum: 0.5" in ran.stdout
    assert json.loads(re.search(r"^seed: (.*)$", ran.stdout, re.MULTILINE)[1]) == 0
