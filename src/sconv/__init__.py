"""Super-convergence with Keras 3: the 1cycle policy inside the compiled training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader

from sconv import checks

if TYPE_CHECKING:
    from sconv import schedules as schedules
    from sconv.fine_tuning import fine_tune as fine_tune
    from sconv.fit import fit_one_cycle as fit_one_cycle
    from sconv.lr_finder.finder import LRFinder as LRFinder
    from sconv.lr_finder.finder import lr_find as lr_find
    from sconv.lr_finder.result import RangeTest as RangeTest
    from sconv.schedules.keras_schedule import TableSchedule as TableSchedule
    from sconv.training.acceleration import accelerate as accelerate
    from sconv.training.acceleration import decelerate as decelerate
    from sconv.training.attach import attach as attach
    from sconv.training.attach import detach as detach
    from sconv.training.batch_statistics import update_bn as update_bn
    from sconv.training.callbacks import ScheduleCallback as ScheduleCallback
    from sconv.training.checkpoint import Checkpoint as Checkpoint
    from sconv.training.one_cycle import OneCycleScheduler as OneCycleScheduler
    from sconv.training.parameter_groups import group_parameters as group_parameters
    from sconv.training.recording import Diverged as Diverged

__version__ = "0.1.0"

# Imported on first use: `import sconv` must not import TensorFlow.
_imported, __dir__, __all__ = lazy_loader.attach(
    __name__,
    ["schedules"],
    {
        "schedules.keras_schedule": ["TableSchedule"],
        "training.batch_statistics": ["update_bn"],
        "training.acceleration": ["accelerate", "decelerate"],
        "training.callbacks": ["ScheduleCallback"],
        "training.checkpoint": ["Checkpoint"],
        "fine_tuning": ["fine_tune"],
        "fit": ["fit_one_cycle"],
        "lr_finder.finder": ["LRFinder", "lr_find"],
        "training.attach": ["attach", "detach"],
        "training.one_cycle": ["OneCycleScheduler"],
        "training.parameter_groups": ["group_parameters"],
        "training.recording": ["Diverged"],
        "lr_finder.result": ["RangeTest"],
    },
)


def __getattr__(name: str) -> Any:
    """A public name; of those that train, one line where there is no TensorFlow, or Keras has another backend."""
    if name in __all__ and name not in ("schedules", "RangeTest", "TableSchedule"):
        checks.importable()
    return _imported(name)
