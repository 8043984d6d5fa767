"""The statistics, against numbers worked out by hand, SciPy's own tests, and simulations with a known speed-up."""

import numpy as np
import pytest
from scipy import stats

from sconv.report.statistics import TimeToTarget, difference, first_at_or_above, mean_std, speedup


def test_the_deviation_has_the_divisor_n_less_one():
    # Deviations -2, 0, 2: 8 / 2 = 4, root 2.
    found = mean_std([0.90, 0.92, 0.94])
    assert (found.mean, found.std, found.n) == (pytest.approx(0.92), pytest.approx(0.02), 3)


def test_one_value_has_no_deviation_and_no_value_no_mean():
    assert mean_std([0.9]).std is None
    assert mean_std([]) is None


@pytest.mark.parametrize(
    ("target", "cost"),
    [(0.5, 100), (0.75, 200), (0.8, 200), (0.81, 400), (0.9, 400), (0.91, None)],
)
def test_a_target_is_reached_at_the_first_evaluation_at_or_above_it(target, cost):
    # The dip at 300 does not matter, and nothing between two evaluations is made up.
    accuracies, steps = np.array([0.6, 0.8, 0.7, 0.9]), np.array([100, 200, 300, 400])
    assert first_at_or_above(accuracies, steps, target) == cost


def test_a_target_that_was_an_accuracy_is_reached_by_it_after_nine_digits():
    assert first_at_or_above(np.array([float(f"{1 / 3:.9g}")]), np.array([7]), 1 / 3) == 7


def test_the_speedup_is_the_ratio_of_the_median_costs():
    found = speedup(TimeToTarget((400, 380, 450, 410, 360)), [500] * 5, TimeToTarget((90, 100, 105, 99, 120)))
    assert found.value == pytest.approx(4.0)
    assert found.low < 4.0 < found.high
    # From the fastest baseline over the slowest of the group to the other way round is all there can be.
    assert 360 / 120 <= found.low < found.high <= 450 / 90
    assert (found.at_least, found.note) == (False, "")


@pytest.mark.parametrize(
    ("baseline", "group", "value", "at_least", "note"),
    [
        # Medians 400 and 410 (of 400 and 420), then of 500, the whole budget; and 100, 110 (of 100 and 120), never.
        ((400, 380, 420, None), (90, 110, 100, None), 410 / 105, False, "1 of 4 never reached it"),
        ((400, None, None), (90, 110, 100), 5, True, "2 of 3 baseline seeds end below it"),
        ((400, 380, 420), (90, None, 100), 4, False, "1 of 3 never reached it"),
        ((400, 380, 420), (None,) * 3, 0, False, "3 of 3 never reached it"),
        ((400, 380) * 5, (90, *[None] * 9), 0, False, "9 of 10 never reached it"),
        # Finite medians count no budgets: of 9, 10, 12 and two that miss, 12.
        ((12, 9, 10, None, None), (4,) * 5, 3, False, "2 of 5 baseline seeds end below it"),
    ],
)
def test_a_seed_that_never_reaches_it_takes_for_ever(baseline, group, value, at_least, note):
    found = speedup(TimeToTarget(baseline), [500] * len(baseline), TimeToTarget(group))
    assert (found.value, found.at_least) == (pytest.approx(value), at_least)
    assert note in found.note


@pytest.mark.parametrize(
    ("baseline", "group", "note"),
    [
        ((None, None, 400), (None, None, 400), "2 of 3 never reached it; 2 of 3 baseline seeds end below it"),
        ((400, 380, 420), (90, None, None), "2 of 3 never reached it"),
        ((400, 380, 420, None, None), (90, 100, None, None, None), "no difference shown"),
        ((0, 0, 0), (0, 0, 0), "took no time"),
    ],
)
def test_that_half_of_a_few_seeds_fall_short_is_no_never(baseline, group, note):
    found = speedup(TimeToTarget(baseline), [500] * len(baseline), TimeToTarget(group))
    assert found.value is None
    assert note in found.note


def test_of_two_schedules_alike_next_to_none_is_said_never_to_get_there():
    random, never = np.random.default_rng(0), 0
    for _ in range(300):
        ends = [0.9 + 0.01 * random.normal(size=5) for _ in range(2)]
        target = ends[0].mean()
        costs = [TimeToTarget(tuple(100.0 if end >= target else None for end in each)) for each in ends]
        never += speedup(costs[0], [100] * 5, costs[1]).value == 0
    assert never <= 15


def test_seeds_that_never_reach_it_are_in_the_interval():
    costs = TimeToTarget((400, 380, 450, 410, 360))
    missed = speedup(costs, [500] * 5, TimeToTarget((90, 100, 105, None, None)))
    assert (missed.value, missed.low) == (pytest.approx(400 / 105), 0)
    beaten = speedup(TimeToTarget((400, 380, 450, None, None)), [500] * 5, TimeToTarget((90, 100, 105, 99, 120)))
    assert (beaten.value, beaten.at_least, beaten.high) == (pytest.approx(4.5), False, np.inf)
    assert 380 / 120 <= beaten.low <= 4.5


@pytest.mark.parametrize(
    ("baseline", "group", "said"),
    [
        ((400,), (100, 110, 120), "1 seed: no interval of the speed-up (needs 5)"),
        ((400, 420, 410, 430), (100, 110, 120, 130, 140), "4 seeds: no interval of the speed-up (needs 5)"),
        ((400,) * 5, (100,) * 5, "every seed alike: no interval"),
        ((), (), "no finished seeds"),
    ],
)
def test_no_interval_is_made_up_where_seeds_are_too_few_or_too_alike(baseline, group, said):
    found = speedup(TimeToTarget(baseline), [500] * len(baseline), TimeToTarget(group))
    assert (found.low, found.high) == (None, None)
    assert found.note == said


def test_the_interval_is_the_same_each_time_and_turns_with_the_comparison():
    one, other = (400, 360, 450, 380, 410), (100, 120, 90, 105, 99)
    forth = speedup(TimeToTarget(one), [500] * 5, TimeToTarget(other))
    assert forth == speedup(TimeToTarget(one), [500] * 5, TimeToTarget(other))
    back = speedup(TimeToTarget(other), [500] * 5, TimeToTarget(one))
    assert (1 / back.high, 1 / back.low) == (pytest.approx(forth.low, rel=0.05), pytest.approx(forth.high, rel=0.05))


@pytest.mark.parametrize(
    ("n", "deviations", "seed"),
    [(5, (0.1, 0.1), 0), (5, (0.15, 0.3), 1), (8, (0.2, 0.1), 2)],
    ids=["five seeds", "five seeds, unequal spread", "eight seeds"],
)
def test_the_95_percent_interval_holds_the_true_speedup_of_simulated_comparisons(n, deviations, seed):
    # Costs whose medians are 160 and 40. Of so few seeds medians have steps: the interval errs to the wide side.
    random, covered = np.random.default_rng(seed), 0
    for _ in range(500):
        costs = [
            TimeToTarget(tuple(median * np.exp(random.normal(0, deviation, n))))
            for median, deviation in zip((160, 40), deviations, strict=True)
        ]
        found = speedup(costs[0], [1000] * n, costs[1])
        covered += found.low <= 4 <= found.high
    assert 470 <= covered <= 494


@pytest.mark.parametrize(
    ("group", "baseline"),
    [
        ([0.95, 0.96, 0.94], [0.90, 0.93, 0.91]),
        ([0.5, 0.7], [0.6, 0.61, 0.62, 0.66]),
        ([0.9, 0.91, 0.9], [0.8, 0.7, 0.9]),
    ],
)
def test_the_difference_is_welchs_test(group, baseline):
    expected = stats.ttest_ind(group, baseline, equal_var=False)
    interval = expected.confidence_interval(0.95)
    found = difference(group, baseline)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.mean == pytest.approx(np.mean(group) - np.mean(baseline))


@pytest.mark.parametrize(
    ("group", "baseline", "said"),
    [([0.9], [0.8, 0.7], "one seed: no test"), ([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], "every seed alike: no test")],
)
def test_no_test_is_made_up(group, baseline, said):
    found = difference(group, baseline)
    assert (found.low, found.high, found.p, found.note) == (None, None, None, said)
