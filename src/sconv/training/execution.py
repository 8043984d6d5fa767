"""How many training steps go into one call of the compiled function."""

from __future__ import annotations

import math
import time
from typing import Any

# Seconds of a training step from which on one step a call is best.
SLOW = 0.05


def steps_per_execution(model: Any, images: Any, steps_per_epoch: int) -> int:
    """About a second of training for each return to Python, at least ten returns an epoch; a power of two.

    A training step costs about three forward passes; a forward pass is timed outside a compiled function, which
    overrates small models a little. One that takes SLOW seconds hides the return by itself: several of them in a
    loop would only take longer to compile.
    """
    model(images)
    began = time.perf_counter()
    model(images)
    step = 3 * (time.perf_counter() - began)
    most = 1.0 if step > SLOW else max(1.0, min(1.0 / step, steps_per_epoch / 10))
    return 2 ** int(math.log2(most))
