"""What the command line says when something goes wrong: one line, and an exit code."""

from __future__ import annotations

import errno
import re
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from sconv import checks
from sconv.runner.config import schema, targets
from sconv.runs import ExitCode

FAILED, USER_ERROR, DIVERGED, INTERRUPTED = (
    ExitCode.FAILED,
    ExitCode.USER_ERROR,
    ExitCode.DIVERGED,
    ExitCode.INTERRUPTED,
)

Settings = Mapping[str, Any]

_MENDABLE = (checks.UserError, HydraException, OmegaConfBaseException, OSError)
_EXTRAS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}
_LONGEST = 300  # characters of what an error says that is not ours
# A folder for runs that cannot be written to, or no longer; TensorFlow says so in words.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOTDIR)
_FULL = ("No space left on device", "File too large", "Disk quota exceeded")


def exit_code(error: BaseException) -> int:
    """2 for what the user can mend, 3 for a run that diverged, 1 for anything else."""
    if getattr(error, "status", None) == "diverged":
        return DIVERGED
    mendable = any(isinstance(cause, _MENDABLE) or _unwritable(cause) for cause in _causes(error))
    return USER_ERROR if mendable else FAILED


def line(error: BaseException, settings: Settings | None = None) -> str:
    """The error in one line: the setting, what was received, what is allowed, as far as it is known.

    `settings` are those of the job, not resolved: they tell which setting an argument was.
    """
    for cause in _causes(error):
        for kind, words in _WORDS:
            if isinstance(cause, kind) and (said := words(cause)):
                return _flat(said if kind is not checks.UserError else _placed(said, error, settings or {}))
    if isinstance(error, InstantiationException):
        return _flat(_not_instantiated(error, settings or {}))
    if isinstance(error, OmegaConfBaseException) and (key := error.full_key or _reading(error, settings or {})):
        return _flat(f"{key}: {str(error).splitlines()[0]}")
    if isinstance(error, (HydraException, OmegaConfBaseException, OSError)) or hasattr(error, "status"):
        return _flat(str(error))
    return f"{type(error).__name__}: {textwrap.shorten(str(error), _LONGEST)}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _placed(said: str, error: BaseException, settings: Settings) -> str:
    """What a callable said of its argument, with the argument's place in the configuration before it.

    An argument that reads a knob at the top, such as ${lr_max}, is known by the knob's name.
    """
    full = next((found for cause in _causes(error) if (found := _called(cause, settings))), "")
    name = re.split(r"[\[:]", said, maxsplit=1)[0]
    given = settings.get(full, {})
    return f"{full}.{said}" if name in given and given[name] != f"${{{name}}}" else said


def _reading(error: OmegaConfBaseException, settings: Settings) -> str:
    """The setting that reads one that is not there, where OmegaConf does not tell it."""
    unknown = re.search(r"Interpolation key '(.*)' not found", str(error))
    reads = (name for name, value in settings.items() if unknown and f"${{{unknown[1]}}}" in str(value))
    return next(reads, "")


def _called(error: BaseException, settings: Settings) -> str:
    """The setting whose callable was being called: Hydra tells it, or at least the callable."""
    if not isinstance(error, InstantiationException):
        return ""
    if told := re.search(r"full_key: (\S+)", str(error)):
        return told[1]
    target = _target(error)
    calls = {name: part["_target_"] for name, part in settings.items() if isinstance(part, dict) and "_target_" in part}
    return next((name for name, called in calls.items() if called == target), "")


def _target(error: InstantiationException) -> str:
    found = re.search(r"target '([^']+)'", str(error))
    return found[1] if found else "its target"


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    full = str(error.full_key or error.key)
    prefix, _, key = full.rpartition(".")
    if prefix == "hydra.runtime.choices":
        return f"{key}: got nothing, expected one of its options"
    parent = error.parent_node
    names = [str(name) for name in parent] if isinstance(parent, DictConfig) else []
    dot = f"{prefix}." if prefix else ""
    hint = checks.nearest(key, names).replace("mean ", f"mean {dot}")
    known = [name for name in names if not name.startswith("_") and name != "hydra"]
    listed = f", expected one of {', '.join(known)}" if known and not hint else ""
    own = parent.get("_target_") if isinstance(parent, DictConfig) else None
    if own and not str(own).startswith(("sconv.", "keras.")):
        listed += f"; +{full}=... hands it to {own}"
    return f"{full}: there is no such setting{hint}{listed}"


_EXPECTED = {
    "Integer": "a whole number",
    "Float": "a number",
    "string": "a text",
    "Dict": "settings, with a _target_",
    "bool": "true or false",
}


def _wrong_type(error: ValidationError) -> str:
    patterns = (
        r"Value '(?P<value>.*)' of type '(?P<given>.*)' could not be converted to (?P<kind>\w+)",
        r"Cannot convert '(?P<given>.*)' to (?P<kind>string): '(?P<value>.*)'",
        r"Value '(?P<value>.*)' is not a valid (?P<kind>bool) \(type (?P<given>.*)\)",
        r"Cannot assign (?P<given>)(?P<value>\w+) to (?P<kind>Dict)",
    )
    for found in (re.match(pattern, str(error), re.DOTALL) for pattern in patterns):
        if found:
            value = repr(found["value"]) if found["given"] == "str" else found["value"]
            return f"{error.full_key}: got {value}, expected {_EXPECTED.get(found['kind'], found['kind'])}"
    hints = typing.get_type_hints(error.object_type) if isinstance(error.object_type, type) else {}
    expected = {int: "a whole number", float: "a number", str: "a text"}.get(hints.get(str(error.key), Any), "a value")
    return f"{error.full_key}: got null, expected {expected}" if "not Optional" in str(error) else ""


def _unknown_option(error: MissingConfigException) -> str:
    if error.options is None:
        return ""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = shown = sorted(error.options)
    if group == "hydra/launcher" and (extra := _EXTRAS.get(option)):
        return f"{group}: got {option!r}, which comes with pip install 'sconv[{extra}]'"
    top = group.partition("/")[0]
    if any((schema.CONF / top).glob("*.yaml")):  # its options may lie in folders: schedule=published/...
        option = str(error.missing_cfg_file).removeprefix(f"{top}/")
        group, nested = top, sorted((schema.CONF / top).glob("*/*.yaml"))
        options = [*options, *(f"{path.parent.name}/{path.stem}" for path in nested)]
        shown = [*shown, *sorted({f"{path.parent.name}/..." for path in nested})]
    return f"{group}: got {option!r}, expected one of {', '.join(shown)}{checks.nearest(option, options)}"


def _no_override(error: OverrideParseException) -> str:
    what = str(error.message).splitlines()[0].partition("See https")[0]
    return (
        f"{error.override}: not understood, expected name=value; put a value with special characters in quotes ({what})"
    )


def _misread(error: HydraException) -> str:
    nested = re.match(r"Could not override '(\w+)/([\w/]+)'", str(error))
    if nested and (schema.CONF / nested[1] / nested[2]).is_dir():
        return f"{nested[1]}/{nested[2]}: a folder of options, expected {nested[1]}={nested[2]}/..."
    found = re.match(r"Ambiguous value for argument '(.*?)=(.*)'$", str(error).splitlines()[0])
    return f"{found[1]}: got {found[2]}, expected one value; -m tries each of several" if found else ""


def _unwritable(error: BaseException) -> str:
    """What is said of a folder for runs that cannot be written to; nothing of any other error."""
    told, where = next((full for full in _FULL if full in str(error)), ""), None
    if isinstance(error, OSError) and error.strerror:
        where = error.filename
        refused = error.errno in _UNWRITABLE or str(where).startswith(("/proc", "/dev"))
        told = error.strerror if refused else ""
    allowed = "expected a folder with room, by default outputs/ in the current one"
    return f"hydra.run.dir: cannot write {where or 'the run'}: {told}; {allowed}" if told else ""


def _not_instantiated(error: InstantiationException, settings: Settings) -> str:
    key, target, cause, said = _called(error, settings), _target(error), error.__cause__, str(error)
    where = f"{key}: " if key else ""
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(cause)):
        return f"{key}.{unknown[1]}: {target} takes no such argument"
    name = target.rpartition(".")[2]  # another name is that of a call inside of it
    if missing := re.search(rf"\b{name}(?:\.__init__)?\(\) missing \d+ required .*: '(\w+)'", str(cause)):
        return f"{key}.{missing[1]}: got nothing, {target} needs it"
    if unknown := re.search(r"Error loading '([^']+)'", f"{cause} {said}"):
        return f"{key}._target_: got {unknown[1]!r}, expected the name of something that can be imported"
    if cause is None:
        return where + said.partition("full_key:")[0]
    given = {name: value for name, value in settings.get(key, {}).items() if not name.startswith("_")}
    blamed = [name for name in given if re.search(rf"\b{re.escape(name)}\b", str(cause))]
    if len(blamed) == 1:
        return f"{key}.{blamed[0]}: got {given[blamed[0]]!r}; {target} says: {cause}"
    return f"{where}{target} says {type(cause).__name__}: {cause}{targets.place(cause)}"


# What is said of an error, or of what caused it: the first that has words for it.
_WORDS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (checks.UserError, str),
    (ConfigKeyError, _unknown_key),
    (ConfigAttributeError, _unknown_key),
    (ValidationError, _wrong_type),
    (MissingConfigException, _unknown_option),
    (OverrideParseException, _no_override),
    (HydraException, _misread),
    (Exception, _unwritable),
)


def _flat(text: str) -> str:
    return " ".join(text.split())
