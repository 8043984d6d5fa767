"""One recommendation out of a grid of range tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sconv import checks
from sconv.lr_finder.result import RangeTest
from sconv.lr_finder.smoothing import start_of


@dataclass(frozen=True)
class Recommendation:
    """What a grid of range tests recommends: one of them by its label, its lr, and why in one line."""

    label: str
    lr: float
    weight_decay: float
    reason: str


def recommend(tests: Mapping[str, RangeTest], weight_decays: Mapping[str, float]) -> Recommendation:
    """The largest lr of a grid of range tests, and the weight decay that allows it.

    Both mappings go by label. Of the tests whose largest stable lr (rule `smith`) is within a third of the best, and
    whose loss falls as low within a tenth of the whole fall, the one with the largest weight decay: it regularises
    most and costs nothing. Source: Smith (arXiv 1803.09820), section 4.4, and Gugger, "The 1cycle policy" (2018).
    Raises SettingError where no test can be read.
    """
    usable = {label: test for label, test in tests.items() if test.problem is None}
    if not usable:
        raise checks.SettingError(next(test.problem for test in tests.values() if test.problem))
    rates = {label: test.suggestions["smith"] for label, test in usable.items()}
    lows = {label: float(test.smoothed.min()) for label, test in usable.items()}
    start = max(start_of(test.losses) for test in usable.values())
    fastest, lowest = max(rates.values()), min(lows.values())
    allowed = lowest + 0.1 * (start - lowest)
    # The lowest loss always qualifies where nothing has both a high lr and a low loss.
    good = [name for name in usable if rates[name] >= fastest * 2 / 3 and lows[name] <= allowed] or [
        min(lows, key=lambda name: lows[name])
    ]
    pick = max(good, key=lambda name: (weight_decays[name], rates[name]))
    reason = (
        f"the largest weight decay ({weight_decays[pick]:g}) that still allows lr {rates[pick]:.2g} "
        f"(the best of the grid: {fastest:.2g}) with a loss down to {lows[pick]:.3g} (best: {lowest:.3g})"
    )
    return Recommendation(pick, rates[pick], weight_decays[pick], reason)
