"""Another `_target_` in place of an option's: what reaches it, and that `.hydra/config.yaml` is what ran."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from sconv import checks
from sconv.runner.config import leftovers, schema

TESTS = Path(__file__).parents[1]
COMMANDS, PACKAGE = TESTS / "commands.py", TESTS / "byo_package"
OWN = {
    "model/mine": "defaults: [resnet20]\n_target_: net.build\nwidth: 5\n",
    "experiment/with_function": "# @package _global_\nmodel: {_target_: net.build, width: 3}\n",
    "experiment/without": "# @package _global_\nmodel: {width: 6}\ndataset: {train_size: 7}\n",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A user's folder for --config-dir."""
    folder = tmp_path_factory.mktemp("my_conf")
    for name, text in OWN.items():
        (folder / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    return folder


def left(own, *overrides):
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        settings = [f"hydra.searchpath=[file://{own}]", "hydra.output_subdir=null", *overrides]
        cfg = compose("config", settings, return_hydra_config=True)
        hydra = cfg.hydra
        with open_dict(cfg):
            del cfg["hydra"]
        leftovers.drop(cfg, hydra)
        leftovers.check_knobs(cfg, overrides)
    return OmegaConf.to_container(cfg)


PARTS = {"classes": None, "train_size": None, "validation": None}
NET = {"_target_": "net.build"}
CASES = [
    ("model._target_=net.build", "model", NET),
    ("model._target_=net.build model.scale=2 +model.width=3", "model", {**NET, "scale": 2, "width": 3}),
    ("'+model={_target_: net.build, width: 3}'", "model", {**NET, "width": 3}),
    ("model=resnet56 model._target_=net.build ++model.depth=5", "model", {**NET, "depth": 5}),
    ("model=mlp model._target_=net.build model.hidden=[3] ~model.hidden", "model", NET),
    ("model=mine", "model", {**NET, "width": 5}),
    ("model=mine model._target_=net.other", "model", {"_target_": "net.other"}),
    ("experiment=with_function", "model", {**NET, "width": 3}),
    ("experiment=with_function model.width=4", "model", {**NET, "width": 4}),
    ("experiment=with_function model._target_=net.other", "model", {"_target_": "net.other"}),
    ("experiment=without model._target_=net.build", "model", {**NET, "width": 6}),
    ("model=mobilenet_v2 model._target_=net.build", "model", NET),
    (
        "model=mobilenet_v2 '+model.backbone.alpha=0.5' model.backbone._target_=keras.applications.MobileNet",
        "model.backbone",
        {"_target_": "keras.applications.MobileNet", "_partial_": True, "alpha": 0.5},
    ),
    ("dataset._target_=data.load", "dataset", {"_target_": "data.load", **PARTS}),
    # Its numbers of classes and examples are those of the option, and no part of other data.
    ("dataset=synthetic dataset._target_=data.load", "dataset", {"_target_": "data.load", **PARTS}),
    (
        "dataset=synthetic dataset._target_=data.load dataset.classes=3 experiment=without",
        "dataset",
        {"_target_": "data.load", **PARTS, "classes": 3, "train_size": 7},
    ),
    ("augment=standard augment._target_=own.flip", "augment", {"_target_": "own.flip"}),
    ("optimizer._target_=keras.optimizers.Lion", "optimizer", {"_target_": "keras.optimizers.Lion"}),
    ("schedule._target_=own.schedule", "schedule", {"_target_": "own.schedule"}),
    # A recipe of ours sets the momentum of its own schedule.
    ("experiment=avanwyk_fashion_mnist schedule._target_=own.schedule", "schedule", {"_target_": "own.schedule"}),
    ("loss._target_=keras.losses.MeanSquaredError", "loss", {"_target_": "keras.losses.MeanSquaredError"}),
    ("device._target_=own.device", "device", {"_target_": "own.device"}),
]


@pytest.mark.parametrize(("overrides", "where", "expected"), CASES, ids=[case[0] for case in CASES])
def test_another_function_gets_what_the_user_gave_and_nothing_else(own, overrides, where, expected):
    cfg = OmegaConf.create(left(own, *shlex.split(overrides)))
    assert OmegaConf.to_container(OmegaConf.select(cfg, where)) == expected


@pytest.mark.parametrize(
    "option", ["model=resnet56", "schedule=published/smith2018_cifar10_wrn", "dataset=cats_vs_dogs"]
)
def test_the_function_that_the_option_has_replaces_nothing(own, option):
    group = option.partition("=")[0]
    plain = left(own, option)
    assert len(plain[group]) > 2
    assert left(own, option, f"{group}._target_={plain[group]['_target_']}") == plain


@pytest.mark.parametrize(
    ("knob", "group"), [("lr_max=0.3", "schedule"), ("lr_max=auto", "schedule"), ("weight_decay=0.01", "optimizer")]
)
def test_a_knob_that_nothing_would_read_is_refused(own, knob, group):
    name = knob.partition("=")[0]
    with pytest.raises(checks.SettingError, match=rf"^{name}: got .*, which own.function is not given"):
        left(own, knob, f"{group}._target_=own.function")
    assert left(own, knob, f"{group}._target_=own.function", f"+{group}.of='${{{name}}}'")


# By effect, at the command line ---------------------------------------------------------------------------------------

NETS = """
import keras
from keras import layers


def build(input_shape, classes, width=8, scale=1 / 255):
    x = layers.Rescaling(scale, name="scaled")(inputs := keras.Input(input_shape))
    x = layers.Dense(width, "relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(classes, "softmax")(x))
"""
RECIPE = (
    "# @package _global_\ndefaults: [override /schedule: onecycle]\nepochs: 1\nmodel: {_target_: net.build, width: 3}\n"
)
TINY = (
    *("dataset=synthetic", "dataset.shape=[6,6,1]", "dataset.classes=4", "dataset.train_size=80"),
    *("dataset.test_size=20", "epochs=2", "batch_size=8", "lr_max=0.05"),
)
MLP = (*TINY, "model=mlp", "model.hidden=[16]")
# The option says scale=1/2, which the user's function has a parameter for, too.
REPLACED = ("--config-dir", "my_conf", *TINY, "model=halved", "model._target_=net.build")
DATA = (
    "dataset=synthetic",
    "dataset._target_=my_package.data.load",
    "+dataset.count=30",
    "model=mlp",
    "epochs=1",
    "batch_size=8",
)
RUNS = {
    "default": MLP,
    "replaced": REPLACED,
    "auto": (*MLP, "lr_max=auto", "lr_find.max_steps=200"),
    "experiment": ("--config-dir", "my_conf", *TINY, "experiment=recipe"),
    "data": DATA,
}


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    """All that is looked at below, carried out in one process: the answers by name, and their folder."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "net.py").write_text(NETS)
    for name, text in {"model/halved": "_target_: net.other\nscale: 0.5\n", "experiment/recipe": RECIPE}.items():
        (folder / f"my_conf/{name}.yaml").parent.mkdir(exist_ok=True, parents=True)
        (folder / f"my_conf/{name}.yaml").write_text(text)
    asked = {name: [*arguments, f"hydra.run.dir={name}"] for name, arguments in RUNS.items()}
    for name in RUNS:
        taken = ("--config-path", str(folder / name / ".hydra"), "--config-name", "config")
        asked[f"{name} again"] = [*taken, f"hydra.run.dir={name}_again"]
    asked["evaluate"] = ["task=evaluate", "run=data", "allowed_targets=[my_package.*]", "hydra.run.dir=evaluated"]
    sweep = ["-m", *REPLACED, "seed=0,1", "hydra.sweep.dir=sweep", "epochs=1"]
    asked["sweep"], asked["resumed"] = sweep, [*sweep, "resume_sweep=sweep"]
    cases = [{"folder": str(folder), "arguments": arguments} for arguments in asked.values()]
    done = subprocess.run(
        [sys.executable, COMMANDS],
        input=json.dumps(cases),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(asked, json.loads(done.stdout), strict=True)), folder


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_configuration_of_a_run_trains_the_same_again(carried_out, name):
    answers, folder = carried_out
    assert (answers[name]["code"], answers[f"{name} again"]["code"]) == (0, 0), answers[f"{name} again"]["err"]
    first, again = folder / name, folder / f"{name}_again"
    rows = list(csv.reader((first / "steps.csv").read_text().splitlines()))
    assert len(rows) > 3
    assert (again / "steps.csv").read_text() == (first / "steps.csv").read_text()
    weights, others = (keras.saving.load_model(path / "model.keras").get_weights() for path in (first, again))
    assert all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))
    assert (again / ".hydra/config.yaml").read_text() == (first / ".hydra/config.yaml").read_text()


@pytest.mark.slow
def test_what_was_found_again_was_looked_for(carried_out):
    _, folder = carried_out
    assert OmegaConf.load(folder / "auto/.hydra/config.yaml").lr_max == "auto"
    assert json.loads((folder / "auto_again/summary.json").read_text())["lr_max_found_by"] == "smith"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replaced", "sweep/0-*", "sweep/1-*"])
def test_the_replaced_options_settings_reach_neither_the_model_nor_the_configuration(carried_out, name):
    (directory,) = carried_out[1].glob(name)
    assert keras.saving.load_model(directory / "model.keras").get_layer("scaled").scale == 1 / 255
    assert OmegaConf.load(directory / ".hydra/config.yaml").model == {"_target_": "net.build"}


@pytest.mark.slow
def test_a_runs_own_configuration_names_data_that_can_be_loaded_again(carried_out):
    answers, folder = carried_out
    assert answers["evaluate"]["code"] == 0, answers["evaluate"]["err"]
    assert json.loads((folder / "evaluated/evaluation.json").read_text())["examples"] == 30


@pytest.mark.slow
def test_a_sweep_knows_its_finished_jobs_again(carried_out):
    answers, _ = carried_out
    assert answers["sweep"]["code"] == 0, answers["sweep"]["err"]
    assert answers["resumed"]["out"].count("finished before:") == 2
