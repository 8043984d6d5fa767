"""The configuration: every option composes, says what its callable says, and a typo is refused."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import get_method, get_object, instantiate
from omegaconf import OmegaConf

from sconv.runner.config.schema import CONF
from sconv.runner.sweeps.hydra_callback import SweepCallback

FILES = sorted(path for path in CONF.glob("*/**/*.yaml") if not path.is_relative_to(CONF / "hydra"))


def place(path):
    """Group and option: an option may lie in a folder of its group."""
    group, _, option = str(path.relative_to(CONF).with_suffix("")).partition("/")
    return group, option


OPTIONS = [place(path) for path in FILES]


def of_group(group):
    return [option for where, option in OPTIONS if where == group]


def body(path):
    """What an option file sets for its own group: files with another package name the group themselves."""
    values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return values.get(place(path)[0], values)


CALLABLES = [path for path in FILES if "_target_" in body(path)]


def labels(paths):
    return ["=".join(place(path)) for path in paths]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=labels(FILES))
def test_every_option_composes(compose, group, option):
    cfg = compose(f"{group}={option}")
    OmegaConf.resolve(cfg)
    assert cfg.lr_max > 0
    # What only the user knows: which data.
    assert OmegaConf.missing_keys(cfg) <= {"dataset.path", "dataset.name"}


@pytest.mark.parametrize("path", FILES, ids=labels(FILES))
def test_option_begins_with_a_comment(path):
    lines = path.read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ")
    assert len(first) > 10


@pytest.mark.parametrize("path", CALLABLES, ids=labels(CALLABLES))
def test_option_sets_nothing_its_callable_lacks(path):
    values = body(path)
    if values["_target_"] == "keras.optimizers.Muon" and not hasattr(keras.optimizers, "Muon"):
        pytest.skip("an older Keras")
    known = inspect.signature(get_object(values["_target_"])).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        assert {key for key in values if not key.startswith("_")} - {"defaults"} <= set(known)


OURS = [path for path in CALLABLES if body(path)["_target_"].startswith("sconv.")]


@pytest.mark.parametrize("path", OURS, ids=labels(OURS))
def test_option_has_the_defaults_of_its_callable(path):
    """All of them, except what tells apart the options of one group that call the same thing.

    A default that the file leaves out is a knob at the top, with the same value there.
    """
    values = body(path)
    parameters = inspect.signature(get_object(values["_target_"])).parameters
    defaults = {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    siblings = [body(other) for other in OURS if other.parent == path.parent]
    alike = [other for other in siblings if other["_target_"] == values["_target_"]]
    telling = {key for other in alike for key in other if other[key] != values.get(key, "nowhere")}
    telling |= {"training_images"}  # which the runner gives
    knobs = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"), resolve=False)
    said = {**{key: knobs[key] for key in defaults if key in knobs}, **values}
    telling |= {key for key in said if said[key] == f"${{{key}}}"}  # knobs at the top, of every option
    assert {key: plain(said.get(key, "nowhere")) for key in defaults if key not in telling} == {
        key: plain(value) for key, value in defaults.items() if key not in telling
    }


def plain(value):
    if isinstance(value, dict) and value.get("_partial_"):
        return get_object(value["_target_"])
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("option", [option for option in of_group("schedule") if "/" not in option])
def test_schedule_option_is_its_factory(compose, option):
    own = {"epochs": 5, "freeze_epochs": 1} if option == "fine_tune" else {}
    cfg = compose(f"schedule={option}", "lr_max=0.37", *(f"{key}={value}" for key, value in own.items()))
    made = instantiate(cfg.schedule, _convert_="all")
    assert made == get_method(cfg.schedule._target_)(lr_max=0.37)
    assert max(made.sample(1000)[0]) == 0.37


@pytest.mark.parametrize("option", of_group("optimizer"))
def test_optimizer_brings_its_lr_max(compose, option):
    own = OmegaConf.load(CONF / "optimizer" / f"{option}.yaml").lr_max
    assert compose(f"optimizer={option}").lr_max == own
    cfg = compose(f"optimizer={option}", "lr_max=0.011")
    assert (cfg.lr_max, cfg.optimizer.learning_rate) == (0.011, 0.011)


def leaves(values, path=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


@pytest.fixture(scope="module")
def target(compose):
    """target(group, option): what the option calls; kept, since many experiments choose the same."""
    return functools.cache(lambda group, option: compose(f"{group}={option}")[group]._target_)


@pytest.mark.parametrize("option", of_group("experiment"))
def test_experiment_has_its_say_and_the_command_line_the_last(compose, target, option):
    path = CONF / "experiment" / f"{option}.yaml"
    values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    own = [one for one in values.pop("defaults") if isinstance(one, dict)]  # the others are recipes it builds on
    chosen = {group.removeprefix("override /"): name for one in own for group, name in one.items()}
    cfg = compose(f"experiment={option}")
    for key, value in leaves(values):
        found = OmegaConf.select(cfg, key)
        assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value, key
    for group, name in chosen.items():
        assert cfg[group]._target_ == target(group, name)
    both = compose(f"experiment={option}", "epochs=77", "schedule=constant")
    assert (both.epochs, both.schedule._target_) == (77, "sconv.schedules.constant")


@pytest.mark.parametrize("option", of_group("experiment"))
def test_experiment_says_how_to_run_it(option):
    text = (CONF / "experiment" / f"{option}.yaml").read_text()
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert f"experiment={option}" in header
    assert "xpected" in header


@pytest.mark.parametrize(
    "typo",
    [
        "schedule=onecylce",
        "epohcs=3",
        "epochs=two",
        "epochs=2.5",
        "batch_size=many",
        "schedule.pct_strat=0.2",
        "dataset.sise=3",
        "optimizer.momentun=0.9",
        "experiment=nonesuch",
    ],
)
def test_typo_is_refused(compose, typo):
    with pytest.raises(HydraException, match=typo.partition("=")[0].rpartition(".")[2]):
        compose(typo)


def test_names_of_run_directories(compose):
    def where(*overrides):
        return Path(compose(*overrides, hydra=True).hydra.run.dir)

    usual = where("schedule=cosine", "model=mlp", "dataset=synthetic")
    assert usual.name.endswith("-cosine-mlp-synthetic")
    assert usual.parts[0] == "outputs"
    own = where("model._target_=my_package.net.build", "dataset._target_=my_package.data.load")
    assert own.name.endswith("-onecycle_fastai-my_package.net.build-my_package.data.load")
    named = where("name='a/b: c'")
    assert len(named.parts) == len(usual.parts)
    assert named.name.endswith("-a_b_c")
    assert re.fullmatch(r"\d\d-\d\d-\d\d-a_b_c", named.name)


def test_names_of_sweep_jobs(compose):
    def name(*overrides, alike=()):
        excluded = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(alike)}]"
        return compose(*overrides, "hydra.job.num=3", excluded, hydra=True).hydra.sweep.subdir

    given = ["schedule=onecycle", "++model._target_=my.own/thing", "name='$(rm) *'", "epochs=2"]
    assert name(*given).startswith("3-schedule=onecycle,++model._target_=my.own_thing,name=")
    assert not set(name(*given)) & set("/\\$(){}[]*?'\"` \t\n;&|<>~")
    assert name(*given, alike=["name", "model._target_"]) == "3-schedule=onecycle,epochs=2"
    assert name("epochs=2", alike=["epochs"]) == "3-onecycle_fastai-lenet5-mnist_5k"
    assert len(name(f"name={'a' * 450}")) < 200


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_those_that_begin_in_one_second_have_each_a_directory_of_its_own(compose, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    cfg = compose("name=same", hydra=True)
    name = Path(cfg.hydra[kind].dir)  # from now on it knows what time it is
    starts = [copy.deepcopy(cfg) for _ in range(8)]
    start = SweepCallback.on_run_start if kind == "run" else SweepCallback.on_multirun_start
    with initialize_config_dir(str(CONF), version_base="1.3"), ThreadPoolExecutor(len(starts)) as pool:
        list(pool.map(lambda config: start(SweepCallback(), config), starts))
    expected = {str(name), *(f"{name}-{number}" for number in range(2, 9))}
    assert {config.hydra[kind].dir for config in starts} == expected
    assert {str(name.parent / path.name) for path in name.parent.iterdir()} == expected
    # One that the user names is that one, or none at all: who holds it is asked elsewhere.
    named = compose(f"hydra.{kind}.dir={name}", hydra=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        start(SweepCallback(), named)
    assert named.hydra[kind].dir == str(name)


COMPOSING = """
import sys
import hydra
from sconv.runner.config import schema
schema.register()
with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
    for option in sys.argv[1:]:
        hydra.compose("config", [option])
heavy = {"keras", "tensorflow", "torch", "jax", "matplotlib", "pandas"} & set(sys.modules)
print(sorted(heavy))
"""


def test_composing_imports_no_framework(environment):
    options = [f"{group}={option}" for group, option in dict(OPTIONS).items()]  # one of each group
    ran = subprocess.run(
        [sys.executable, "-c", COMPOSING, *options], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
