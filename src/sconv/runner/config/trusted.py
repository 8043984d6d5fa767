"""Which functions a configuration may name that was read back from a file.

On the command line a `_target_` is the user's own. In a run directory it may be somebody else's: it names one of
sconv's loaders, with settings of the loader's own names and types, or what the user allows; all is checked before
anything is called.
"""

from __future__ import annotations

import collections.abc
import fnmatch
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sconv import checks, schedules
from sconv.runner.config import targets

_SOURCES = (
    *("cifar10", "cifar100", "digits", "fashion_mnist", "image_csv", "image_folder", "mnist", "mnist_5k"),
    *("npz", "synthetic", "tfds"),
)
_ARCHITECTURES = (
    *("airbench", "cnn3", "convnet", "densenet", "lenet5", "lenet_caffe", "mlp"),
    *("resnet", "resnet9", "transfer", "wide_resnet"),
)
# Each by its whole name: a pattern would reach what stands beside it, and what that imports.
OWN = tuple(f"sconv.datasets.{source}.load" for source in _SOURCES)
MODELS = tuple(f"sconv.models.{architecture}.build" for architecture in _ARCHITECTURES)
SCHEDULES = tuple(f"sconv.schedules.{name}" for name in schedules.__all__ if name.islower())

_OF_ANY_DATASET: dict[str, Any] = {
    "classes": Sequence[str | int] | None,
    "train_size": int | None,
    "validation": float | None,
    "_target_": str,
    "_examples_": int | None,
}
# Where a cache is written is for the user to say, who runs the command.
_NOT_TAKEN = ("cache",)


def trusted(settings: Mapping[str, Any], allowed: Sequence[str] = ()) -> DictConfig:
    """The plain settings of a dataset, if all they name is a loader of sconv's or matches one of `allowed`.

    A name must match as it is written and as what it turns out to be, so that `my_package.np.load` is NumPy's. Patterns
    are those of a shell, such as my_package.*; a module is imported only if its name matches. Raises SettingError or
    SettingTypeError.
    """
    target = settings.get("_target_")
    check_targets({**settings, "_target_": target}, (*OWN, *allowed))
    if target in OWN:
        settings = {name: value for name, value in settings.items() if name not in _NOT_TAKEN}
        _check_types(str(target), settings)
    return OmegaConf.create(dict(settings))


def check_targets(plain: Any, patterns: Sequence[str]) -> None:
    """Raise SettingError for the first function named in plain settings that is none of the patterns'."""
    for target in _targets(plain):
        _check_target(target, patterns)


def foreign(plain: Any, patterns: Sequence[str]) -> list[str]:
    """The functions named in plain settings that are none of the patterns', by their names alone."""
    return sorted({target for target in _targets(plain) if isinstance(target, str) and not matches(target, patterns)})


def _targets(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "_target_":
                yield item
            yield from _targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _targets(item)


def _check_target(target: Any, patterns: Sequence[str]) -> None:
    if isinstance(target, str) and target in (*OWN, *MODELS, *SCHEDULES) and target in patterns:
        return
    known = isinstance(target, str) and re.fullmatch(r"[\w.]+", target) and matches(target, patterns)
    if known:
        found = get_object(target)
        identity = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
        # Of Keras classes, and networks: its functions make anything of what a configuration says.
        made = not identity.startswith("keras.") or isinstance(found, type) or ".applications." in identity
        known = callable(found) and made and matches(identity, patterns)
    if not known:
        raise checks.SettingError(
            f"_target_: the run's config names {checks.shown(target)}, expected one of sconv's own; "
            "if you trust it, allowed_targets=[my_package.*] allows more"
        )


def _check_types(target: str, settings: Mapping[str, Any]) -> None:
    """Raise an error about the first setting that the loader does not take, or that is of another type."""
    load = targets.function("dataset", target)
    own = typing.get_type_hints(load)
    for name, value in settings.items():
        if name not in inspect.signature(load).parameters and name not in _OF_ANY_DATASET:
            raise checks.SettingError(f"dataset.{name}: got {checks.shown(value)}, which {target} does not take")
        hints = [known[name] for known in (own, _OF_ANY_DATASET) if name in known]
        if not any(_fits(value, hint) for hint in hints):
            names = (str(hint) if typing.get_args(hint) else hint.__name__ for hint in hints)
            wanted = re.sub(r"\w+\.", "", " or ".join(names))
            raise checks.SettingTypeError(f"dataset.{name}: got {checks.shown(value)}, expected {wanted}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of the kind that an annotation names."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if typing.get_origin(hint) is collections.abc.Sequence:
        return isinstance(value, list) and all(_fits(each, parts[0]) for each in value)
    is_whole = type(value) is float and value.is_integer()
    return type(value) is hint or (hint is float and type(value) is int) or (hint is int and is_whole)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of those that a user allows, by patterns of a shell."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
