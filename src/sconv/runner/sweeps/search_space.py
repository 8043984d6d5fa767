"""What a search goes through: Hydra's overrides as Optuna's distributions, and their values as overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from sconv import checks

# Optuna is imported inside functions: without it there is a line to be said.

_TAGS = {"log", "int"}
Space = dict[str, Any]  # an Optuna distribution by the name of its parameter


def parse(arguments: Sequence[str], params: Mapping[str, Any], loader: Any) -> tuple[Space, list[str]]:
    """What is to be searched, and the overrides that all trials share; an argument comes before one of `params`.

    Raises SettingError, or what Hydra raises of an override that it cannot read.
    """
    texts = [f"{name}={value}" for name, value in params.items()] + list(arguments)
    overrides = {override.key_or_group: override for override in OverridesParser.create(loader).parse_overrides(texts)}
    space = {each.get_key_element(): _distribution(each) for each in overrides.values() if each.is_sweep_override()}
    if not space:
        raise checks.SettingError(
            "hydra/sweeper: got search and nothing to search, expected one such as 'lr_max=tag(log, interval(0.01, 1))'"
        )
    return space, [str(each.input_line) for each in overrides.values() if not each.is_sweep_override()]


def overrides(values: Mapping[str, Any]) -> list[str]:
    """The overrides that give a trial its values; of a number six digits."""
    return [f"{name}={f'{value:.6g}' if isinstance(value, float) else value}" for name, value in values.items()]


def middle(distribution: Any) -> Any:
    """The value in the middle, of values to choose from the first."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    low, high = distribution.low, distribution.high
    centre = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if distribution.step:
        centre = low + distribution.step * round((centre - low) / distribution.step)
    return int(centre) if isinstance(distribution, IntDistribution) else centre


def grid(space: Space) -> dict[str, list[Any]]:
    """Every value of each parameter. Raises SettingError where they cannot be counted."""
    from optuna.distributions import CategoricalDistribution

    for name, each in space.items():
        if not isinstance(each, CategoricalDistribution) and (each.log or each.step is None):
            expected = "values or a range(...): sampler=grid tries each"
            raise checks.SettingError(f"{name}: got an interval, expected {expected}")
    return {
        name: list(each.choices)
        if isinstance(each, CategoricalDistribution)
        else [each.low + number * each.step for number in range(round((each.high - each.low) / each.step) + 1)]
        for name, each in space.items()
    }


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution

    name, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(name, value)
    if isinstance(value, RangeSweep):
        return _range(name, value)
    if isinstance(value, ChoiceSweep):
        value.shuffle = False  # a study knows values by their places
    # As text, which says lists and names as the command line does.
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def _interval(name: str, value: IntervalSweep) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, is_log = value.start or 0.0, value.end or 0.0, "log" in value.tags
    got = f"got interval({low:g}, {high:g})"
    if unknown := value.tags - _TAGS:
        raise checks.SettingError(f"{name}: {got} with tag {min(unknown)}, expected one of log, int")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise checks.SettingError(f"{name}: {got}, expected a low end below a high one")
    if is_log and low <= 0:
        raise checks.SettingError(f"{name}: {got} with tag log, expected a low end above 0")
    if "int" in value.tags or (isinstance(value.start, int) and isinstance(value.end, int)):
        if math.ceil(low) >= math.floor(high):
            raise checks.SettingError(f"{name}: {got} with tag int, expected several whole numbers in it")
        return IntDistribution(math.ceil(low), math.floor(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _range(name: str, value: RangeSweep) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    # As decimals, for 0.1 has no exact float; like Python's, it ends before its end.
    start, stop, step = (Decimal(str(number)) for number in (value.start, value.stop, value.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count < 1:
        raise checks.SettingError(f"{name}: got range({start}, {stop}, {step}), expected some numbers in it")
    low, high = sorted((start, start + (count - 1) * step))
    if all(number == int(number) for number in (low, step)):
        return IntDistribution(int(low), int(high), step=int(abs(step)))
    return FloatDistribution(float(low), float(high), step=float(abs(step)))
