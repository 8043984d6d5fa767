"""The 1cycle policy in its dialects.

Each returns a `Schedule`, a frozen value made of a few phases. Every one takes `lr_max`, the highest learning rate of
the run. Every `momentum` is a number (held), a pair `(high, low)` (cycled: high where the learning rate is low), or
None (the optimizer keeps its own).
"""

from __future__ import annotations

from dataclasses import replace

from sconv import checks
from sconv.schedules.levels import Momentum, cycled, lr_levels
from sconv.schedules.schedule import Phase, Schedule

# fastai's levels of `fine_tune`: lr_max over the first learning rate of the rise, and over the last one of the cycle.
_DIV, _DIV_FINAL = 25.0, 1e5


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


def fine_tune(
    lr_max: float,
    epochs: int = 5,
    freeze_epochs: int = 1,
    momentum: Momentum = (0.95, 0.85),
    div_factor: float = 5.0,
    pct_start: float = 0.3,
) -> Schedule:
    """The head of a pretrained network first, then all of it: a rise to `lr_max`, then a cycle to half of that.

    The rise takes `freeze_epochs` of all the `epochs`, the cycle the rest; it starts at `lr_max / 2 / div_factor` and
    peaks after `pct_start` of itself. What is trained when is for others to say (`sconv.fine_tune`, `freeze_epochs` of
    the command line). Source: fastai, `Learner.fine_tune`, whose rise falls again in its last percent.
    """
    whole = checks.integer("epochs", epochs, at_least=1)
    share = checks.integer("freeze_epochs", freeze_epochs, at_most=whole) / whole
    checks.number("div_factor", div_factor, at_least=1, at_most=_DIV_FINAL)
    up = onecycle_fastai(lr_max, momentum, _DIV).phases[0]
    cycle = onecycle_fastai(checks.lr_max(lr_max) / 2, momentum, div_factor, _DIV_FINAL / div_factor, pct_start).phases
    parts = ((share, (replace(up, pct=1.0),)), (1 - share, cycle))
    return Schedule(tuple(replace(p, pct=part * p.pct) for part, phases in parts if part for p in phases), "fine_tune")


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
