"""What holds for every policy, whatever its settings and its number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sconv import checks, schedules
from sconv.schedules import Schedule, baseline, constant, cosine, onecycle, onecycle_fastai

LONG = 10**6
MOST_DRAWN = 3000


class Run(NamedTuple):
    """A policy, the settings it was made with, and a number of steps."""

    policy: Callable[..., Schedule]
    settings: dict[str, Any]
    steps: int

    @property
    def schedule(self) -> Schedule:
        return self.policy(**self.settings)


RATES = st.floats(1e-6, 1e3)
DIVISORS = st.floats(1.01, 1e4)
FINAL_DIVISORS = st.floats(1, 1e6)
SHAPES = st.sampled_from(["linear", "cosine"])
HELD = st.none() | st.floats(0, 0.99)
PAIRS = st.builds(lambda low, gap: (low + gap, low), st.floats(0, 0.9), st.floats(0.01, 0.09))

ONECYCLE = {
    "lr_max": RATES,
    "momentum": PAIRS,
    "div_factor": DIVISORS,
    "final_div_factor": FINAL_DIVISORS,
    "pct_start": st.floats(0.01, 0.49),
    "anneal": SHAPES,
}
FASTAI = {**ONECYCLE, "pct_start": st.floats(0.01, 0.99)}


def drops(at_most: int) -> st.SearchStrategy[list[float]]:
    percent = st.lists(st.integers(1, 99), max_size=at_most, unique=True)
    return percent.map(lambda at: [each / 100 for each in sorted(at)])


BASELINE = {"lr_max": RATES, "momentum": HELD, "drops": drops(2), "factor": st.floats(0.01, 0.99)}
CONSTANT = {"lr_max": RATES, "momentum": HELD}
COSINE = {"lr_max": RATES, "momentum": HELD, "final_div_factor": st.none() | FINAL_DIVISORS}
WARM_COSINE = {**COSINE, "div_factor": DIVISORS, "warmup_pct": st.floats(0.01, 0.99)}


@st.composite
def runs(draw: st.DrawFn, policy: Callable[..., Schedule], options: dict[str, st.SearchStrategy[Any]]) -> Run:
    made_with = draw(st.fixed_dictionaries(options))
    least = policy(**made_with).min_steps
    return Run(policy, made_with, draw(st.integers(least, MOST_DRAWN)))


ONECYCLE_RUNS = runs(onecycle, ONECYCLE)
FASTAI_RUNS = runs(onecycle_fastai, FASTAI)
BASELINE_RUNS = runs(baseline, BASELINE)
CONSTANT_RUNS = runs(constant, CONSTANT)
COSINE_RUNS = runs(cosine, COSINE)
WARM_COSINE_RUNS = runs(cosine, WARM_COSINE)
ONE_PEAK_RUNS = ONECYCLE_RUNS | FASTAI_RUNS
ALL_RUNS = ONE_PEAK_RUNS | BASELINE_RUNS | CONSTANT_RUNS | COSINE_RUNS | WARM_COSINE_RUNS

ONECYCLE_LONG = Run(onecycle, {"lr_max": 3.0, "momentum": (0.95, 0.85), "div_factor": 25.0, "pct_start": 0.45}, LONG)
FASTAI_LONG = Run(onecycle_fastai, {"lr_max": 0.1, "momentum": (0.95, 0.85), "div_factor": 7.0, "pct_start": 0.3}, LONG)
BASELINE_LONG = Run(baseline, {"lr_max": 0.35}, LONG)
CONSTANT_LONG = Run(constant, {"lr_max": 0.1, "momentum": 0.9}, LONG)
COSINE_LONG = Run(cosine, {"lr_max": 0.1}, LONG)
WARM_COSINE_LONG = Run(cosine, {"lr_max": 0.1, "div_factor": 25.0, "warmup_pct": 0.05}, LONG)


def levels(made_with: dict[str, Any], final_div_factor: float | None) -> tuple[float, float, float]:
    """First, highest and last learning rate, as the policies document them."""
    lr_max, div_factor = made_with["lr_max"], made_with.get("div_factor", 25.0)
    final_div_factor = made_with.get("final_div_factor", final_div_factor)
    final = 0.0 if final_div_factor is None else lr_max / (div_factor * final_div_factor)
    return lr_max / div_factor, lr_max, final


def one_peak_levels(run: Run) -> tuple[float, float, float]:
    return levels(run.settings, 100.0 if run.policy is onecycle else 1e4)


def peak_step(run: Run) -> int:
    return round(run.settings["pct_start"] * (run.steps - 1))


@settings(deadline=None)
@given(ALL_RUNS)
@example(ONECYCLE_LONG)
@example(FASTAI_LONG)
@example(BASELINE_LONG)
@example(CONSTANT_LONG)
@example(COSINE_LONG)
@example(WARM_COSINE_LONG)
def test_one_finite_float64_for_every_step(run: Run) -> None:
    lr, momentum = run.schedule.sample(run.steps)
    assert (momentum is None) == (run.settings.get("momentum", 0.9 if run.policy is baseline else None) is None)
    for values in (lr,) if momentum is None else (lr, momentum):
        assert values.shape == (run.steps,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    assert lr.max() == run.settings["lr_max"]
    assert lr.min() >= 0
    if run.policy is constant:
        assert (lr == run.settings["lr_max"]).all()
        assert momentum is None or (momentum == run.settings["momentum"]).all()


@pytest.mark.parametrize("schedule", [onecycle(3.0), baseline(0.1), constant(0.1), cosine(0.1)])
def test_sampling_twice_gives_equal_and_separate_arrays(schedule: Schedule) -> None:
    first, _ = schedule.sample(100)
    kept = first.copy()
    first[:] = -1
    assert np.array_equal(schedule.sample(100)[0], kept)


@settings(deadline=None)
@given(ONE_PEAK_RUNS)
@example(ONECYCLE_LONG)
@example(FASTAI_LONG)
def test_one_cycle_learning_rate(run: Run) -> None:
    lr, _ = run.schedule.sample(run.steps)
    start, peak, final = one_peak_levels(run)
    top, last = peak_step(run), run.steps - 1

    assert run.schedule.knots(run.steps) == ([top, 2 * top, last] if run.policy is onecycle else [top, last])
    assert lr[0] == start
    assert lr[top] == peak
    assert lr[-1] == final
    assert np.flatnonzero(lr == lr.max()).tolist() == [top]
    assert (np.diff(lr[: top + 1]) > 0).all()
    assert (np.diff(lr[top:]) <= 0).all()
    assert lr.min() == min(start, final)
    if run.policy is onecycle:
        assert lr[2 * top] == start
        assert np.allclose(lr[: top + 1], lr[2 * top : top - 1 : -1], rtol=0, atol=1e-12 * peak)


@settings(deadline=None)
@given(ONE_PEAK_RUNS)
@example(ONECYCLE_LONG)
@example(FASTAI_LONG)
def test_one_cycle_momentum_mirrors_the_learning_rate(run: Run) -> None:
    lr, momentum = run.schedule.sample(run.steps)
    high, low = run.settings["momentum"]
    start, peak, final = one_peak_levels(run)
    top = peak_step(run)
    back = 2 * top if run.policy is onecycle else run.steps - 1

    assert momentum[0] == high
    assert momentum[top] == low
    assert (momentum[back:] == high).all()
    assert np.flatnonzero(momentum == momentum.min()).tolist() == [int(np.argmax(lr))] == [top]
    assert momentum.max() == high
    assert (np.diff(momentum[: top + 1]) < 0).all()
    assert (np.diff(momentum[top:]) >= 0).all()

    foot = start if run.policy is onecycle else final
    rises = (lr[: top + 1] - start) / (peak - start) + (momentum[: top + 1] - low) / (high - low)
    falls = (lr[top : back + 1] - foot) / (peak - foot) + (momentum[top : back + 1] - low) / (high - low)
    assert np.allclose(rises, 1, rtol=0, atol=1e-9)
    assert np.allclose(falls, 1, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(WARM_COSINE_RUNS)
@example(WARM_COSINE_LONG)
def test_cosine_with_warm_up(run: Run) -> None:
    lr, _ = run.schedule.sample(run.steps)
    start, peak, final = levels(run.settings, None)
    top = round(run.settings["warmup_pct"] * (run.steps - 1))

    assert run.schedule.knots(run.steps) == [top, run.steps - 1]
    assert (lr[0], lr[top], lr[-1]) == (start, peak, final)
    assert np.flatnonzero(lr == lr.max()).tolist() == [top]
    assert np.allclose(lr[: top + 1], start + (peak - start) * np.arange(top + 1) / top, rtol=1e-12, atol=0)
    assert (np.diff(lr[top:]) < 0).all()


@settings(deadline=None)
@given(COSINE_RUNS)
@example(COSINE_LONG)
def test_cosine_without_warm_up(run: Run) -> None:
    lr, _ = run.schedule.sample(run.steps)
    made_with = run.settings
    final_div_factor = made_with.get("final_div_factor")
    final = 0.0 if final_div_factor is None else made_with["lr_max"] / (25.0 * final_div_factor)

    assert run.schedule.knots(run.steps) == [run.steps - 1]
    assert (lr[0], lr[-1]) == (made_with["lr_max"], final)
    assert (np.diff(lr) < 0).all()
    angles = np.pi * np.arange(run.steps) / (run.steps - 1)
    expected = final + (made_with["lr_max"] - final) * (1 + np.cos(angles)) / 2
    assert np.allclose(lr, expected, rtol=0, atol=1e-12 * made_with["lr_max"])


@settings(deadline=None)
@given(BASELINE_RUNS)
@example(BASELINE_LONG)
def test_baseline_drops_on_the_step_its_share_falls_on(run: Run) -> None:
    lr, _ = run.schedule.sample(run.steps)
    at, factor = run.settings.get("drops", [0.625, 0.875]), run.settings.get("factor", 0.1)

    rates = [run.settings["lr_max"] * factor**number for number in range(len(at) + 1)]
    assert list(dict.fromkeys(lr.tolist())) == rates
    assert (np.diff(lr) <= 0).all()
    last_before = np.flatnonzero(np.diff(lr))
    shares = np.array(at) * (run.steps - 1)
    assert last_before.tolist()[:1] == [round(share) for share in shares[:1]]
    # Each phase rounds its own length, so the second drop may be a step off its share.
    assert np.all(np.abs(last_before - shares) <= 1)


# Each policy with some settings of its own, all of which are drawn anew for every example.
@pytest.mark.parametrize(
    ("policy", "options"),
    [
        pytest.param(onecycle, ONECYCLE, id="onecycle"),
        pytest.param(onecycle_fastai, FASTAI, id="onecycle_fastai"),
        # The more phases, the further their rounded lengths may add up to more than the run.
        pytest.param(baseline, {**BASELINE, "drops": drops(12)}, id="baseline"),
        pytest.param(constant, CONSTANT, id="constant"),
        pytest.param(cosine, COSINE, id="cosine"),
        pytest.param(cosine, WARM_COSINE, id="cosine-warm-up"),
    ],
)
def test_min_steps_is_the_least_that_always_works(
    policy: Callable[..., Schedule], options: dict[str, st.SearchStrategy[Any]]
) -> None:
    @settings(deadline=None, max_examples=10)
    @given(st.fixed_dictionaries(options), st.data())
    def check(made_with: dict[str, Any], data: st.DataObject) -> None:
        schedule = policy(**made_with)
        least = schedule.min_steps
        for steps in range(least, least + 201):
            lr, _ = schedule.sample(steps)
            assert len(lr) == steps
            knots = schedule.knots(steps)
            assert knots[-1] == steps - 1
            assert len(knots) == 1 or all(np.diff([0, *knots]) > 0)
        if least > 1:
            # The step before the least is what makes it the least; one further down may fit and is refused as well.
            for steps in {least - 1, data.draw(st.integers(1, least - 1))}:
                with pytest.raises(checks.SettingError) as caught:
                    schedule.sample(steps)
                message = str(caught.value)
                assert message.startswith(f"steps: got {steps}, ")
                assert f"at least {least} " in message
                assert "\n" not in message

    check()


@pytest.mark.parametrize(
    ("schedule", "least"),
    [
        # 9 steps: knots 4 and 8, the annihilation has none. 10 steps: knots 4, 8 and 9.
        pytest.param(onecycle(1), 10, id="onecycle"),
        # 2 steps: round(0.3) is 0, so no way up.
        pytest.param(onecycle_fastai(1), 3, id="onecycle_fastai"),
        # 7 steps: knots 4 and 6, nothing left for the third level.
        pytest.param(baseline(1), 8, id="baseline"),
        pytest.param(constant(1), 1, id="constant"),
        # 6 steps: round(0.5) is 0 in Python.
        pytest.param(cosine(1, warmup_pct=0.1), 7, id="cosine-warm-up"),
    ],
)
def test_min_steps_of_the_defaults(schedule: Schedule, least: int) -> None:
    assert schedule.min_steps == least


@pytest.mark.parametrize("policy", [onecycle, onecycle_fastai])
def test_a_div_factor_of_one_starts_at_the_peak(policy: Callable[..., Schedule]) -> None:
    lr, momentum = policy(0.1, div_factor=1).sample(100)
    top = policy(0.1).knots(100)[0]
    assert (lr[: top + 1] == 0.1).all()
    assert momentum[top] == 0.85


def test_one_step_is_enough_only_for_a_rate_that_stays() -> None:
    assert constant(0.1).sample(1)[0].tolist() == [0.1]
    assert cosine(0.1).sample(2)[0].tolist() == [0.1, 0.0]
    with pytest.raises(checks.SettingError, match="steps: got 1, expected at least 2 for cosine"):
        cosine(0.1).sample(1)


def test_many_phases_do_not_drift_from_their_shares() -> None:
    drops = [tenth / 10 for tenth in range(1, 10)]
    schedule = baseline(1.0, drops=drops)
    for steps in range(schedule.min_steps, 400):
        for drop, knot in zip(drops, schedule.knots(steps), strict=False):
            assert abs(knot - drop * (steps - 1)) <= 1


EVERY_POLICY = [getattr(schedules, name) for name in schedules.__all__ if name[0].islower() and name != "range_test"]


@pytest.mark.parametrize("policy", EVERY_POLICY)
@settings(deadline=None, max_examples=30)
@given(peak=RATES, factor=st.floats(1e-6, 1e3), steps=st.integers(100, 400))
def test_scaled_is_the_policy_of_a_scaled_peak(policy: Any, peak: float, factor: float, steps: int) -> None:
    scaled, expected = policy(peak).scaled(factor), policy(peak * factor)
    assert scaled.name == expected.name
    (lr, momentum), (wanted_lr, wanted_momentum) = scaled.sample(steps), expected.sample(steps)
    np.testing.assert_allclose(lr, wanted_lr, rtol=1e-9, atol=1e-15 * peak * factor)
    assert np.array_equal(momentum, wanted_momentum)


@pytest.mark.parametrize("factor", [0, np.inf, "2"])
def test_a_factor_that_scales_nothing_is_refused(factor: Any) -> None:
    with pytest.raises(checks.UserError, match=r"^factor: got .*, expected a finite number above 0$"):
        constant(0.1).scaled(factor)
