"""Super-convergence with Keras 3: the 1cycle policy inside the compiled training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

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

# Imported on first use: `import sconv` must not import TensorFlow.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    ["schedules"],
    {
        "acceleration": ["accelerate", "decelerate"],
        "callbacks": ["OneCycleScheduler", "ScheduleCallback"],
        "fitting": ["fit_one_cycle"],
        "lr_finder": ["LRFinder", "lr_find"],
        "optimizers": ["attach", "detach"],
        "parameter_groups": ["group_parameters"],
        "readings": ["RangeTest"],
    },
)
