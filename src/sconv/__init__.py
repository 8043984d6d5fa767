"""Super-convergence with Keras 3: the 1cycle policy inside the compiled training step."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sconv import schedules as schedules
    from sconv.acceleration import accelerate as accelerate
    from sconv.acceleration import decelerate as decelerate
    from sconv.callbacks import OneCycleScheduler as OneCycleScheduler
    from sconv.callbacks import ScheduleCallback as ScheduleCallback
    from sconv.fitting import fit_one_cycle as fit_one_cycle
    from sconv.lr_finder import LRFinder as LRFinder
    from sconv.lr_finder import lr_find as lr_find
    from sconv.optimizers import attach as attach
    from sconv.optimizers import detach as detach
    from sconv.parameter_groups import group_parameters as group_parameters
    from sconv.readings import RangeTest as RangeTest

__version__ = "0.1.0"

# Where each public name lives. They are imported on first use: `import sconv` must not import TensorFlow.
_HOMES = {
    "schedules": "sconv.schedules",
    "accelerate": "sconv.acceleration",
    "attach": "sconv.optimizers",
    "decelerate": "sconv.acceleration",
    "detach": "sconv.optimizers",
    "group_parameters": "sconv.parameter_groups",
    "fit_one_cycle": "sconv.fitting",
    "lr_find": "sconv.lr_finder",
    "LRFinder": "sconv.lr_finder",
    "OneCycleScheduler": "sconv.callbacks",
    "RangeTest": "sconv.readings",
    "ScheduleCallback": "sconv.callbacks",
}

__all__ = [
    "LRFinder",
    "OneCycleScheduler",
    "RangeTest",
    "ScheduleCallback",
    "__version__",
    "accelerate",
    "attach",
    "decelerate",
    "detach",
    "fit_one_cycle",
    "group_parameters",
    "lr_find",
    "schedules",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sconv' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return module if _HOMES[name] == f"sconv.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
