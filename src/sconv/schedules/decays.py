"""Policies that fall: constant, in drops, or along a curve, with momentum held.

Every one takes `lr_max`, the highest learning rate of the run, and `momentum`: a number, or None (the optimizer keeps
its own).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sconv import checks
from sconv.schedules.levels import held, lr_levels
from sconv.schedules.schedule import Phase, Schedule


def baseline(
    lr_max: float, momentum: float | None = 0.9, drops: Sequence[float] = (0.625, 0.875), factor: float = 0.1
) -> Schedule:
    """A constant learning rate, multiplied by `factor` at each share of training in `drops`.

    Source: the piecewise constant comparison of Smith and Topin, "Super-Convergence" (arXiv 1708.07120), Fig. 1a:
    drops at 50,000 and 70,000 of 80,000 iterations, momentum 0.9.
    """
    rate = checks.number("lr_max", lr_max, above=0)
    factor = checks.number("factor", factor, above=0, at_most=1)
    shares = checks.listed("drops", drops, "a list of shares of training")
    at = [checks.number("drops", drop, above=0, below=1) for drop in shares]
    if sorted(set(at)) != at:
        raise checks.SettingError(f"drops: got {checks.shown(drops)}, expected shares of training in rising order")
    levels = [rate * factor**number for number in range(len(at) + 1)]
    same, lengths = held(momentum), np.diff([0.0, *at, 1.0]).tolist()
    phases = tuple(Phase(share, (level, level), same) for share, level in zip(lengths, levels, strict=True))
    return Schedule(phases, "baseline")


def constant(lr_max: float, momentum: float | None = None) -> Schedule:
    """The same learning rate throughout."""
    rate = checks.number("lr_max", lr_max, above=0)
    return Schedule((Phase(1.0, (rate, rate), held(momentum)),), "constant")


def cosine(
    lr_max: float,
    momentum: float | None = None,
    warmup_pct: float = 0.0,
    div_factor: float = 25.0,
    final_div_factor: float | None = None,
) -> Schedule:
    """Half a cosine from `lr_max` down to 0, after an optional linear warm-up over `warmup_pct` of training.

    The warm-up starts at `lr_max / div_factor`. With `final_div_factor` the cosine ends at
    `lr_max / (div_factor * final_div_factor)` in place of 0. Source: Loshchilov and Hutter, "SGDR"
    (arXiv 1608.03983), equation 5, without restarts.
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    share = checks.number("warmup_pct", warmup_pct, at_least=0, below=1)
    same = held(momentum)
    fall = Phase(1 - share, (peak, final), same, "cosine")
    return Schedule((Phase(share, (start, peak), same), fall) if share else (fall,), "cosine")


def exponential(lr_max: float, momentum: float | None = None, final_div_factor: float = 100.0) -> Schedule:
    """The same factor at every step, from `lr_max` down to `lr_max / final_div_factor`.

    Source: ExponentialDecay of Keras, with `decay_steps` the whole run and `decay_rate = 1 / final_div_factor`.
    """
    peak, _, final = lr_levels(lr_max, 1, checks.number("final_div_factor", final_div_factor, at_least=1))
    return Schedule((Phase(1.0, (peak, final), held(momentum), "exponential"),), "exponential")


def inverse(lr_max: float, momentum: float | None = None, gamma: float = 1.0, power: float = 0.75) -> Schedule:
    """`lr_max / (1 + gamma * t) ** power`, where t goes from 0 to 1 over training.

    Source: Caffe's lr_policy "inv", whose gamma is ours divided by the number of steps; its LeNet example has 1e-4
    over 10,000 steps, so 1, and power 0.75. With power 1 it is InverseTimeDecay of Keras.
    """
    peak, growth = checks.number("lr_max", lr_max, above=0), checks.number("gamma", gamma, above=0)
    exponent = checks.number("power", power, above=0)
    final = peak * (1 + growth) ** -exponent
    return Schedule((Phase(1.0, (peak, final), held(momentum), "inverse", exponent),), "inverse")


def polynomial(
    lr_max: float, momentum: float | None = None, power: float = 1.0, final_div_factor: float | None = None
) -> Schedule:
    """The share of training that is left, to the power: power 1 is a straight line from `lr_max` to 0.

    With `final_div_factor` it ends at `lr_max / final_div_factor` in place of 0. Source: PolynomialDecay of Keras,
    PolynomialLR of PyTorch.
    """
    peak, _, final = lr_levels(lr_max, 1, final_div_factor)
    exponent = checks.number("power", power, above=0)
    return Schedule((Phase(1.0, (peak, final), held(momentum), "polynomial", exponent),), "polynomial")


def flat_cosine(
    lr_max: float, momentum: float | None = None, pct_start: float = 0.75, final_div_factor: float = 1e5
) -> Schedule:
    """`lr_max` over `pct_start` of training, then half a cosine down to `lr_max / final_div_factor`.

    Source: fastai, `fit_flat_cos`.
    """
    peak, _, final = lr_levels(lr_max, 1, final_div_factor)
    share, same = checks.number("pct_start", pct_start, above=0, below=1), held(momentum)
    return Schedule((Phase(share, (peak, peak), same), Phase(1 - share, (peak, final), same, "cosine")), "flat_cosine")


def warmup_stable_decay(
    lr_max: float,
    momentum: float | None = None,
    warmup_pct: float = 0.05,
    decay_pct: float = 0.2,
    div_factor: float = 25.0,
    final_div_factor: float | None = None,
    anneal: str = "sqrt",
) -> Schedule:
    """A linear warm-up, `lr_max` held, and a decay to 0 over the last `decay_pct` of training.

    The warm-up starts at `lr_max / div_factor`; with `final_div_factor` the decay ends at
    `lr_max / (div_factor * final_div_factor)` in place of 0. Source: Hu et al., "MiniCPM" (arXiv 2404.06395); the
    decay as 1 - sqrt: Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations"
    (arXiv 2405.18392).
    """
    peak, start, final = lr_levels(lr_max, div_factor, final_div_factor)
    warmup = checks.number("warmup_pct", warmup_pct, above=0, below=1)
    decay = checks.number("decay_pct", decay_pct, above=0, below=1)
    if warmup + decay >= 1:
        expected = f"expected below {1 - warmup:g}: 1 less warmup_pct"
        raise checks.SettingError(f"decay_pct: got {checks.shown(decay_pct)}, {expected}")
    same = held(momentum)
    phases = (
        Phase(warmup, (start, peak), same),
        Phase(1 - warmup - decay, (peak, peak), same),
        Phase(decay, (peak, final), same, anneal),
    )
    return Schedule(phases, "warmup_stable_decay")
