"""What a `_target_` names: imported, and checked by its signature before it is called."""

from __future__ import annotations

import inspect
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sconv import checks

# Settings of any dataset, which its loader need not know.
PARTS = ("classes", "train_size", "validation")


def check_call(group: str, settings: DictConfig, given: dict[str, Any]) -> None:
    """Raise an error that shows the signature where `_target_` cannot be called with the settings and what is given."""
    arguments = [*given, *(str(name) for name in settings if not str(name).startswith("_"))]
    called = function(group, settings._target_)
    try:
        signature = inspect.signature(called)
    except ValueError:  # a built-in need not tell
        return
    try:
        signature.bind(**dict.fromkeys(arguments))
    except TypeError as error:
        told = ", ".join(arguments) or "no arguments"
        plain = ", ".join(signature.parameters)
        raise checks.SettingTypeError(
            f"{group}: {settings._target_}({plain}) is called with {told}: {error}"
        ) from error


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
        raise checks.SettingError(
            f"{group}._target_: got {target}, whose module fails: {type(error).__name__}: {error}{place(error)}"
        ) from error
    if not callable(found):
        raise checks.SettingTypeError(
            f"{group}._target_: got {target}, which is {checks.shown(found)}, expected a function"
        )
    return found


def place(error: BaseException) -> str:
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
