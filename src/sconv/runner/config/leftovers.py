"""What a replaced option leaves behind: nothing that the user did not give.

`model._target_=my_package.net.build` takes the function of the option `model=lenet5` away, but Hydra, which merges key
by key, leaves the option's settings there for the new function. Here the files are merged again, with one more rule:
another `_target_` takes the place of all that stood below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import Container, DictConfig, OmegaConf, open_dict

from sconv import checks
from sconv.runner.config import schema

Settings = dict[str, Any]
Path = tuple[str, ...]  # of keys
# How Hydra calls a function, whichever it is.
_CALL = ("_partial_", "_convert_", "_recursive_")
# The knobs that an option hands on, by the group that is to read them.
_KNOBS = {"lr_max": "schedule", "weight_decay": "optimizer"}


def drop(cfg: DictConfig, hydra: HydraConf) -> None:
    """Take out of a job's configuration what replaced functions left there.

    What stands beside the new `_target_` stays, be it in a file or on the command line; so does what a file gives that
    chooses no function: the settings of any dataset, and a user's own experiment.
    """
    below: Settings = {}
    lasting: Settings = {}
    replaced: list[Path] = []
    for settings, lasts in _layers(cfg, hydra):
        below = _laid(below, settings, lasting, replaced)
        if lasts:
            lasting = _laid(lasting, _without_functions(settings), {}, [])
    if not replaced:
        return
    with open_dict(cfg):
        _reduce(cfg, below, {*replaced})


def check_knobs(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a knob of the command line that its group does not read. Raises SettingError."""
    given = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    for knob, group in _KNOBS.items():
        if knob in given and f"${{{knob}}}" not in OmegaConf.to_yaml(cfg[group]):
            raise checks.SettingError(
                f"{knob}: got {given[knob]}, which {cfg[group]._target_} is not given, "
                f"expected '+{group}.{knob}=${{{knob}}}' beside it, or whatever it calls {knob}"
            )


def _layers(cfg: DictConfig, hydra: HydraConf) -> Iterator[tuple[Settings, bool]]:
    """What each file gives, from the lowest up to the command line, and whether it outlasts the functions below it."""
    loader = GlobalHydra.instance().config_loader()
    # As it was written: read one by one, its interpolations would be resolved.
    command: Any = OmegaConf.to_container(hydra.overrides, resolve=False)
    composed = loader.compute_defaults_list(hydra.job.config_name, command["hydra"] + command["task"], RunMode.RUN)
    kinds = {source.scheme(): type(source) for source in loader.get_sources()}
    sources = [kinds[one.schema](one.provider, f"{one.schema}://{one.path}") for one in hydra.runtime.config_sources]
    for default in composed.defaults:
        path = default.config_path
        if path is None or path.startswith("hydra/"):
            continue
        source = next(source for source in sources if source.is_config(path))
        is_option, is_ours = path.partition("/")[0] in cfg, source.path == str(schema.CONF)
        yield _settings(source.load_config(path).config, default.package), not (is_option or is_ours)
    given = OmegaConf.create()
    for override in composed.config_overrides:
        if not override.is_delete():  # of which nothing is left in cfg
            OmegaConf.update(given, override.key_or_group, override.value(), force_add=True)
    yield _settings(given), False


def _settings(content: Container, package: str | None = None) -> Settings:
    """Plain settings, by where they go in the whole configuration."""
    whole = OmegaConf.create()
    if package:
        OmegaConf.update(whole, package, content)
    plain = OmegaConf.to_container(whole if package else content, resolve=False)
    return cast(Settings, plain)


def _laid(below: Settings, above: Settings, lasting: Settings, replaced: list[Path], at: Path = ()) -> Settings:
    """`above` over `below`, where another `_target_` takes the place of all but what is `lasting`; notes where."""
    if "_target_" in below and above.get("_target_", below["_target_"]) != below["_target_"]:
        replaced.append(at)
        below = {**lasting, **{key: below[key] for key in _CALL if key in below}}
    laid = dict(below)
    for key, value in above.items():
        if isinstance(value, dict):
            value = _laid(_part(below, key), value, _part(lasting, key), replaced, (*at, key))
        laid[key] = value
    return laid


def _part(settings: Settings, key: str) -> Settings:
    return settings[key] if isinstance(settings.get(key), dict) else {}


def _without_functions(settings: Settings) -> Settings:
    kept = {key: value for key, value in settings.items() if not (isinstance(value, dict) and "_target_" in value)}
    return {key: _without_functions(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _reduce(node: DictConfig, kept: Settings, replaced: set[Path], at: Path = ()) -> None:
    """Leave what is kept at and below the places where a function was replaced."""
    touched = any(at[: len(path)] == path for path in replaced)
    for key, value in _settings(node).items():
        if touched and key not in kept:
            del node[key]
        elif isinstance(value, dict):
            _reduce(node[key], _part(kept, key), replaced, (*at, key))
        elif touched and not isinstance(kept[key], dict):  # an element of a list has the list's place, as Hydra left it
            node[key] = kept[key]
