"""What the command line says when something goes wrong: one line, and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import errors as omega

from sconv import checks
from sconv.runner.config import schema, targets
from sconv.runs import ExitCode

_MENDABLE = (checks.UserError, HydraException, omega.OmegaConfBaseException, OSError)
_UNWRITABLE = (*(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR), *(errno.ENOSPC, errno.EFBIG, errno.EDQUOT))
# What errors say that TensorFlow raises where another worker does not answer.
_OF_WORKERS = (
    "Collective ops is aborted",
    "CollectiveReduce",
    "CollectiveGather",
    "coordination service",
    "Collective has timed out",
)
_RENAMED = {"target_whitelist": "allowed_targets"}
_EXTRAS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}
_KINDS: dict[Any, str] = {int: "a whole number", bool: "true or false", dict[str, Any]: "settings with a _target_"}
_KINDS |= {str: "a text", str | None: "a text or null", float | None: "a number or null"}


class Stop(SystemExit):
    """Ends the command with an error that is yet to be told: of any other Hydra has words of its own."""

    def __init__(self, error: Exception):
        super().__init__(int(exit_code(error)))
        self.error = error


def exit_code(error: BaseException) -> ExitCode:
    """2 for what the user can mend, 3 for a run that diverged, 1 for anything else."""
    if getattr(error, "status", None) == "diverged":
        return ExitCode.DIVERGED
    mendable = any(isinstance(cause, _MENDABLE) or _unwritable(cause) or _no_memory(cause) for cause in _causes(error))
    return ExitCode.USER_ERROR if mendable else ExitCode.FAILED


def tell(error: BaseException) -> None:
    """Print the error's line to stderr."""
    print(f"sconv: {checks.printable(line(error))}", file=sys.stderr)


def line(error: BaseException) -> str:
    """The error in one line: ours as it is, another library's by the facts that it carries, else by its first line."""
    for words in (_BY_THEIR_FACTS, _AS_THEY_ARE):
        said = (tells(cause) for cause in _causes(error) for kind, tells in words if isinstance(cause, kind))
        if first := next(filter(None, said), ""):
            return " ".join(first.split())
    return str(error) if hasattr(error, "status") else targets.told(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unknown_setting(error: omega.ConfigKeyError | omega.ConfigAttributeError) -> str:
    full = str(error.full_key or error.key)
    if full in _RENAMED:
        return f"{full}: there is no such setting; it is called {_RENAMED[full]} now"
    _, dot, key = full.rpartition(".")
    names = [str(name) for name in error.parent_node or () if name != "hydra"]
    listed = f", expected one of {', '.join(names)}" + (f"; +{full}=... adds it" if dot else "")
    return f"{full}: there is no such setting{checks.nearest(key, names) or listed}"


def _wrong_type(error: omega.ValidationError) -> str:
    kinds = typing.get_type_hints(error.object_type) if isinstance(error.object_type, type) else {}
    expected = _KINDS.get(kinds.get(str(error.key), Any))
    return f"{error.full_key}: got {checks.shown(error.value)}, expected {expected}" if expected else ""


def _unknown_option(error: MissingConfigException) -> str:
    file = str(error.missing_cfg_file)
    group, _, option = file.rpartition("/") if file.startswith("hydra/") else file.partition("/")
    if group == "hydra/launcher" and option in _EXTRAS:
        return f"{group}: got {option!r}, which comes with pip install 'sconv[{_EXTRAS[option]}]'"
    nested = [f"{path.parent.name}/{path.stem}" for path in (schema.CONF / group).glob("*/*.yaml")]
    shown = sorted({*(error.options or ()), *(f"{name.partition('/')[0]}/..." for name in nested)})
    hint = checks.nearest(option, [*(error.options or ()), *nested])
    return f"{group}: got {option!r}, expected one of {', '.join(shown)}{hint}" if error.options is not None else ""


def _unwritable(error: BaseException) -> str:
    """What is said of a folder that cannot be written to, known by the system's words: not all keep its number."""
    said = next((words for words in map(os.strerror, _UNWRITABLE) if words in str(error)), "")
    where = getattr(error, "filename", None) or "the run"
    return f"hydra.run.dir: cannot write {where}: {said}, expected a folder of your own with room" if said else ""


def _no_memory(error: BaseException) -> str:
    """What is said where memory is gone, of TensorFlow's known by its words: it need not be here yet."""
    if not isinstance(error, MemoryError) and "OOM when allocating" not in str(error):
        return ""
    return f"batch_size: no memory left ({targets.told(error)}), expected a smaller one, or a smaller model"


def _worker_gone(error: BaseException) -> str:
    """What is said where another worker is gone, or stands still, known by TensorFlow's words: it need not be here."""
    words = str(error)
    if not any(known in words for known in _OF_WORKERS):
        return ""
    named = re.search(r"/job:worker/(?:replica:\d+/)?task:(\d+)", words)
    which = f"worker {named[1]}" if named else "a worker"
    return f"device: {which} is gone or stands still, expected all until the end; resume=... on each goes on"


def _of_argument(error: HydraException) -> str:
    """The first line, after the argument it is about: Hydra hands on no name, but quotes the argument."""
    for argument in sys.argv[1:]:
        name, given, value = argument.lstrip("+~").partition("=")
        if given and argument in str(error) and OverridesParser.create().parse_override(argument).is_sweep_override():
            return f"{name}: got {value}, expected one value; -m tries each of several"
        if argument in str(error) or f"'{name}'" in str(error):
            return f"{name}: {targets.first_line(error)}"
    return targets.first_line(error)


# What is said of an error, or of what caused it: the first that has words for it.
_BY_THEIR_FACTS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (checks.UserError, str),
    ((omega.ConfigKeyError, omega.ConfigAttributeError), _unknown_setting),
    (omega.ValidationError, _wrong_type),
    (omega.MissingMandatoryValue, lambda error: f"{error.full_key}: got nothing, expected {error.full_key}=..."),
    (MissingConfigException, _unknown_option),
    (OverrideParseException, lambda error: f"{error.override}: expected name=value, with special characters in quotes"),
    (Exception, _unwritable),
    (Exception, _no_memory),
    (Exception, _worker_gone),
)
_AS_THEY_ARE: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (omega.OmegaConfBaseException, lambda error: error.full_key and f"{error.full_key}: {targets.first_line(error)}"),
    (HydraException, _of_argument),
    (OSError, lambda error: error.filename and f"{error.filename}: {error.strerror}"),
)
