"""The schedules of other libraries and papers: each policy against its source, on every step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sconv import checks
from sconv.schedules import (
    Phase,
    Schedule,
    cyclic,
    exponential,
    flat_cosine,
    inverse,
    onecycle_fastai,
    onecycle_smith,
    phases,
    polynomial,
    sgdr,
    warmup_stable_decay,
)


def assert_keras(schedule: Schedule, decay: Any, steps: int) -> None:
    lr, _ = schedule.sample(steps)
    # Keras computes in float32: its rounding, in units of the highest rate, is what they may differ by.
    np.testing.assert_allclose(lr, [float(decay(step)) for step in range(steps)], rtol=0, atol=lr.max() * 1e-6)


def test_exponential() -> None:
    from keras.optimizers.schedules import ExponentialDecay

    assert_keras(exponential(0.1), ExponentialDecay(0.1, decay_steps=40, decay_rate=0.01), 41)
    # PyTorch's own test of ExponentialLR and MultiplicativeLR.
    lr, _ = exponential(0.05, final_div_factor=0.9**-9).sample(10)
    np.testing.assert_allclose(lr, [0.05 * 0.9**epoch for epoch in range(10)], rtol=1e-14)


def test_inverse() -> None:
    from keras.optimizers.schedules import InverseTimeDecay

    assert_keras(inverse(0.1, gamma=3, power=1), InverseTimeDecay(0.1, decay_steps=40, decay_rate=3), 41)
    # The log of Caffe's LeNet example: base_lr 0.01, gamma 1e-4, power 0.75.
    lr, _ = inverse(0.01).sample(10_001)
    assert [f"{lr[step]:.6g}" for step in (0, 100, 200, 9900)] == ["0.01", "0.00992565", "0.00985258", "0.00596843"]


def test_polynomial() -> None:
    from keras.optimizers.schedules import PolynomialDecay

    for power in (0.9, 1, 2):
        assert_keras(polynomial(0.1, power=power), PolynomialDecay(0.1, 40, end_learning_rate=0, power=power), 41)
    to_a_tenth = PolynomialDecay(0.1, 40, end_learning_rate=0.01, power=3)
    assert_keras(polynomial(0.1, power=3, final_div_factor=10), to_a_tenth, 41)
    # The example in the documentation of PyTorch's PolynomialLR.
    assert polynomial(0.001).sample(5)[0] == pytest.approx([0.001, 0.00075, 0.0005, 0.00025, 0])


def test_flat_cosine_is_fit_flat_cos_of_fastai() -> None:
    def theirs(pct: float) -> float:
        if pct < 0.75:
            return 0.1
        return 1e-6 + (1 + math.cos(math.pi * (pct - 0.75) / 0.25)) * (0.1 - 1e-6) / 2

    # fastai stops at (N - 1) / N, one step short of its final value.
    lr, momentum = flat_cosine(0.1).sample(41)
    np.testing.assert_allclose(lr[:40], [theirs(step / 40) for step in range(40)], rtol=1e-12)
    assert lr[40] == 1e-6
    assert momentum is None


@pytest.mark.parametrize(
    ("anneal", "falls"),
    [
        ("linear", lambda t: 1 - t),
        ("sqrt", lambda t: 1 - math.sqrt(t)),
        ("cosine", lambda t: (1 + math.cos(math.pi * t)) / 2),
    ],
)
def test_warmup_stable_decay_is_the_one_of_transformers(anneal: str, falls: Any) -> None:
    def theirs(step: int) -> float:  # get_wsd_schedule with 10 steps of warm-up, 70 stable, 20 of decay
        if step < 10:
            return step / 10
        return 1.0 if step < 80 else falls((step - 80) / 20)

    # Their warm-up starts at 0, ours as low as one likes.
    schedule = warmup_stable_decay(1.0, warmup_pct=0.1, decay_pct=0.2, div_factor=1e15, anneal=anneal)
    np.testing.assert_allclose(schedule.sample(101)[0], [theirs(step) for step in range(101)], rtol=0, atol=1e-14)


# PyTorch's own tests of CyclicLR: from 1 to 5 in 4 steps, momentum the other way round (ours is a tenth of it).
TRIANGULAR = [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3]
TRIANGULAR2 = [1, 2, 3, 4, 5, 4, 3, 2, 1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.25, 1.5, 1.75, 2, 1.75]
TRIANGULAR2_MOMENTUM = [5, 4, 3, 2, 1, 2, 3, 4, 5, 4.5, 4, 3.5, 3, 3.5, 4, 4.5, 5, 4.75, 4.5, 4.25, 4, 4.25]
TRIANGLES = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25, 0.5, 0.75, 1]


def test_cyclic_is_cyclic_lr_of_pytorch() -> None:
    lr, momentum = cyclic(5, (0.5, 0.1), cycles=2, div_factor=5).sample(17)
    assert lr[:11] == pytest.approx(TRIANGULAR, rel=1e-14)
    assert momentum[:11] == pytest.approx([(6 - value) / 10 for value in TRIANGULAR], rel=1e-14)

    lr, momentum = cyclic(5, (0.5, 0.1), cycles=3, div_factor=5, mode="triangular2").sample(25)
    assert lr[:22] == pytest.approx(TRIANGULAR2, rel=1e-14)
    assert momentum[:22] == pytest.approx([value / 10 for value in TRIANGULAR2_MOMENTUM], rel=1e-14)

    lr, momentum = cyclic(5, (0.5, 0.1), cycles=2, div_factor=5, mode="exp_range", gamma=0.9**8).sample(17)
    amplitudes = [4 * height * 0.9**step for step, height in enumerate(TRIANGLES)]
    assert lr[:13] == pytest.approx([1 + amplitude for amplitude in amplitudes], rel=1e-13)
    assert momentum[:13] == pytest.approx([0.5 - amplitude / 10 for amplitude in amplitudes], rel=1e-13)


def test_sgdr_is_the_one_of_keras_and_of_pytorch() -> None:
    from keras.optimizers.schedules import CosineDecayRestarts

    lr, _ = sgdr(0.1).sample(71)
    decay = CosineDecayRestarts(0.1, first_decay_steps=10, t_mul=2.0)
    np.testing.assert_allclose(lr[:70], [float(decay(step)) for step in range(70)], rtol=0, atol=1e-7)
    assert (lr[0], lr[10], lr[30], lr[70]) == (0.1, 0.1, 0.1, 0)

    for mult in (1, 2, 4):  # the loop in PyTorch's own test of CosineAnnealingWarmRestarts
        theirs, since, cycle, floor = [0.05], 0, 10, 1e-10
        total = sum(10 * mult**number for number in range(3))
        for _ in range(1, total):
            since += 1
            if since >= cycle:
                since, cycle = since - cycle, mult * cycle
            theirs.append(floor + (0.05 - floor) * (1 + math.cos(math.pi * since / cycle)) / 2)
        lr, _ = sgdr(0.05, cycle_mult=mult, final_div_factor=0.05 / floor).sample(total + 1)
        np.testing.assert_allclose(lr[:-1], theirs, rtol=0, atol=1e-16)


def test_onecycle_smith_is_what_his_logs_show() -> None:
    # ResNet-56: base_lr 0.08, max_lr 0.8, stepsize 4,003, max_iter 9,277.
    lr, momentum = onecycle_smith(0.8, pct_start=4003 / 9276).sample(9277)
    assert (lr[0], lr[4003], momentum[4003]) == (0.08, 0.8, 0.85)
    assert f"{lr[4800]:.6g}" == "0.640719"
    assert lr[8000] == pytest.approx(0.00119905, rel=1e-4)  # Caffe computes in float32
    np.testing.assert_allclose(lr[8006:], 8e-5, rtol=1e-14)
    # Without the second dip of momentum in the tail, which his formula begins.
    assert (momentum[8006:] == 0.95).all()
    # ImageNet, ResNet-50: .05 to 1 in 95,000 of 200,000 steps.
    lr, _ = onecycle_smith(1.0, div_factor=20, pct_start=95_000 / 199_999).sample(200_000)
    assert (lr[0], lr[95_000], lr[199_999]) == (0.05, 1, 5e-5)
    # The Caffe formula on ten steps: stepsize 4, from 0.1 to 1.
    lr, momentum = onecycle_smith(1.0, pct_start=4 / 9).sample(10)
    assert lr == pytest.approx([0.1, 0.325, 0.55, 0.775, 1, 0.75, 0.5, 0.25, 1e-4, 1e-4], rel=1e-14)
    assert momentum == pytest.approx([0.95, 0.925, 0.9, 0.875, 0.85, 0.875, 0.9, 0.925, 0.95, 0.95], rel=1e-14)


def test_fastai_v2_is_onecycle_fastai_with_two_other_numbers() -> None:
    lr, momentum = onecycle_fastai(1, pct_start=0.25, final_div_factor=4000).sample(21)
    theirs = [0.04, 0.371672, 0.908328, 0.989074, 0.904509, 0.750003, 0.552269, 0.345498, 0.165443, 0.0432368]
    assert lr[:20:2] == pytest.approx(theirs, rel=2e-6)
    theirs = [0.95, 0.9155, 0.8595, 0.8511, 0.8595, 0.875, 0.8948, 0.9155, 0.9335, 0.9457]
    assert momentum[:20:2] == pytest.approx(theirs, abs=6e-5)


def test_phases_as_a_user_tells_them() -> None:
    two = [
        {"pct": 0.3, "lr": [0.04, 1], "momentum": [0.95, 0.85], "anneal": "cosine"},
        {"pct": 0.7, "lr": [1, 4e-6], "momentum": [0.85, 0.95], "anneal": "cosine"},
    ]
    for mine, theirs in zip(phases(0.5, two).sample(100), onecycle_fastai(0.5).sample(100), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    fall = [{"pct": 1, "lr": [1, 0.1], "anneal": "polynomial", "power": 2}]
    assert phases(0.3, fall).phases == polynomial(0.3, power=2, final_div_factor=10).phases
    assert phases(0.4).sample(11)[0] == pytest.approx([0, 0.2, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0])


@pytest.mark.parametrize(
    ("told", "complaint", "kind"),
    [
        ([{"pct": 1}], "phases[0]: got ", TypeError),
        (["up"], "phases[0]: got 'up', ", TypeError),
        ([{"pct": 1, "lr": [1, 0], "anel": "cosine"}], "phases[0]: got ", TypeError),
        ([{"pct": 1, "lr": 3}], "phases[0].lr: got 3, ", TypeError),
        ([{"pct": 1, "lr": [1, -1]}], "phases[0].lr: got -1, ", ValueError),
        ([{"pct": 2, "lr": [1, 0]}], "phases[0].pct: got 2, ", ValueError),
        ([{"pct": 0.5, "lr": [1, 1]}, {"pct": 0.5, "lr": [1, 0], "anneal": "cubic"}], "phases[1].anneal: ", ValueError),
        ([{"pct": 1, "lr": [1, 0], "anneal": "exponential"}], "phases[0].lr: got [1.0, 0.0], expected num", ValueError),
        ([{"pct": 1, "lr": [1, 0], "anneal": "polynomial", "power": 0}], "phases[0].power: got 0, ", ValueError),
        ([{"pct": 1, "lr": [1, 0], "endpoint": 1}], "phases[0].endpoint: got 1, ", TypeError),
        (
            [{"pct": 1, "lr": [1, 0], "endpoint": False}],
            "endpoint: got False in the last phase of phases, ",
            ValueError,
        ),
        ("up", "phases: got 'up', ", TypeError),
        ([], "phases: got (), ", ValueError),
    ],
)
def test_phases_that_are_refused(told: Any, complaint: str, kind: type[Exception]) -> None:
    with pytest.raises(checks.UserError) as caught:
        phases(1.0, told)
    assert isinstance(caught.value, kind)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: exponential(0.1, final_div_factor=None), "final_div_factor"),
        (lambda: inverse(0.1, gamma=0), "gamma"),
        (lambda: inverse(0.1, power=-1), "power"),
        (lambda: polynomial(0.1, power="2"), "power"),
        (lambda: flat_cosine(0.1, pct_start=1), "pct_start"),
        (lambda: warmup_stable_decay(0.1, warmup_pct=0.5, decay_pct=0.5), "decay_pct"),
        (lambda: warmup_stable_decay(0.1, anneal="exponential"), "lr"),
        (lambda: cyclic(0.1, cycles=0), "cycles"),
        (lambda: cyclic(0.1, mode="triangular3"), "mode"),
        (lambda: cyclic(0.1, mode="exp_range", gamma=0.1), "gamma"),
        (lambda: sgdr(0.1, cycle_mult=0.5), "cycle_mult"),
        (lambda: onecycle_smith(0.1, pct_start=0.5), "pct_start"),
    ],
)
def test_settings_that_are_refused(make: Any, setting: str) -> None:
    with pytest.raises(checks.UserError, match=rf"^{setting}: .*expected ") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_exponential_phase_rises_by_the_same_factor() -> None:
    # As a range test over eight decades: 81 steps, ten a decade.
    lr, _ = Schedule((Phase(1.0, (1e-7, 10.0), anneal="exponential"),)).sample(81)
    np.testing.assert_allclose(lr, [10 ** (step / 10 - 7) for step in range(81)], rtol=1e-13)
    assert (lr[0], lr[-1]) == (1e-7, 10.0)


def test_a_phase_without_its_endpoint_gives_its_last_step_to_the_next() -> None:
    schedule = Schedule((Phase(0.5, (4, 0), (0.9, 0.5), endpoint=False), Phase(0.5, (7, 7), (0.5, 0.5))))
    lr, momentum = schedule.sample(9)
    assert lr.tolist() == [4, 3, 2, 1, 7, 7, 7, 7, 7]
    assert momentum == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert "endpoint=False" in repr(schedule)


@pytest.mark.parametrize("cycles", [2, 7, 20, 33])
def test_knots_of_many_phases_stay_with_their_shares(cycles: int) -> None:
    schedule = cyclic(0.1, cycles=cycles)
    for steps in (schedule.min_steps, 625, 1000, 1001, 5625):
        shares = np.arange(1, 2 * cycles + 1) / (2 * cycles) * (steps - 1)
        assert np.abs(np.array(schedule.knots(steps)) - shares).max() < 1.01
