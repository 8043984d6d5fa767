"""What a run's own config may name: sconv's data, what the user allows, and nothing by another road."""

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sconv import checks
from sconv.datasets import Dataset
from sconv.runner import resuming
from sconv.runner.config import schema
from sconv.runner.config.trusted import check_targets, trusted


def test_sconvs_own_data_is_trusted_and_resolved():
    node = OmegaConf.create(
        {"size": 30, "data": {"_target_": "sconv.datasets.synthetic.load", "train_size": "${size}"}}
    )
    dataset = instantiate(trusted(node).data, _convert_="all")
    assert isinstance(dataset, Dataset)
    assert len(dataset.train) == 30


@pytest.mark.parametrize("option", sorted(path.stem for path in (schema.CONF / "dataset").glob("*.yaml")))
def test_every_dataset_of_ours_names_trusted_functions(option):
    node = OmegaConf.load(schema.CONF / "dataset" / f"{option}.yaml")
    assert trusted(node) == node


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "sconv.runs.git_commit",
        "sconv.runner.tasks.train.train",
        "keras.saving.load_model",
        "sconv.datasets.synthetic.np.load",  # ours as it is written, NumPy's in truth
        "sconv.datasets.building.image_decoding.os.remove",
        "sconv.datasets.synthetic.checks.number",
        "sconv.datasets.building.keras_downloads.os.environ.get",
        "sconv.datasets.../../x",
        "sconv.datasets.synthetic.load; import os",
        "sconv.datasets",
        "my_package.data.load",
        ["sconv.datasets.synthetic.load"],
        None,
        3,
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["top", "nested", "listed"])
def test_anything_else_is_refused_before_it_is_called(target, place):
    bad = {"_target_": target}
    good = "sconv.datasets.synthetic.load"
    node = {
        "top": bad,
        "nested": {"_target_": good, "noise": bad},
        "listed": {"_target_": good, "shape": [28, {"deep": bad}]},
    }[place]
    with pytest.raises(checks.SettingError, match=r"^_target_: the run's config names ") as caught:
        trusted(OmegaConf.create(node))
    assert "\n" not in str(caught.value)


def test_a_name_hidden_in_an_interpolation_is_seen(monkeypatch):
    monkeypatch.setenv("SCONV_TEST_TARGET", "os.system")
    for hidden in ("${oc.env:SCONV_TEST_TARGET}", r"\${oc.env:SCONV_TEST_TARGET}", "${name}"):
        node = OmegaConf.create({"name": "os.system", "_target_": hidden})
        with pytest.raises(checks.SettingError, match="_target_"):
            trusted(node)


def test_a_module_that_is_not_allowed_is_not_even_imported(tmp_path, monkeypatch):
    marks = f"import pathlib\npathlib.Path({str(tmp_path / 'imported')!r}).touch()\ndef load(): ...\n"
    (tmp_path / "sconv_test_evil.py").write_text(marks)
    monkeypatch.syspath_prepend(tmp_path)
    node = OmegaConf.create({"_target_": "sconv_test_evil.load"})
    with pytest.raises(checks.SettingError):
        trusted(node, ["sconv_test_good.*"])
    assert not (tmp_path / "imported").exists()
    assert trusted(node, ["sconv_test_evil.*"]) == node
    assert (tmp_path / "imported").exists()


def test_what_the_user_allows_is_trusted():
    node = OmegaConf.create({"_target_": "numpy.zeros", "shape": 3})
    with pytest.raises(checks.SettingError):
        trusted(node)
    assert np.array_equal(instantiate(trusted(node, ["numpy.*", "builtins.*"])), np.zeros(3))


@pytest.mark.parametrize("option", ["model=mobilenet_v2", "optimizer=lamb", "augment=standard_cutout", "device=cpu"])
def test_what_an_option_names_may_be_resumed(compose, option):
    check_targets(OmegaConf.to_container(compose(option), resolve=True), resuming.ALLOWED)


def test_the_command_to_go_on_allows_what_is_the_users_own(compose, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = compose("model._target_=net.build", "dataset=synthetic")
    assert resuming.command(tmp_path / "a b", own) == (
        "python -m sconv 'resume=\"a b\"' 'target_whitelist=[net.build]'"
    )
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
