"""What a run's record may name: sconv's loaders with their own settings, what the user allows, and nothing else."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import numpy as np
import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sconv import checks, datasets, models
from sconv.runner import resuming
from sconv.runner.config import schema, trusted
from sconv.runner.config.data import load_dataset
from sconv.runner.config.trusted import check_targets

OURS = "sconv.datasets.synthetic.load"
SMALL = {"_target_": OURS, "shape": [4, 4, 1], "classes": 3, "train_size": 30, "test_size": 6}


def test_sconvs_own_data_is_trusted():
    assert len(load_dataset(trusted.trusted(SMALL)).train) == 30


def options(group):
    return [OmegaConf.load(path) for path in sorted((schema.CONF / group).rglob("*.yaml"))]


@pytest.mark.parametrize("group", ["dataset", "model", "schedule"])
def test_every_option_of_ours_names_a_trusted_function(group):
    named = {str(option._target_) for option in options(group) if "_target_" in option}
    ours = {"dataset": trusted.OWN, "model": trusted.MODELS, "schedule": trusted.SCHEDULES}[group]
    assert named <= {*ours}
    assert len(named) > 5


def test_no_loader_and_no_architecture_is_forgotten():
    for package, known in ((datasets, trusted.OWN), (models, trusted.MODELS)):
        files = {module.name for module in pkgutil.iter_modules([str(Path(package.__file__).parent)])}
        assert {name.split(".")[2] for name in known} == files - {"blocks", "building", "dataset", "pipeline"}


def test_settings_as_the_options_have_them_are_of_the_loaders_types():
    for option in (option for option in options("dataset") if "_target_" in option):
        plain = OmegaConf.to_container(option)
        plain = {key: "x" if value == "???" else value for key, value in plain.items() if key != "defaults"}
        assert trusted.trusted(plain)._target_ == option._target_


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "logging.os.system",
        "sconv.runs.git_commit",
        "sconv.runner.tasks.train.train",
        "sconv.models.mlp.build",
        "keras.saving.load_model",
        "keras.utils.get_file",
        "hydra.utils.get_method",
        "hydra._internal.instantiate._instantiate2.instantiate",
        "functools.partial",
        "sconv.datasets.synthetic.np.load",  # ours as it is written, NumPy's in truth
        "sconv.datasets.building.image_decoding.os.remove",
        "sconv.datasets.building.image_decoding.fill",  # ours, and writes into a file
        "sconv.datasets.building.image_cache.shutil.rmtree",
        "sconv.datasets.decoding.fill",
        "sconv.datasets.Dataset",
        "sconv.datasets.synthetic.checks.number",
        "sconv.datasets.../../x",
        "sconv.datasets.synthetic.load; import os",
        "sconv.datasets.*",
        "sconv.datasets",
        "my_package.data.load",
        [OURS],
        None,
        3,
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["top", "nested", "listed"])
def test_anything_else_is_refused_before_it_is_called(target, place):
    bad = {"_target_": target}
    settings = {
        "top": bad,
        "nested": {"_target_": OURS, "noise": bad},
        "listed": {"_target_": OURS, "shape": [28, {"deep": bad}]},
    }[place]
    with pytest.raises(checks.SettingError, match=r"^_target_: the run's config names ") as caught:
        trusted.trusted(settings)
    assert "\n" not in str(caught.value)


# Hydra's advisories by their numbers, each with what it let a configuration call.
ADVISORIES = {
    "CVE-2026-68508": ["os.system", "subprocess.run", "shutil.rmtree", "builtins.exec"],
    "GHSA-37p2-j732-x8pj": ["logging.os.system", "builtins.map", "functools.reduce", "operator.attrgetter"],
    "CVE-2026-106441": ["logging.config.dictConfig", "logging.config.fileConfig", "functools.lru_cache"],
    "CVE-2026-106439": ["hydra._internal.target_policy.DENIED.discard", "hydra._internal.instantiate._instantiate2"],
    "1.3.8": ["yaml.unsafe_load", "yaml.load", "pickle.load", "unittest.mock.Mock"],
    "still open": ["builtins.open", "hydra.utils.get_method", "hydra.utils.get_class", "random.seed"],
}


@pytest.mark.parametrize("number", ADVISORIES)
def test_what_hydras_advisories_are_about_is_refused_before_hydra_sees_it(number):
    for target in ADVISORIES[number]:
        for settings in ({"_target_": target}, {**SMALL, "seed": {"_target_": target}}):
            with pytest.raises(checks.SettingError, match=r"^_target_: the run's config names "):
                trusted.trusted(settings)


def test_the_hydra_installed_has_them_mended():
    for target in ("os.system", "logging.os.system", "logging.config.dictConfig", "yaml.unsafe_load"):
        with pytest.raises(InstantiationException):
            instantiate({"_target_": target, "_args_": ["true"]})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"noise": "0.5"}, "dataset.noise: got '0.5', expected float"),
        ({"noise": {"_target_": OURS}}, "dataset.noise: got"),
        ({"noise": True}, "dataset.noise: got True, expected float"),
        ({"shape": 28}, "dataset.shape: got 28, expected Sequence[int]"),
        ({"shape": ["28"]}, "dataset.shape: got ['28']"),
        ({"test_size": [6]}, "dataset.test_size: got [6], expected int"),
        ({"_args_": [[4, 4, 1]]}, "dataset._args_: got [[4, 4, 1]], which"),
        ({"_partial_": True}, "dataset._partial_: got True, which"),
        ({"_convert_": "none"}, "dataset._convert_: got 'none', which"),
        ({"out": "victim.npy"}, "dataset.out: got 'victim.npy', which"),
        ({"classes": {"a": 1}}, "dataset.classes: got"),
        ({"validation": [0.5]}, "dataset.validation: got [0.5]"),
    ],
)
def test_settings_that_no_loader_of_ours_takes_are_refused(settings, said):
    with pytest.raises(checks.UserError) as caught:
        trusted.trusted({**SMALL, **settings})
    assert str(caught.value).startswith(said)


def test_where_a_cache_is_written_is_not_taken_from_a_record():
    settings = {"_target_": "sconv.datasets.image_folder.load", "path": "photos", "cache": "/somewhere"}
    assert "cache" not in trusted.trusted(settings)


def test_a_module_that_is_not_allowed_is_not_even_imported(tmp_path, monkeypatch):
    marks = f"import pathlib\npathlib.Path({str(tmp_path / 'imported')!r}).touch()\ndef load(): ...\n"
    (tmp_path / "sconv_test_evil.py").write_text(marks)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"_target_": "sconv_test_evil.load"}
    with pytest.raises(checks.SettingError):
        trusted.trusted(settings, ["sconv_test_good.*"])
    assert not (tmp_path / "imported").exists()
    assert trusted.trusted(settings, ["sconv_test_evil.*"]) == settings
    assert (tmp_path / "imported").exists()


def test_what_the_user_allows_is_trusted():
    settings = {"_target_": "numpy.zeros", "shape": 3}
    with pytest.raises(checks.SettingError, match=r"allowed_targets=\[my_package"):
        trusted.trusted(settings)
    assert np.array_equal(instantiate(trusted.trusted(settings, ["numpy.*", "builtins.*"])), np.zeros(3))


def test_a_name_of_ours_is_trusted_where_it_is_asked_for():
    check_targets({"model": {"_target_": "sconv.models.mlp.build"}}, trusted.MODELS)
    with pytest.raises(checks.SettingError):
        check_targets({"model": {"_target_": "sconv.models.mlp.build"}}, trusted.OWN)


@pytest.mark.parametrize("option", ["model=mobilenet_v2", "optimizer=lamb", "augment=standard_cutout", "device=cpu"])
def test_what_an_option_names_may_be_resumed(compose, option):
    check_targets(OmegaConf.to_container(compose(option), resolve=True), resuming.ALLOWED)


def test_the_command_to_go_on_allows_what_is_the_users_own(compose, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = compose("model._target_=net.build", "dataset=synthetic")
    assert resuming.command(tmp_path / "a b", own) == ("python -m sconv 'resume=\"a b\"' 'allowed_targets=[net.build]'")
    assert resuming.command(tmp_path / "run", compose()) == "python -m sconv resume=run"


@pytest.mark.parametrize(
    "target",
    [
        "keras.losses.deserialize",
        "keras.optimizers.get",
        "keras.utils.get_file",
        "keras.saving.load_model",
        "sconv.models.lenet5.keras.utils.get_file",
        "sconv.runner.tasks.evaluate.evaluate",
        "os.system",
    ],
)
def test_what_makes_anything_of_its_arguments_may_not(target):
    with pytest.raises(checks.SettingError, match=rf"^_target_: the run's config names '{target}'"):
        check_targets({"model": {"layers": [{"_target_": target}]}}, resuming.ALLOWED)
