"""The range test as a schedule: one rise, exponential or linear, momentum held."""

from __future__ import annotations

import numpy as np
import pytest

from sconv.schedules import Phase, Schedule, constant, onecycle, onecycle_fastai, range_test


def test_rises_by_the_same_factor() -> None:
    rates, momenta = range_test(1e-7, 10.0).sample(1000)
    assert rates == pytest.approx(np.geomspace(1e-7, 10.0, 1000), rel=1e-12)
    assert (rates[0], rates[-1]) == (1e-7, 10.0)
    assert momenta is None


def test_rises_by_the_same_amount() -> None:
    rates, momenta = range_test(0.1, 3.0, momentum=0.0, anneal="linear").sample(59)
    assert rates == pytest.approx(np.linspace(0.1, 3.0, 59), rel=1e-12)
    assert momenta is not None
    assert (momenta == 0).all()
    _, momenta = range_test(momentum=0.9).sample(50)
    assert momenta is not None
    assert (momenta == 0.9).all()


def test_the_momentum_at_the_peak() -> None:
    assert onecycle(1.0).peak_momentum == 0.85
    assert onecycle_fastai(1.0, momentum=(0.9, 0.7)).peak_momentum == 0.7
    assert onecycle(1.0, momentum=0.9).peak_momentum == 0.9
    assert constant(1.0).peak_momentum is None
    assert Schedule((Phase(0.5, (1, 2), (0.5, 0.6)), Phase(0.5, (3, 1), (0.7, 0.8)))).peak_momentum == 0.7
