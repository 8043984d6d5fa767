"""The option files of dataset and augment: each composes, and says the defaults of its function."""

from __future__ import annotations

import inspect
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from sconv import checks
from sconv.datasets import tfds
from sconv.runner.config import data, schema, targets

OPTIONS = sorted(path for group in ("dataset", "augment") for path in (schema.CONF / group).glob("*.yaml"))


def composed(*overrides):
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_an_option_says_the_defaults_of_its_function(path):
    cfg = composed(f"{path.parent.name}={path.stem}")[path.parent.name]
    function = inspect.signature(get_object(cfg._target_))
    own = {name for name in cfg if not (name.startswith("_") or (name in targets.PARTS and cfg[name] is None))}
    assert own == set(function.parameters)
    if "defaults" in OmegaConf.load(path):  # an option on top of another one differs from it
        return
    for name, parameter in function.parameters.items():
        if parameter.default is inspect.Parameter.empty:
            assert OmegaConf.is_missing(cfg, name)
        else:
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert cfg[name] == default
            assert type(cfg[name]) is type(default) or isinstance(default, list)


@pytest.mark.parametrize(
    "path", [path for path in OPTIONS if path.parent.name == "dataset"], ids=lambda path: path.stem
)
def test_any_dataset_takes_the_parts(path):
    cfg = composed(
        f"dataset={path.stem}", "dataset.train_size=100", "dataset.validation=0.1", "dataset.classes=[cat,dog]"
    )
    assert (cfg.dataset.train_size, cfg.dataset.validation, cfg.dataset.classes) == (100, 0.1, ["cat", "dog"])


def test_the_size_that_is_told_is_the_size():
    for option in ("mnist_5k", "digits", "synthetic"):
        for parts in ([], ["dataset.train_size=200"], ["dataset.validation=0.25"], ["dataset.classes=['1','2']"]):
            settings = composed(f"dataset={option}", *parts).dataset
            assert data.training_size(settings) == len(data.load_dataset(settings).train)


def test_the_size_that_an_option_tells_is_not_loaded():
    told = ["dataset=npz", "+dataset._examples_=1000"]  # of no file
    assert data.training_size(composed(*told).dataset) == 1000
    assert data.training_size(composed(*told, "dataset.train_size=300").dataset) == 300


def test_a_size_told_wrong_is_noticed_where_it_is_loaded(caplog):
    data.load_dataset(composed("dataset=digits", "dataset._examples_=1").dataset)
    assert "dataset._examples_: got 1, but digits has 1438" in caplog.text


def test_without_tensorflow_datasets_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(checks.DataError, match=r"pip install 'sconv\[tfds\]'"):
        tfds.load("mnist")
