"""The policies as values, and what they refuse."""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sconv.schedules
from sconv import checks
from sconv.schedules import SHAPES, Phase, Schedule, baseline, constant, cosine, fine_tune, onecycle, onecycle_fastai

POLICIES = [onecycle, onecycle_fastai, baseline, constant, cosine]
CYCLING = [onecycle, onecycle_fastai]
HOLDING = [baseline, constant, cosine]


@pytest.mark.parametrize(
    ("steps", "counts"), [(8, (5, 2, 1)), (16, (10, 4, 2)), (80, (50, 20, 10)), (80_000, (50_000, 20_000, 10_000))]
)
def test_baseline_drops_at_five_and_seven_eighths(steps: int, counts: tuple[int, int, int]) -> None:
    lr, momentum = baseline(0.35).sample(steps)
    np.testing.assert_allclose(lr, np.repeat([0.35, 0.035, 0.0035], counts), rtol=1e-15)
    assert np.array_equal(momentum, np.full(steps, 0.9))


def test_baseline_with_its_own_drops_and_factor() -> None:
    lr, _ = baseline(8, drops=[0.5], factor=0.25).sample(10)
    # The knot is round(4.5), 4 in Python: the fifth step is the last before the drop.
    assert lr.tolist() == [8] * 5 + [2] * 5
    lr, _ = baseline(8, drops=[0.2, 0.5, 0.9], factor=0.5).sample(11)
    assert lr.tolist() == [8] * 3 + [4] * 3 + [2] * 4 + [1]
    assert np.array_equal(baseline(8, drops=[]).sample(5)[0], constant(8).sample(5)[0])


def test_cosine_is_the_one_keras_has() -> None:
    from keras.optimizers.schedules import CosineDecay

    # Keras computes in float32: its rounding, in units of the highest rate, is what they may differ by.
    def assert_same(schedule: Schedule, decay: Any, steps: int) -> None:
        lr, _ = schedule.sample(steps)
        theirs = np.array([float(decay(step)) for step in range(steps)])
        np.testing.assert_allclose(lr, theirs, rtol=0, atol=0.1 * 5e-7)

    assert_same(cosine(0.1), CosineDecay(0.1, decay_steps=40), 41)
    assert_same(cosine(0.1, div_factor=5, final_div_factor=2), CosineDecay(0.1, decay_steps=40, alpha=0.1), 41)
    warm = CosineDecay(0.01, warmup_target=0.1, warmup_steps=10, decay_steps=30, alpha=0.05)
    assert_same(cosine(0.1, warmup_pct=0.25, div_factor=10, final_div_factor=2), warm, 41)


def test_fine_tune_is_a_rise_and_then_a_cycle_to_half_of_it() -> None:
    rates, momenta = fine_tune(0.2, epochs=5, freeze_epochs=1).sample(500)
    np.testing.assert_allclose(rates[[0, 100, 101, 220, 499]], [0.2 / 25, 0.2, 0.1 / 5, 0.1, 0.1 / 1e5], rtol=1e-2)
    assert np.argmax(rates) == 100
    np.testing.assert_allclose(momenta[[0, 100, 101, 220, 499]], [0.95, 0.85, 0.95, 0.85, 0.95], rtol=1e-3)
    # Either part can be all there is.
    assert fine_tune(0.2, 3, 3).sample(9)[0].max() == 0.2 == fine_tune(0.2, 3, 3).sample(9)[0][-1]
    assert fine_tune(0.2, 3, 0).sample(9)[0].max() == 0.1
    with pytest.raises(checks.SettingError, match=r"^freeze_epochs: got 4, expected .* at most 3"):
        fine_tune(0.2, 3, 4)


@pytest.mark.parametrize("policy", POLICIES)
def test_momentum_held(policy: Callable[..., Schedule]) -> None:
    schedule = policy(0.1, momentum=0.7)
    assert schedule.has_momentum
    _, momentum = schedule.sample(50)
    assert np.array_equal(momentum, np.full(50, 0.7))
    _, momentum = policy(0.1, momentum=0).sample(50)
    assert np.array_equal(momentum, np.zeros(50))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_momentum(policy: Callable[..., Schedule]) -> None:
    schedule = policy(0.1, momentum=None)
    assert not schedule.has_momentum
    lr, momentum = schedule.sample(50)
    assert momentum is None
    assert np.array_equal(lr, policy(0.1, momentum=0.9).sample(50)[0])


@pytest.mark.parametrize("policy", CYCLING)
def test_momentum_cycled(policy: Callable[..., Schedule]) -> None:
    assert policy(0.1, momentum=[0.95, 0.85]) == policy(0.1, momentum=(0.95, 0.85)) == policy(0.1)
    _, momentum = policy(0.1, momentum=[0.9, 0.6]).sample(101)
    assert (momentum[0], momentum.min(), momentum[-1]) == (0.9, 0.6, 0.9)
    _, momentum = policy(0.1, momentum=[0.9, 0.9]).sample(101)
    assert np.array_equal(momentum, np.full(101, 0.9))


def test_momentum_when_none_is_asked_for() -> None:
    assert onecycle(0.1).sample(50)[1].min() == 0.85
    assert onecycle_fastai(0.1).sample(50)[1].min() == 0.85
    assert (baseline(0.1).sample(50)[1] == 0.9).all()
    assert constant(0.1).sample(50)[1] is None
    assert cosine(0.1).sample(50)[1] is None


def test_lists_and_tuples_alike() -> None:
    assert baseline(0.1, drops=[0.5, 0.75]) == baseline(0.1, drops=(0.5, 0.75))
    assert Phase(1, [0.1, 0], [0.9, 0.8]) == Phase(1, (0.1, 0), (0.9, 0.8))
    assert Schedule([Phase(1, (0.1, 0))]) == Schedule((Phase(1, (0.1, 0)),))
    assert hash(Schedule([Phase(1, [0.1, 0])])) == hash(Schedule((Phase(1, (0.1, 0)),)))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_schedule_is_a_value(policy: Callable[..., Schedule]) -> None:
    schedule = policy(0.1)
    assert schedule == policy(lr_max=0.1)
    assert hash(schedule) == hash(policy(lr_max=0.1))
    assert schedule != policy(0.2)
    assert schedule.name == policy.__name__
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.phases[0].lr = (0.0, 1.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_repr_evaluates_to_the_schedule(policy: Callable[..., Schedule]) -> None:
    schedule = policy(np.float64(0.1))
    assert eval(repr(schedule), {"Schedule": Schedule, "Phase": Phase}) == schedule
    assert repr(schedule).count("Phase(pct=") == len(schedule.phases)
    assert "power=" not in repr(schedule)  # defaults go without saying


def test_importing_the_schedules_imports_no_framework() -> None:
    program = (
        "import sys, sconv.schedules; print(*sorted({'keras', 'tensorflow'} & {n.split('.')[0] for n in sys.modules}))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == []


def refusal(kind: type[Exception], setting: str, value: object, call: Callable[[], object]) -> str:
    """The message of the error that `call` raises, once it is seen to be one line about the setting."""
    with pytest.raises(checks.UserError) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, kind), f"{type(caught.value).__name__} is no {kind.__name__}"
    assert message.startswith(f"{setting}: ")
    assert f"got {value!r}, expected " in message
    assert "\n" not in message
    return message


# What is no number, or none that a setting may be: every setting goes through the same checks, so once for each kind.
NO_NUMBERS = [
    *((value, ValueError) for value in (-0.1, 0, float("nan"), float("inf"))),
    *((value, TypeError) for value in ("0.1", True, None, [0.1], 1j)),
]


@pytest.mark.parametrize(("value", "kind"), NO_NUMBERS)
def test_bad_lr_max_and_steps(value: Any, kind: type[Exception]) -> None:
    for policy in POLICIES:
        message = refusal(kind, "lr_max", value, functools.partial(policy, value))
        assert "above 0" in message
        refusal(kind, "steps", value, functools.partial(policy(0.1).sample, value))


@pytest.mark.parametrize(
    ("policies", "setting", "wrong", "of_wrong_type"),
    [
        ([onecycle], "pct_start", [0, 0.5], ["0.3"]),
        ([onecycle_fastai], "pct_start", [0, 1], [None]),
        ([onecycle, onecycle_fastai, cosine], "div_factor", [0.99], [True]),
        ([onecycle, onecycle_fastai, cosine], "final_div_factor", [0.99], ["100"]),
        (CYCLING, "anneal", ["cubic", "Linear", None], []),
        ([cosine], "warmup_pct", [1, -0.1], [None]),
        ([baseline], "factor", [0, 1.1], [None]),
        ([baseline], "drops", [[0.875, 0.625], [0.5, 0.5]], [0.5, "0.5", None]),
        (POLICIES, "momentum", [1.0, -0.1], ["0.9", True]),
        (CYCLING, "momentum", [[0.85, 0.95]], [[0.9, 0.8, 0.9], [0.9]]),
        (HOLDING, "momentum", [], [[0.95, 0.85]]),
    ],
)
def test_bad_setting(
    policies: list[Callable[..., Schedule]], setting: str, wrong: list[Any], of_wrong_type: list[Any]
) -> None:
    for policy in policies:
        for kind, values in ((ValueError, wrong), (TypeError, of_wrong_type)):
            for value in values:
                refusal(kind, setting, value, functools.partial(policy, 0.1, **{setting: value}))


@pytest.mark.parametrize("part", [1.0, -0.1, "0.95", True])
def test_bad_part_of_a_pair_or_a_list_is_named(part: Any) -> None:
    refusal(Exception, "momentum", part, lambda: onecycle(0.1, momentum=[part, 0.85]))
    refusal(Exception, "momentum", part, lambda: onecycle_fastai(0.1, momentum=[0.95, part]))
    refusal(Exception, "drops", part, lambda: baseline(0.1, drops=[part]))


@pytest.mark.parametrize("steps", [50.0, np.int64(50), np.int32(50), np.float64(50)])
def test_whole_steps_of_any_type(steps: Any) -> None:
    lr, _ = onecycle(0.1).sample(steps)
    assert np.array_equal(lr, onecycle(0.1).sample(50)[0])


def test_bad_phase() -> None:
    for value in (0, 1.5, "all"):
        refusal(Exception, "pct", value, functools.partial(Phase, value, (0.1, 0)))
    for lr in (0.1, (0.1, 0, 0.1)):
        refusal(TypeError, "lr", lr, functools.partial(Phase, 1, lr))
    refusal(TypeError, "momentum", 0.9, lambda: Phase(1, (0.1, 0), 0.9))
    refusal(ValueError, "phases", (), lambda: Schedule(()))


def test_phases_that_make_no_schedule() -> None:
    half = Phase(0.5, (0.1, 0))
    with pytest.raises(checks.SettingError, match=r"^pct: the phases of half add up to 0\.5, expected 1$"):
        Schedule((half,), "half")
    with pytest.raises(checks.SettingError, match=r"^pct: .* add up to 1\.5, expected 1$"):
        Schedule((half, half, half))
    with pytest.raises(checks.SettingError, match=r"^momentum: .* in some phases only"):
        Schedule((half, Phase(0.5, (0, 0.1), (0.9, 0.8))))
    with pytest.raises(checks.SettingError, match=r"^lr: got -0\.1, "):
        Phase(1, (0.1, -0.1))
    with pytest.raises(checks.SettingError, match=r"^momentum: got 1\.0, "):
        Phase(1, (0.1, 0), (0.9, 1.0))


def test_shares_with_three_digits_or_more_make_a_whole() -> None:
    thirds = [Schedule(tuple(Phase(share, (0.1, 0.1)) for share in shares)) for shares in ([0.333] * 3, [1 / 3] * 3)]
    assert thirds[0].knots(100) == thirds[1].knots(100)
    assert sum(phase.pct for phase in thirds[0].phases) == pytest.approx(1, abs=1e-12)
    rise = Schedule((Phase(0.3333333, (0, 0.1)), Phase(0.6666666, (0.1, 0))))
    assert rise.knots(31) == [10, 30]
    with pytest.raises(checks.SettingError, match=r"add up to 0\.99, expected 1$"):
        Schedule((Phase(0.33, (0, 0.1)), Phase(0.66, (0.1, 0))))


def test_an_unknown_anneal_is_answered_with_the_known_ones() -> None:
    with pytest.raises(checks.SettingError) as caught:
        onecycle(0.1, anneal="cubic")
    assert str(caught.value) == f"anneal: got 'cubic', expected one of {', '.join(SHAPES)}"


def test_the_table_of_jobs_has_every_policy() -> None:
    policies = set(sconv.schedules.__all__) - {"SHAPES", "Phase", "Schedule"}
    assert set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", str(sconv.schedules.__doc__))))) == policies
