"""The dataset that a configuration names: loaded, checked, and cut to the part asked for."""

from __future__ import annotations

import functools
import logging
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.datasets import Dataset
from sconv.datasets.building.check import check_dataset
from sconv.datasets.building.subset import note_imbalance, select
from sconv.runner.config import targets

log = logging.getLogger(__name__)


def load_dataset(settings: DictConfig, keep: bool = False) -> Dataset:
    """Call `_target_` with the other settings, check what it returns, and select the part asked for.

    `classes`, `train_size` and `validation` hold for any dataset; a loader that has a parameter of that name and can
    make a given number itself gets the number. An option may tell by `_examples_` how many there are to train on, of
    all of them. `keep` keeps what was loaded for the next call in this process. Raises SettingError, SettingTypeError,
    or what the loader raises.
    """
    if missing := [str(name) for name in settings if OmegaConf.is_missing(settings, name)]:
        raise checks.SettingError(f"dataset.{missing[0]}: got nothing, expected dataset.{missing[0]}=...")
    values = OmegaConf.to_container(settings, resolve=True)
    assert isinstance(values, dict)
    told = values.pop("_examples_", None)
    part: dict[str, Any] = {name: values[name] for name in targets.PARTS if name in values}
    own = targets.parameters("dataset", settings._target_)
    theirs = [name for name, value in part.items() if type(value) is int and name in own]
    kept = {name: value for name, value in values.items() if name not in targets.PARTS or name in theirs}
    left = {name: value for name, value in part.items() if name not in theirs}
    loaded = (_kept if keep else _load)(OmegaConf.to_yaml(kept))
    if told not in (None, len(loaded.train)):
        log.warning("dataset._examples_: got %s, but %s has %s", told, loaded.name, len(loaded.train))
    try:
        dataset = select(loaded, **left)
    except checks.UserError as error:
        raise type(error)(f"dataset.{error}") from error
    note_imbalance(dataset)
    return dataset


def _load(settings: str) -> Dataset:
    """What the loader returns for settings in YAML."""
    kept = OmegaConf.create(settings)
    assert isinstance(kept, DictConfig)
    dataset = targets.instantiate("dataset", kept)
    check_dataset(dataset, kept._target_)
    return dataset


# The jobs of a sweep load their data once.
_kept = functools.lru_cache(maxsize=2)(_load)


def training_size(settings: DictConfig) -> int:
    """How many training examples `load_dataset` would leave; not loaded where `_examples_` tells all of them.

    Raises what `load_dataset` raises.
    """
    there, wanted = OmegaConf.select(settings, "_examples_"), settings.train_size
    if wanted is not None and "train_size" in targets.parameters("dataset", settings._target_):
        there = wanted
    elif wanted is not None and there is not None:
        there = min(there, checks.integer("dataset.train_size", wanted))
    if there is None or settings.classes is not None or settings.validation is not None:
        return len(load_dataset(settings).train)
    return int(there)
