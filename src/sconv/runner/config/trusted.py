"""Which functions a configuration may name that was read back from a file.

On the command line a `_target_` is the user's own. In a run directory it may be somebody else's: whatever it names is
checked here before anything is called.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sconv import checks

OWN = ("sconv.datasets.*",)


def trusted(node: DictConfig, allowed: Sequence[str] = ()) -> DictConfig:
    """Return `node` with every value resolved, if all it names is sconv's own data or matches one of `allowed`.

    A name must match as it is written and as what it turns out to be, so that `sconv.datasets.synthetic.np.load` is
    NumPy's. Patterns are those of a shell, such as my_package.*; a module is imported only if its name matches. Raises
    SettingError.
    """
    patterns = [*OWN, *allowed]
    plain = OmegaConf.to_container(node, resolve=True)
    check_targets(plain, patterns)
    return OmegaConf.create(plain)  # type: ignore[return-value]  # of a mapping comes a DictConfig


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
    known = isinstance(target, str) and re.fullmatch(r"[\w.]+", target) and matches(target, patterns)
    if known:
        found = get_object(target)
        identity = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
        # Of Keras classes, and networks: its functions make anything of what a configuration says.
        made = not identity.startswith("keras.") or isinstance(found, type) or ".applications." in identity
        known = callable(found) and made and matches(identity, patterns)
    if not known:
        raise checks.SettingError(
            f"_target_: the run's config names {checks.shown(target)}, expected one of {', '.join(patterns)}; "
            "if you trust it, target_whitelist=[my_package.*] allows more"
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of those that a user allows, by patterns of a shell."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
