"""What the knobs may be, and the settings of Keras's optimizers and losses, which Keras takes whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sconv import checks
from sconv.datasets.dataset import MOST_UPDATES
from sconv.training.intervals import intervals

Check = Callable[[str, Any], Any]


def _or_null(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


_share: Check = partial(checks.number, at_least=0, below=1)
_above_zero: Check = partial(checks.number, above=0)
_not_negative: Check = partial(checks.number, at_least=0)

# Keras takes no whole number for these: 1 means 1.0.
RATES: dict[str, Check] = {
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "rho", "ema_momentum"), _share),
    **dict.fromkeys(("epsilon", "clip_threshold"), _above_zero),
    **dict.fromkeys(("clipnorm", "global_clipnorm", "clipvalue", "loss_scale_factor"), _or_null(_above_zero)),
    **dict.fromkeys(("weight_decay", "adam_weight_decay"), _or_null(_not_negative)),
}
OF_OPTIMIZERS: dict[str, Check] = {
    **RATES,
    **dict.fromkeys(("nesterov", "use_ema", "amsgrad", "centered", "relative_step"), checks.boolean),
    "ema_overwrite_frequency": _or_null(partial(checks.integer, at_least=1)),
    "gradient_accumulation_steps": _or_null(partial(checks.integer, at_least=2)),
    "ns_steps": partial(checks.integer, at_least=1),
}
OF_LOSSES: dict[str, Check] = {"label_smoothing": _share, "from_logits": checks.boolean}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", checks.AUTO)
AT_THE_TOP: dict[str, Check] = {
    "lr_max": lambda name, value: None if value == checks.AUTO else checks.lr_max(value),
    "epochs": partial(checks.integer, at_least=1),
    "batch_size": partial(checks.integer, at_least=1),
    "seed": partial(checks.integer, at_most=2**32 - 1),  # NumPy takes no larger one
    "precision": partial(checks.choice, allowed=PRECISIONS),
    "accelerate": checks.boolean,
    "on_divergence": partial(checks.choice, allowed=("stop", "restart")),
    "steps_per_execution": lambda name, value: value == checks.AUTO or checks.integer(name, value, at_least=1),
    "weight_decay": _or_null(_not_negative),
    "l2": _or_null(_not_negative),
}
OF_DEVICES: dict[str, Check] = {"threads": _or_null(partial(checks.integer, at_least=1, at_most=4096))}
OF_CHECKPOINTS: dict[str, Check] = {
    "every": lambda name, value: intervals(name, value),
    "keep": partial(checks.integer, at_least=1),
}
OF_RANGE_TESTS: dict[str, Check] = {"max_steps": partial(checks.integer, at_most=MOST_UPDATES)}


def check(settings: Mapping[str, Any], limits: Mapping[str, Check], group: str = "") -> None:
    """Raise SettingError or SettingTypeError for the first of the settings, not resolved, that is out of its limits.

    A value that is read from elsewhere is checked there, and one with a `_target_` is built.
    """
    for name, value in settings.items():
        is_read = isinstance(value, str) and "${" in value
        is_built = isinstance(value, Mapping) and "_target_" in value
        if name in limits and not is_read and not is_built:
            limits[name](f"{group}{name}", value)
