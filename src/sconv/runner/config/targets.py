"""What a `_target_` names: imported, checked by its signature, and called; what goes wrong is told of its setting."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
import textwrap
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from sconv import checks

# Settings of any dataset, which its loader need not know.
PARTS = ("classes", "train_size", "validation")
LONGEST = 300  # characters of what an error says that is not ours


def instantiate(group: str, settings: DictConfig, **given: Any) -> Any:
    """Call `_target_` with the settings and with what is given; return what it returns.

    Raises SettingError or SettingTypeError about a setting of the group, a UserError as the function raises it but by
    the setting's full name, and OmegaConf's error where a value is read from nowhere.
    """
    OmegaConf.to_container(settings, resolve=True)  # tells by its key what is read from nowhere; Hydra does not
    check_call(group, settings, given)
    try:
        return hydra.utils.instantiate(settings, **given, _convert_="all")
    except InstantiationException as error:
        ours = checks.user_error(error)
        if ours is not None:
            raise type(ours)(_placed(group, settings, str(ours))) from error
        known = parameters(group, settings._target_)
        hints = (checks.nearest(name, known) for name in _arguments(settings) if name not in known)
        raise checks.SettingError(f"{group}: {told(error.__cause__ or error)}{''.join(hints)}") from error


def _placed(group: str, settings: DictConfig, said: str) -> str:
    """What a function said of an argument, by the full name of the setting, or of the one that the setting reads."""
    name = re.split(r"\W", said, maxsplit=1)[0]
    if name not in settings:
        return said
    read = re.fullmatch(r"\$\{(\w[\w.]*)\}", str(OmegaConf.to_container(settings, resolve=False)[name]))  # type: ignore[index]
    return f"{read[1]}{said.removeprefix(name)}" if read else f"{group}.{said}"


def _arguments(settings: DictConfig) -> list[str]:
    return [str(name) for name in settings if not str(name).startswith("_")]


def check_call(group: str, settings: DictConfig, given: dict[str, Any]) -> None:
    """Raise SettingTypeError where `_target_` cannot be called with the settings and what is given."""
    target, called = settings._target_, function(group, settings._target_)
    try:
        signature = inspect.signature(called)
    except ValueError:  # a built-in need not tell
        return
    known, own = signature.parameters, _arguments(settings)
    _check_names(group, settings, known.values())
    bind = signature.bind_partial if "_partial_" in settings else signature.bind
    passed = dict.fromkeys([*given, *own])
    try:
        bind(*(settings._args_ if "_args_" in settings else ()), **passed)
    except TypeError as error:
        needed = (name for name, parameter in known.items() if parameter.default is parameter.empty)
        missing = next((name for name in needed if name not in passed), None)
        where = f"{group}.{missing}" if missing and {*given} <= {*known} else group
        names = f"{', '.join(known)}) is called with {', '.join(passed) or 'no arguments'}"
        raise checks.SettingTypeError(f"{where}: {target}({names}: {error}") from error


def carry_out(task: DictConfig, job: Any) -> None:
    """Call a task's function with the job and the task's settings. Raises SettingTypeError for one it does not take."""
    called = function("task", task._target_)
    try:
        signature = inspect.signature(called)
    except ValueError:  # a built-in need not tell
        return called(job)
    _check_names("task", task, [*signature.parameters.values()][1:])
    called(job, **{name: task[name] for name in _arguments(task)})


def _check_names(group: str, settings: DictConfig, parameters: Iterable[inspect.Parameter]) -> None:
    """Raise SettingTypeError for a setting that is none of the parameters."""
    known = {parameter.name: parameter.kind for parameter in parameters}
    for name in _arguments(settings):
        if name not in known and inspect.Parameter.VAR_KEYWORD not in known.values():
            got = f"got {checks.shown(settings[name])}, which {settings._target_} does not take"
            expected = f"expected one of {', '.join(known) or 'nothing'}{checks.nearest(name, known)}"
            raise checks.SettingTypeError(f"{group}.{name}: {got}, {expected}")


def parameters(group: str, target: str) -> set[str]:
    """The names of the parameters of what `target` names. Raises SettingError where it cannot be imported."""
    called = function(group, target)
    try:
        return set(inspect.signature(called).parameters)
    except ValueError:
        return set()


def function(group: str, target: str) -> Any:
    """What `target` names, imported. Raises SettingError or SettingTypeError."""
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise checks.SettingError(
            f"{group}._target_: got {target}, expected a function that can be imported: {error}"
        ) from error
    except Exception as error:  # the module is the user's
        raise checks.SettingError(f"{group}._target_: got {target}, whose module fails: {told(error)}") from error
    if not callable(found):
        raise checks.SettingTypeError(
            f"{group}._target_: got {target}, which is {checks.shown(found)}, expected a function"
        )
    return found


def told(error: BaseException) -> str:
    """An error that is not ours: its kind, its first line, and where in a user's own code it was raised."""
    return f"{type(error).__name__}: {first_line(error)}{_place(error)}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, and not too much of it."""
    return textwrap.shorten(str(error).strip().partition("\n")[0], LONGEST)


def _place(error: BaseException) -> str:
    """Where an error was raised in a user's own code, as " (net.py, line 3)"; nothing for any other error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith((str(Path(__file__).parents[2]), "<", sys.base_prefix))
    ]
    if isinstance(error, SyntaxError) or not own:
        return ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})"
