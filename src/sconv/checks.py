"""Errors about a setting, and the checks that raise them.

Every message is one line: the setting, the value received, what is allowed. The command line shows it without a
traceback; in Python it is a ValueError or a TypeError.
"""

from __future__ import annotations

import difflib
import math
import operator
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What lr_max may be in place of a number: a range test finds it.
AUTO = "auto"


class UserError(Exception):
    """Something the user can mend: shown as one line on the command line, exit code 2."""


class SettingError(UserError, ValueError):
    """A setting whose value is not allowed."""


class SettingTypeError(UserError, TypeError):
    """A setting whose value is of the wrong type."""


class DataError(UserError, OSError):
    """A data file that is missing, damaged or not what it should be."""


class MissingError(UserError, ImportError):
    """A package that is not there."""


def user_error(error: BaseException) -> UserError | None:
    """What the user can mend behind an error, where a library wrapped it; None where there is nothing of the kind."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        if no_package := missing(cause):
            return no_package
        cause = cause.__cause__
    return cause


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
    bounds = {"above": (operator.gt, above), "of at least": (operator.ge, at_least)}
    bounds |= {"below": (operator.lt, below), "of at most": (operator.le, at_most)}
    given = [(word, holds, bound) for word, (holds, bound) in bounds.items() if bound is not None]
    result = _as_float(value)
    if result is None or not math.isfinite(result) or not all(holds(result, bound) for _, holds, bound in given):
        allowed = " and ".join(f"{word} {bound:g}" for word, _, bound in given)
        raise _refusal(result)(f"{name}: got {shown(value)}, expected {f'a finite number {allowed}'.strip()}")
    return result


def lr_max(value: Any) -> float:
    """Return an lr_max that is not to be found first, or raise an error that says what it may be."""
    try:
        return number("lr_max", value, above=0)
    except UserError as error:
        raise type(error)(f"{error}, or {AUTO}") from None


def integer(name: str, value: Any, *, at_least: int = 0, at_most: int | None = None) -> int:
    """Return `value` as an int (a float counts where it is whole), or raise an error that names the setting."""
    result, most = _as_float(value), math.inf if at_most is None else at_most
    if result is None or not result.is_integer() or not at_least <= result <= most:
        allowed = f"a whole number of at least {at_least}" + ("" if at_most is None else f" and at most {at_most}")
        raise _refusal(result)(f"{name}: got {shown(value)}, expected {allowed}")
    return int(value)


def boolean(name: str, value: Any) -> bool:
    """Return `value` if it is true or false, or raise an error that names the setting."""
    if not isinstance(value, bool):
        raise SettingTypeError(f"{name}: got {shown(value)}, expected true or false")
    return value


def integers(name: str, value: Any, *, at_least: int, example: str) -> tuple[int, ...]:
    """Return a list of whole numbers as a tuple, or raise an error that names the setting and shows an `example`."""
    items = listed(name, value, f"a list of whole numbers, such as {example}")
    return tuple(integer(f"{name}[{place}]", item, at_least=at_least) for place, item in enumerate(items))


def shares(name: str, value: Any, most: float = math.inf) -> tuple[float, ...]:
    """Return a list of 1 to `most` numbers above 0 and at most 1 as a tuple, or raise an error."""
    expected = "a list of numbers above 0 and at most 1, such as [0.6, 0.8, 1], an epoch or more for each"
    items = listed(name, value, expected, (1, most))
    return tuple(number(f"{name}[{place}]", item, above=0, at_most=1) for place, item in enumerate(items))


def listed(name: str, value: Any, expected: str, lengths: tuple[float, float] = (0, math.inf)) -> list[Any]:
    """Return a list or the like, whose length is within `lengths`, or raise an error that says what is `expected`."""
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if not is_list or not lengths[0] <= len(value) <= lengths[1]:
        raise SettingTypeError(f"{name}: got {shown(value)}, expected {expected}")
    return list(value)


def choice(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is one of `allowed`, or raise an error that lists them."""
    options = list(allowed)
    if not any(value is option or (type(value) is type(option) and value == option) for option in options):
        raise SettingError(f"{name}: got {shown(value)}, expected one of {', '.join(map(str, options))}")
    return value


def same(settings: Mapping[str, Any], before: Mapping[str, Any], source: str) -> None:
    """Raise an error about the first setting that is not what it was before, by the record of `source`."""
    for name, value in settings.items():
        if value != before.get(name):
            raise SettingError(f"{name}: got {shown(value)}, expected {shown(before.get(name))} as in {source}")


def keras_backend(name: str) -> None:
    """Raise SettingError for a backend of Keras that is not TensorFlow."""
    if name != "tensorflow":
        raise SettingError(f"KERAS_BACKEND: got {name}, expected tensorflow: the schedule is in TensorFlow's step")


def importable() -> None:
    """Import Keras, and with it TensorFlow; MissingError where one is not there, SettingError for another backend."""
    try:
        import keras
    except ModuleNotFoundError as error:
        if lacks := missing(error):
            raise lacks from None
        keras_backend(os.environ.get("KERAS_BACKEND") or str(error.name))
        raise
    keras_backend(keras.config.backend())


def missing(error: BaseException) -> MissingError | None:
    """What to say of an import that failed for want of Keras or TensorFlow; None where it failed otherwise."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in ("tensorflow", "keras"):
        return None
    return MissingError(f"{name}: not installed in this Python ({sys.executable}), expected pip install {name}")


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    # The order of the words is what is remembered least.
    sorted_words = {"_".join(sorted(each.split("_"))): each for each in names}
    key = "_".join(sorted(name.split("_")))
    close = [sorted_words[key]] if key in sorted_words else difflib.get_close_matches(name, sorted_words.values(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def shown(value: Any) -> str:
    """A value as an error shows it: on one line, and not too long."""
    text = " ".join(repr(value).split())
    return (text if len(text) <= 80 else f"{text[:77]}...") + _generation(value)


def printable(text: Any) -> str:
    """A text on one line, with what a terminal would obey, or show in another order, written out: \\x1b, \\u202e."""
    signs = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return "".join(signs)


def printable_throughout(value: Any) -> Any:
    """Nested mappings and lists with every text `printable`."""
    if isinstance(value, Mapping):
        return {printable(key): printable_throughout(each) for key, each in value.items()}
    if isinstance(value, list):
        return [printable_throughout(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def type_of(value: Any) -> str:
    """The type of a value as an error shows it: `a Tensor`, or None."""
    return "None" if value is None else f"a {type(value).__name__}{_generation(value)}"


def _generation(value: Any) -> str:
    """What tells an object of Keras 2 from the same of Keras 3."""
    of_tf_keras = any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(value).__mro__)
    return " of Keras 2 (tf_keras)" if of_tf_keras else ""


def _refusal(result: float | None) -> type[SettingError | SettingTypeError]:
    return SettingTypeError if result is None else SettingError


def _as_float(value: Any) -> float | None:
    """The number a value is, infinite where it is too large for a float; None where it is no number."""
    if isinstance(value, (bool, str, bytes, complex)) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None
