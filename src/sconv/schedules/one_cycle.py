"""The 1cycle policy in its dialects.

Each returns a `Schedule`, a frozen value made of a few phases. Every one takes `lr_max`, the highest learning rate of
the run. Every `momentum` is a number (held), a pair `(high, low)` (cycled: high where the learning rate is low), or
None (the optimizer keeps its own).
"""

from __future__ import annotations

from sconv import checks
from sconv.schedules.levels import Momentum, cycled, lr_levels
from sconv.schedules.schedule import Phase, Schedule


def onecycle(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 25.0,
    final_div_factor: float = 100.0,
    pct_start: float = 0.45,
    anneal: str = "linear",
) -> Schedule:
    """The 1cycle policy in three phases: up, down in as many steps, annihilate.

    The learning rate starts at `lr_max / div_factor`, ends at `lr_max / (div_factor * final_div_factor)`, and takes
    `pct_start` of training for each way. Source: Smith, "A disciplined approach to neural network
    hyper-parameters" (arXiv 1803.09820), section 4; Gugger, "The 1cycle policy" (2018).
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=0.5)
    down, up, high = cycled(momentum)
    phases = (
        Phase(share, (start, peak), down, anneal),
        Phase(share, (peak, start), up, anneal),
        Phase(1 - 2 * share, (start, final), high, anneal),
    )
    return Schedule(phases, "onecycle")


def onecycle_fastai(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    pct_start: float = 0.3,
    anneal: str = "cosine",
) -> Schedule:
    """The 1cycle policy in two phases: up over `pct_start` of training, then all the way down.

    The learning rate starts at `lr_max / div_factor` and ends at `lr_max / (div_factor * final_div_factor)`; momentum
    mirrors it. Source: fastai v1, `callbacks/one_cycle.py`; the default of PyTorch's OneCycleLR.
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=1)
    down, up, _ = cycled(momentum)
    phases = (Phase(share, (start, peak), down, anneal), Phase(1 - share, (peak, final), up, anneal))
    return Schedule(phases, "onecycle_fastai")


def onecycle_smith(
    lr_max: float,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 10.0,
    final_div_factor: float = 1000.0,
    pct_start: float = 0.43,
) -> Schedule:
    """The 1cycle policy as Smith ran it in Caffe: up, down to 0 in as many steps, then a small constant.

    The learning rate starts at `lr_max / div_factor`; the tail holds `lr_max / (div_factor * final_div_factor)`, from
    the step on that would have had 0. In his logs momentum begins a second, smaller dip in the tail; here it stays
    high. Source: the training logs at github.com/lnsmith54/hyperParam1 (ResNet-56: 4,003 steps up, 4,003 down, 9,277
    in all); arXiv 1803.09820 tells of the policy, not of these numbers.
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("pct_start", pct_start, above=0, below=0.5)
    down, up, high = cycled(momentum)
    phases = (
        Phase(share, (start, peak), down),
        Phase(share, (peak, 0.0), up, endpoint=False),
        Phase(1 - 2 * share, (final, final), high),
    )
    return Schedule(phases, "onecycle_smith")
