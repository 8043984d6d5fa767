"""The callback that users of 1cycle look for."""

from __future__ import annotations

from sconv import checks
from sconv.schedules import onecycle_fastai
from sconv.training.callbacks import ScheduleCallback


class OneCycleScheduler(ScheduleCallback):
    """The 1cycle policy in two cosine phases, for `model.fit(..., callbacks=[OneCycleScheduler(lr_max, steps)])`.

    Up from `lr_max / div_factor` to `lr_max` over `phase_1_pct` of training while momentum falls from `mom_max` to
    `mom_min`, then down to `lr_max / (div_factor * 1e4)` and back. See `ScheduleCallback` for `steps`. Source: van
    Wyk, "Super-convergence with the 1cycle policy" (2019), after fastai v1.
    """

    def __init__(
        self,
        lr_max: float,
        steps: float | None = None,
        mom_min: float = 0.85,
        mom_max: float = 0.95,
        phase_1_pct: float = 0.3,
        div_factor: float = 25.0,
    ):
        checks.number("phase_1_pct", phase_1_pct, above=0, below=1)
        low = checks.number("mom_min", mom_min, at_least=0, below=1)
        high = checks.number("mom_max", mom_max, at_least=low, below=1)
        policy = onecycle_fastai(lr_max, (high, low), div_factor, pct_start=phase_1_pct)
        super().__init__(policy, steps)
