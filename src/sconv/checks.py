"""Errors about a setting, and the checks that raise them.

Every message is one line: the setting, the value received, what is allowed. The command line shows it without a
traceback; in Python it is a ValueError or a TypeError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any


class UserError(Exception):
    """Something the user can mend: shown as one line on the command line, exit code 2."""


class SettingError(UserError, ValueError):
    """A setting whose value is not allowed."""


class SettingTypeError(UserError, TypeError):
    """A setting whose value is of the wrong type."""


class DataError(UserError, OSError):
    """A data file that is missing, damaged or not what it should be."""


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return `value` as a float, or raise an error that names the setting and the range allowed."""
    bounds = [("above", above), ("at least", at_least), ("below", below), ("at most", at_most)]
    words = [f"{word} {bound:g}" for word, bound in bounds if bound is not None]
    allowed = " ".join(["a finite number", " and ".join(words)]).strip()
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise SettingTypeError(f"{name}: got {value!r}, expected {allowed}")
    try:
        result = float(value)
    except (TypeError, ValueError) as error:
        raise SettingTypeError(f"{name}: got {value!r}, expected {allowed}") from error
    inside = (
        math.isfinite(result)
        and (above is None or result > above)
        and (at_least is None or result >= at_least)
        and (below is None or result < below)
        and (at_most is None or result <= at_most)
    )
    if not inside:
        raise SettingError(f"{name}: got {value!r}, expected {allowed}")
    return result


def integer(name: str, value: Any, *, at_least: int = 0) -> int:
    """Return `value` as an int (a float counts where it is whole), or raise an error that names the setting."""
    allowed = f"a whole number of at least {at_least}"
    if isinstance(value, (bool, str)):
        raise SettingTypeError(f"{name}: got {value!r}, expected {allowed}")
    try:
        whole = hasattr(value, "__float__") and float(value).is_integer()
        result = int(value) if whole else operator.index(value)
    except TypeError as error:
        wrong = SettingError if hasattr(value, "__float__") else SettingTypeError
        raise wrong(f"{name}: got {value!r}, expected {allowed}") from error
    if result < at_least:
        raise SettingError(f"{name}: got {value!r}, expected {allowed}")
    return result


def integers(name: str, value: Any, *, at_least: int, example: str) -> tuple[int, ...]:
    """Return a list of whole numbers as a tuple, or raise an error that names the setting and shows an `example`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise SettingTypeError(f"{name}: got {value!r}, expected a list of whole numbers, such as {example}")
    return tuple(integer(f"{name}[{place}]", item, at_least=at_least) for place, item in enumerate(value))


def choice(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is one of `allowed`, or raise an error that lists them."""
    options = list(allowed)
    if not any(value is option or (type(value) is type(option) and value == option) for option in options):
        raise SettingError(f"{name}: got {value!r}, expected one of {', '.join(map(str, options))}")
    return value
