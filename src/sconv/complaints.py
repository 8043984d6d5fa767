"""What the command line says when something goes wrong: one line, and an exit code."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from sconv import checks

FAILED, USER_ERROR, DIVERGED, INTERRUPTED = 1, 2, 3, 130

_MENDABLE = (checks.UserError, HydraException, OmegaConfBaseException, OSError)


def exit_code(error: BaseException) -> int:
    """2 for what the user can mend, 3 for a run that diverged, 1 for anything else."""
    if getattr(error, "status", None) == "diverged":
        return DIVERGED
    return USER_ERROR if any(isinstance(cause, _MENDABLE) for cause in _causes(error)) else FAILED


def line(error: BaseException) -> str:
    """The error in one line: the setting, what was received, what is allowed, as far as it is known."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, checks.UserError):
            return _flat(str(cause))
        if isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
            return _unknown_key(cause)
        if isinstance(cause, ValidationError):
            return _wrong_type(cause)
        if isinstance(cause, MissingConfigException) and cause.options is not None:
            return _unknown_option(cause)
    if isinstance(error, InstantiationException):
        return _not_instantiated(error)
    if isinstance(error, (HydraException, OmegaConfBaseException, OSError)) or hasattr(error, "status"):
        return _flat(str(error))
    return f"{type(error).__name__}: {_flat(str(error))}"


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    full = str(error.full_key or error.key)
    prefix, _, key = full.rpartition(".")
    parent = error.parent_node
    names = [str(name) for name in parent] if isinstance(parent, DictConfig) else []
    dot = f"{prefix}." if prefix else ""
    hint = nearest(key, names).replace("mean ", f"mean {dot}")
    known = [name for name in names if not name.startswith("_") and name != "hydra"]
    listed = f", expected one of {', '.join(known)}" if known and not hint else ""
    return f"{full}: there is no such setting{hint}{listed}"


def _wrong_type(error: ValidationError) -> str:
    expected = {"Integer": "a whole number", "Float": "a number", "String": "a text"}
    found = re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", str(error))
    if found is None:
        return _flat(str(error))
    value, kind = found.groups()
    return f"{error.full_key}: got {value!r}, expected {expected.get(kind, kind)}"


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or ())
    return f"{group}: got {option!r}, expected one of {', '.join(options)}{nearest(option, options)}"


def _not_instantiated(error: InstantiationException) -> str:
    key = _flat(str(error)).rpartition("full_key: ")[2] if "full_key: " in str(error) else ""
    where = f"{key}: " if key else ""
    cause = error.__cause__
    if cause is not None:
        argument = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
        target = re.search(r"target '([^']+)'", str(error))
        if argument and target:
            return f"{where.removesuffix(': ')}.{argument[1]}: {target[1]} takes no such argument"
        return f"{where}{type(cause).__name__}: {_flat(str(cause))}"
    return where + _flat(str(error))


def _flat(text: str) -> str:
    return " ".join(text.split())
