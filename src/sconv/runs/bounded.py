"""Files that anybody may have written, read as data: bounded in size, in depth and in the kinds of their values.

Nothing in them is resolved, imported or called. What does not keep the bounds is a BrokenRun, in one line.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sconv import checks

MEGABYTE = 1 << 20
DEEPEST = 40  # mappings and lists within each other
MOST_VALUES = 100_000  # of a YAML file
LONGEST_PLAIN = 10_000  # characters of a YAML value without quotes, which may be a number
LARGEST = 2**64


class BrokenRun(checks.UserError):
    """A run directory that cannot be read."""


def text(path: Path, most: int = MEGABYTE) -> str:
    """What a regular file of at most `most` bytes says. Raises BrokenRun; FIFOs and devices are not waited for."""
    try:
        _check_regular(path, os.stat(path))
        # Another file may have taken its place meanwhile.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        with os.fdopen(handle, "rb") as file:
            _check_regular(path, os.fstat(handle))
            content = file.read(most + 1)
    except FileNotFoundError as error:
        raise BrokenRun(f"{path.name} is missing") from error
    except (OSError, ValueError) as error:
        raise BrokenRun(f"{path.name}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > most:
        raise BrokenRun(f"{path.name}: larger than {most:,} bytes")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BrokenRun(f"{path.name}: no text in UTF-8") from error


def facts(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping; a number that is not finite is None, as JSON knows none. Raises BrokenRun."""
    try:
        return _mapping(json.loads(text(path), parse_constant=lambda _: None, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        raise BrokenRun(f"{path.name}: {_reason(error, 'not JSON')}") from error


def settings(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, its interpolations as plain text. Raises BrokenRun."""
    return _yaml(path, _mapping)


def texts(path: Path) -> list[str]:
    """A YAML file that holds a list of texts, such as a command line's; raises BrokenRun."""
    return _yaml(path, _texts)


def _yaml(path: Path, understood: Callable[[Any], Any]) -> Any:
    import yaml

    # The C loader takes 1 ms for what the Python one takes 7; some builds of PyYAML come without it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = text(path)
    try:
        _check_yaml(yaml.parse(content, loader))
        return understood(yaml.load(content, loader))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, AttributeError, TypeError) as error:
        raise BrokenRun(f"{path.name}: {_reason(error, 'not YAML')}") from error


class _OutOfBoundsError(ValueError):
    """Said as it is, where a parser's own words would fill pages."""


def _reason(error: Exception, otherwise: str) -> str:
    return str(error) if isinstance(error, _OutOfBoundsError) else otherwise


def _check_regular(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise BrokenRun(f"{path.name}: no regular file")


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _check_yaml(events: Any) -> None:
    """Refuse, before anything is made of it, what would take long or grow: aliases, depth, numbers of a page."""
    depth = 0
    for count, event in enumerate(events):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if kind == "AliasEvent":
            raise _OutOfBoundsError("holds an alias (*...)")
        # A stream and a document are around all.
        if depth > DEEPEST + 2:
            raise _OutOfBoundsError("nested too deeply")
        # Not quoted, or with a tag: it may be a number.
        is_long = kind == "ScalarEvent" and not event.implicit[1] and len(event.value) > LONGEST_PLAIN
        if is_long or count > MOST_VALUES:
            raise _OutOfBoundsError("too long")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _OutOfBoundsError("empty or no mapping")
    plain: dict[str, Any] = _plain(value, DEEPEST)
    return plain


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _OutOfBoundsError("no list of texts")
    return value


def _plain(value: Any, deepest: int) -> Any:
    """The value if it is of plain kinds; keys and dates as texts."""
    if deepest < 0:
        raise _OutOfBoundsError("nested too deeply")
    if isinstance(value, dict):
        return {str(_plain(key, 0)): _plain(each, deepest - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, deepest - 1) for each in value]
    if isinstance(value, int) and abs(value) > LARGEST:
        raise _OutOfBoundsError(f"a number of {value.bit_length()} bits")
    if isinstance(value, datetime.date):
        return str(value)
    if value is not None and not isinstance(value, (str, int, float)):
        raise _OutOfBoundsError(f"{checks.type_of(value)}, which is no plain value")
    return value
