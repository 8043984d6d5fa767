"""The reading of a range test on curves whose answer is known."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sconv.checks import SettingError
from sconv.lr_finder import plot
from sconv.lr_finder.recommend import recommend
from sconv.lr_finder.result import RangeTestSettings, analyse
from sconv.lr_finder.rules import MIN_POINTS, RULES
from sconv.lr_finder.smoothing import exceedance, smooth, stop_at

TWO_STEPS = 10**0.162  # of fastai's


def cliff(x):
    return 0.4 + 1.9 / (1 + 10 ** (2 * (x + 2.5))) + 10 ** (3 * x)


def gentle(x):
    return 2.0 - 0.25 * np.tanh(1.5 * (x + 3)) + 10 ** (2 * (x + 0.5))


def two_steps(x):
    return 0.3 + 1.0 / (1 + 10 ** (4 * (x + 4))) + 1.0 / (1 + 10 ** (4 * (x + 2))) + 10 ** (4 * (x + 0.3))


# What the functions of fastai 2.8.12 (callback/schedule.py) answer on these curves at 100 steps from 1e-7 to 10, as
# its finder hands them over: up to the first loss above 4 times the best, less the first 10 and the last 5.
FASTAI = {
    cliff: {"valley": 1.70735e-4, "slide": 9.11163e-4, "minimum": 9.54548e-3, "steep": 2.78256e-3},
    gentle: {"valley": 9.7701e-5, "slide": 2.98365e-4, "minimum": 2.15443e-3, "steep": 9.11163e-4},
    two_steps: {"valley": 1.70735e-4, "slide": 3.35165e-3, "minimum": 6.57933e-3},  # its two steps are equally steep
}


def read(curve, points=100, noise=0.0, low=-7.0, high=1.0, end_lr=None, **settings):
    x = np.linspace(low, high, points)
    losses = curve(x) + noise * np.random.default_rng(0).normal(size=points)
    return analyse(10**x, losses, RangeTestSettings(**{"smoothing": 0.0, **settings}), end_lr)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.98])
def test_smoothing_is_pandas_adjusted_moving_average(smoothing):
    losses = np.random.default_rng(1).normal(2, 1, 300)
    expected = pd.Series(losses).ewm(alpha=1 - smoothing, adjust=True).mean().to_numpy()
    assert smooth(losses, smoothing) == pytest.approx(expected, rel=1e-12)
    assert smooth([], smoothing).shape == (0,)


def hard_batches(kind, steps, seed):
    """Losses of mean about one without any course, some batches of which are far harder than the rest."""
    random = np.random.default_rng(seed)
    rare = random.binomial(32, 0.01, steps)  # in a batch of 32
    positives = random.binomial(32, 0.005, steps)
    return {
        "squares, 1 % outliers": random.chisquare(32, steps) / 32 + rare * 900 / 32 * random.chisquare(1, steps),
        "huber, 1 % outliers": random.chisquare(32, steps) / 80 + rare * np.abs(random.normal(size=steps)),
        "0.5 % positives, weight 200": (32 - positives) / 45 * random.lognormal(0, 0.1, steps) + positives * 4.4,
        "positives unknown so far": (32 - positives) / 3200 * random.lognormal(0, 0.1, steps) + positives * 25,
        "every hundredth a thousandfold": random.lognormal(0, 0.1, steps) + 1000 * (random.random(steps) < 0.01),
        "no variance": 1 + random.pareto(1.5, steps),
    }[kind]


HARD = (
    "squares, 1 % outliers",
    "huber, 1 % outliers",
    "0.5 % positives, weight 200",
    "positives unknown so far",
    "every hundredth a thousandfold",
    "no variance",
)


def over(losses, smoothing, factor=4.0):
    """The first step on which the moving average is so many times its best, whatever the noise; None without one."""
    smoothed = pd.Series(losses).ewm(alpha=1 - smoothing, adjust=True).mean()
    found = np.flatnonzero(smoothed > factor * smoothed.cummin())
    return int(found[0]) if len(found) else None


@pytest.mark.parametrize("kind", HARD)
def test_hard_batches_are_no_divergence(kind):
    level = 0.1 + 0.9 / (1 + 10 ** (2 * np.linspace(-4, 4, 1000)))
    cases = [(course * hard_batches(kind, 1000, seed), 0.9) for seed in range(10) for course in (1.0, level)]
    cases += [(hard_batches(kind, steps, seed), 0.5) for seed in range(10) for steps in (10, 60)]
    assert any(over(*case) is not None for case in cases), "these would not have ended a test anyway"
    assert [stop_at(*case, 4.0) for case in cases] == [None] * len(cases)


def test_a_rise_of_the_usual_batch_is_no_divergence_where_the_rare_ones_fall():
    for seed in range(10):
        positives = np.random.default_rng(seed).binomial(32, 0.005, 1000)
        before, after = 0.01 + 25 * positives, 0.5 + 4.4 * positives  # a network that learns there are positives
        losses = np.where(np.arange(1000) < 500, before, after) * np.random.default_rng(seed).lognormal(0, 0.1, 1000)
        assert over(losses, 0.9) is not None
        assert stop_at(losses, 0.9, 4.0) is None


@pytest.mark.parametrize("kind", HARD)
def test_a_divergence_among_hard_batches_is_seen_soon(kind):
    x = np.linspace(-7, 1, 1000)
    level = (0.1 + 0.9 / (1 + 10 ** (2 * (x + 3)))) * (1 + 10 ** (10 * (x + 1)))  # ten times more every 12 steps
    lowest = int(np.argmin(level))
    diverges = lowest + int(np.argmax(level[lowest:] > 4 * level[lowest]))
    for seed in range(10):
        stop = stop_at(level * hard_batches(kind, 1000, seed), 0.9, 4.0)
        assert diverges - 60 < stop < diverges + 60


@pytest.mark.parametrize(("points", "late"), [(60, 4), (100, 3), (1000, 1)])
@pytest.mark.parametrize("smoothing", [0.9, 0.98])
@pytest.mark.parametrize("curve", [cliff, two_steps])
def test_quiet_losses_end_where_their_average_is_a_multiple_of_the_best(curve, smoothing, points, late):
    losses = curve(np.linspace(-7, 1.5, points)) * np.random.default_rng(3).lognormal(0, 0.05, points)
    plain = over(losses, smoothing)
    assert plain <= stop_at(losses, smoothing, 4.0) <= plain + late


def test_the_factor_is_of_the_best_or_of_its_size_below_zero():
    noise = np.random.default_rng(4).normal(0, 0.01, 200)
    for best, low, high in ((1.0, 3.9, 4.1), (-1.0, 1.9, 2.1)):
        levels = [np.repeat([best, end], 100) + noise for end in (low, high)]
        assert stop_at(levels[0], 0.5, 4.0) is None
        assert 100 < stop_at(levels[1], 0.5, 4.0) < 115


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 1, 9, 500])
def test_what_is_not_finite_ends_at_once(step, bad):
    losses = np.random.default_rng(5).lognormal(size=step + 3)
    losses[step] = bad
    assert stop_at(losses, 0.9, 4.0) == step
    assert stop_at([], 0.9, 4.0) is None


def test_steps_judged_before_need_not_be_judged_again():
    losses = cliff(np.linspace(-7, 1, 300))
    stop = stop_at(losses, 0.9, 4.0)
    assert [stop_at(losses[: step + 1], 0.9, 4.0, since=step) for step in (stop - 1, stop)] == [None, stop]
    assert stop_at(losses, 0.9, 4.0, since=stop + 3) == stop + 3


@pytest.mark.parametrize("latest", [[7.0], [2.5, 9.0], [5.5, 3.5, 8.0], [9.0, 0.5]])
def test_exceedance_is_the_share_of_all_orders(latest):
    reference, shares = [1.0, 2.0, 3.0, 4.0, 5.0], []
    for count in range(1, len(latest) + 1):
        above = sum(value >= min(latest[-count:]) for value in reference)
        orders = list(itertools.combinations(range(5 + count), count))  # the ranks of the last among all
        shares.append(sum(min(ranks) >= 5 - above for ranks in orders) / len(orders))
    assert exceedance(np.array(reference), np.array(latest)) == pytest.approx(min(shares))


@pytest.mark.parametrize("points", [100, 1000])
@pytest.mark.parametrize("curve", FASTAI)
def test_rules_agree_with_fastai_within_two_of_its_steps(curve, points):
    test = read(curve, points)
    for rule, expected in FASTAI[curve].items():
        assert expected / TWO_STEPS < test.suggestions[rule] < expected * TWO_STEPS, f"{rule}: {test.suggestions[rule]}"


def test_a_longer_and_noisier_test_gives_the_same_answer():
    quiet, noisy = read(cliff).suggestions, read(cliff, 1000, noise=0.05, smoothing=0.9).suggestions
    # All but valley: noise on the level part before the fall shortens what it takes for the fall. On the level part
    # after it, the lowest is where the noise has it, and smith goes no further.
    for rule, factor in {"minimum": 1.6, "steep": 1.6, "slide": 1.6, "smith": 3}.items():
        assert quiet[rule] / factor < noisy[rule] < quiet[rule] * 1.6, rule


def test_steep_goes_by_log_lr():
    def slope(x):  # falls from 1e-4 to 1e-2; over lr itself the slope is largest at 1e-4
        return 2 - np.clip(x + 4, 0, 2) * np.clip(x + 4, 0, 2) / 4

    assert read(slope).suggestions["steep"] == pytest.approx(1e-2, rel=0.3)


def test_valley_is_the_middle_of_the_fall():
    fall = read(lambda x: 2 - np.clip(x + 5, 0, 4) / 4 + np.clip(x + 1, 0, 2))  # from 1e-5 to 1e-1
    assert fall.suggestions["valley"] == pytest.approx(1e-3, rel=0.3)
    everywhere = read(lambda x: 2 - x / 10, low=-5, high=-1)
    assert everywhere.suggestions["valley"] == pytest.approx(10 ** (-4.6 + 1.8), rel=0.3)  # less the first tenth


def test_smith_is_half_of_where_the_loss_has_climbed_a_tenth_of_its_fall():
    def curve(x):  # falls by 1 to 1e-2, flat to 1e-1, then up by 1 a decade
        return 2 - np.clip(x + 4, 0, 2) / 2 + np.clip(x + 1, 0, None)

    assert read(curve, 400).suggestions["smith"] == pytest.approx(10**-0.9 / 2, rel=0.2)


def test_good_rates_are_those_of_the_fall_and_the_picture_begins_two_decades_below_all():
    def curve(x):  # falls by 1 to 1e-2, flat to 1e-1, then up by 1 a decade
        return 2 - np.clip(x + 4, 0, 2) / 2 + np.clip(x + 1, 0, None)

    test = read(curve, 400)
    first, last = test.good_rates
    assert (first, last) == (pytest.approx(10**-3.8, rel=0.05), test.suggestion)
    assert test.shown_from == pytest.approx(min(first, *test.suggestions.values()) / 100)
    flat = test.smoothed[test.learning_rates < test.shown_from]
    assert len(flat) > 20
    assert np.ptp(flat) < 0.1
    axis = test.plot().axes[1]
    assert axis.get_xlim() == pytest.approx((test.shown_from, test.end_lr))
    (told,) = (text.get_text() for text in axis.get_legend().get_texts() if "good" in text.get_text())
    assert told == f"good rates ({first:.2g} to {last:.2g})"
    shaded = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (shaded.x0, shaded.x1) == (pytest.approx(first), pytest.approx(last))
    rising = read(lambda x: 1 + np.clip(x + 3, 0, None) * 5)
    assert (rising.good_rates, read(curve, 400, low=-3.7).shown_from) == (None, pytest.approx(10**-3.7))


def test_smith_passes_over_a_climb_that_is_undone():
    def curve(x):  # as above, with a bump of half the fall on the way down
        return 2 - np.clip(x + 4, 0, 2) / 2 + np.clip(x + 1, 0, None) + 0.5 * np.exp(-(((x + 2.7) / 0.15) ** 2))

    assert read(curve, 400).suggestions["smith"] == pytest.approx(10**-0.9 / 2, rel=0.2)


def test_smith_is_half_of_where_the_losses_turn_ragged():
    x = np.linspace(-7, 1, 1000)
    random = np.random.default_rng(2)
    noise = random.normal(size=1000) * np.where(x > -1.5, 0.3, 0.02)
    test = analyse(10**x, 1.5 - np.clip(x + 4, 0, 2) / 2 + noise, RangeTestSettings(smoothing=0.95))
    assert test.suggestions["smith"] == pytest.approx(10**-1.5 / 2, rel=0.4)


def test_smith_stays_where_the_loss_is_lowest_if_it_rises_a_little_for_good():
    x = np.linspace(-7, 1, 1000)
    # A fall by 1.2 at 1e-2, then the loss of a guess, higher by 0.05: neither a climb nor ragged.
    losses = 3.5 - 1.2 / (1 + np.exp(-6 * (x + 3.5))) + 0.05 / (1 + np.exp(-12 * (x + 1.5)))
    losses += np.random.default_rng(0).normal(size=1000) * 0.02
    picks = analyse(10**x, losses).suggestions
    assert 10**-2.8 < picks["smith"] < 10**-1.4


def test_all_are_reported_one_is_chosen():
    for rule in RULES:
        test = read(cliff, suggestion=rule)
        assert set(test.suggestions) == {"valley", "steep", "minimum", "slide", "smith"}
        assert test.suggestion == test.suggestions[rule]


def test_what_follows_divergence_is_dropped():
    x = np.linspace(-7, 1, 200)
    losses = cliff(x)
    losses[150:] = np.nan
    test = analyse(10**x, losses, RangeTestSettings(smoothing=0.0))
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed) == 150
    assert test.diverged_at == pytest.approx(10 ** x[150])
    losses[150:] = 1e6
    test = analyse(10**x, losses, RangeTestSettings(smoothing=0.0))
    assert 151 <= len(test.losses) < 160
    assert test.diverged_at == test.learning_rates[-1]


def test_a_destroyed_network_that_guesses_counts_as_diverged():
    test = read(lambda x: np.where(x < -1, 2.3 - np.clip(x + 3, 0, 2) / 2, 2.31))
    assert test.diverged_at == pytest.approx(0.1, rel=0.3)
    assert test.note is None


def test_a_curve_that_never_diverges_has_suggestions_and_a_note():
    test = read(lambda x: 2 - np.tanh(x + 3), end_lr=10.0)
    assert test.diverged_at is None
    assert "end_lr=10" in test.note
    assert "\n" not in test.note
    assert set(test.suggestions) == set(RULES)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("smoothing", [0.5, 0.9, 0.98])
def test_noise_without_learning_is_no_curve(seed, smoothing):
    x = np.linspace(-7, 1, 500)
    test = analyse(10**x, np.random.default_rng(seed).normal(2.3, 0.1, 500), RangeTestSettings(smoothing=smoothing))
    assert test.suggestions == {}
    with pytest.raises(SettingError, match="never fell below its start") as caught:
        _ = test.suggestion
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.full(100, 2.3), "nor rose between lr 1e-07 and 10"),
        (np.geomspace(1, 1e9, 100), "rose from lr 1.2e-07 on; lower start_lr"),
        ([2.0, 1.9, np.inf], "got 2 points"),
    ],
)
def test_a_curve_that_says_nothing_has_a_problem(losses, message):
    test = analyse(np.geomspace(1e-7, 10, len(losses)), losses)
    assert message in test.problem
    assert test.note is None
    test.plot()


@pytest.mark.parametrize("rule", ["smith", "valley"])
@pytest.mark.parametrize("end", ["explodes", "is not finite", "guesses"])
def test_a_loss_that_only_rises_is_read_as_that_of_a_trained_model(end, rule):
    x = np.linspace(-7, 1, 1000)
    after = {"explodes": 0.1 * 10 ** (4 * (x + 2)), "is not finite": np.full(1000, np.nan), "guesses": 2.3 + 0 * x}
    trained = np.where(x < -2, 0.1, after[end]) * np.random.default_rng(6).lognormal(0, 0.5, 1000)
    test = analyse(10**x, trained, RangeTestSettings(suggestion=rule))
    assert test.problem is None
    assert test.suggestions == {"smith": test.suggestion}
    assert test.rule == "smith"
    assert test.suggestion == pytest.approx(1e-2 / 3, rel=0.35)
    assert "never fell below its start" in test.note
    assert "trained model" in test.note
    assert "\n" not in test.note
    test.plot()


# Where every seventh batch holds all of the loss, a thousand of them do not tell a fall from chance.
@pytest.mark.parametrize("kind", [kind for kind in HARD if kind != "positives unknown so far"])
def test_hard_batches_do_not_make_smith_timid(kind):
    x = np.linspace(-7, 1, 1000)
    level = (0.1 + 0.9 / (1 + 10 ** (2 * (x + 3)))) * (1 + 10 ** (10 * (x + 1)))
    tests = [analyse(10**x, level * hard_batches(kind, 1000, seed)) for seed in range(5)]
    picks = [test.suggestions["smith"] for test in tests]
    assert sum(test.caution is None for test in tests) >= 4, "its fall to a tenth was taken for chance"
    assert 0.015 < np.median(picks) < 0.1  # where the level turns


@pytest.mark.parametrize("first", [np.nan, np.inf])
def test_a_first_loss_that_is_not_finite_is_an_error(first):
    with pytest.raises(SettingError, match=r"first step is (nan|inf), expected a finite number"):
        analyse([1e-7, 1e-6], [first, 1.0])


@given(
    losses=st.lists(st.floats(width=32), min_size=1, max_size=200),
    decades=st.floats(0.1, 12),
    smoothing=st.floats(0, 0.99),
)
@settings(max_examples=300, deadline=None)
def test_never_nan_and_never_off_the_curve(losses, decades, smoothing):
    rates = np.geomspace(1e-8, 1e-8 * 10**decades, len(losses))
    try:
        test = analyse(rates, losses, RangeTestSettings(smoothing=smoothing))
    except SettingError:
        assert not np.isfinite(losses[0])
        return
    assert bool(test.suggestions) == (test.problem is None)
    for rate in test.suggestions.values():
        assert test.learning_rates[0] <= rate <= test.learning_rates[-1]
    if test.problem is None:
        assert len(test.losses) >= MIN_POINTS


@pytest.mark.parametrize(
    ("setting", "value"),
    [("smoothing", 1.0), ("smoothing", -0.1), ("stop_factor", 1.0), ("suggestion", "valey"), ("suggestion", None)],
)
def test_settings_that_are_not_allowed(setting, value):
    with pytest.raises(SettingError) as caught:
        read(cliff, **{setting: value})
    assert str(caught.value).startswith(f"{setting}: got {value!r}, expected ")


def turning_up(at):
    """A range test that falls by 1 and climbs again from lr `at` on."""
    return read(lambda x: 2 - np.clip(x + 5, 0, 2) / 2 + np.clip(x - np.log10(at), 0, 5))


def grid_of(**stable):
    """Range tests by label that climb from the given lr on."""
    return {label: turning_up(at) for label, at in stable.items()}


def test_recommends_the_largest_weight_decay_that_allows_a_high_lr():
    tests = grid_of(none=0.1, small=0.1, large=0.001)
    advice = recommend(tests, {"none": 0.0, "small": 1e-3, "large": 1e-1})
    assert (advice.label, advice.weight_decay) == ("small", 1e-3)
    assert advice.lr == tests["small"].suggestions["smith"]
    assert "\n" not in advice.reason
    assert "0.001" in advice.reason
    higher = grid_of(none=0.01, small=0.1, large=0.001)
    assert recommend(higher, {"none": 0.0, "small": 1e-3, "large": 1e-1}).label == "small"


def test_a_weight_decay_that_keeps_the_loss_up_is_not_recommended():
    tests = grid_of(none=0.1)
    tests["heavy"] = read(lambda x: 2 - np.clip(x + 5, 0, 2) / 4 + np.clip(x + 1, 0, 5))
    assert recommend(tests, {"none": 0.0, "heavy": 1e-2}).label == "none"


def test_a_grid_of_which_nothing_can_be_read_is_an_error():
    tests = {"a": read(lambda x: 2 + 0 * x)}
    with pytest.raises(SettingError, match="never fell"):
        recommend(tests, {"a": 0.0})


def boxes(figure):
    figure.canvas.draw()
    texts = [text for axis in figure.axes for text in axis.texts]
    return {text.get_text(): text.get_window_extent() for text in texts}


@pytest.mark.parametrize("where", [-6.2, -3.0, 0.9], ids=["left", "middle", "right"])
def test_labels_of_the_picture_do_not_overlap_and_stay_inside(where):
    test = read(cliff, end_lr=10.0)
    crowded = {rule: 10 ** (where + number / 100) for number, rule in enumerate(test.suggestions)}
    test.suggestions.update(crowded)
    figure = test.plot()
    found = list(boxes(figure).values())
    assert len(found) == len(RULES)
    for number, one in enumerate(found):
        assert not any(one.overlaps(other) for other in found[:number])
        assert one.x0 >= 0
        assert one.x1 <= figure.bbox.width


def test_the_picture_has_a_log_axis_both_losses_and_the_divergence():
    test = read(cliff, end_lr=10.0)
    figure = test.plot()
    axis = figure.axes[1]
    assert axis.get_xscale() == "log"
    raw, smoothed = (line.get_ydata() for line in axis.lines[:2])
    assert (raw == test.losses).all()
    assert (smoothed == test.smoothed).all()
    shaded = axis.patches[-1].get_extents().transformed(axis.transData.inverted())
    assert shaded.x0 == pytest.approx(test.diverged_at)
    assert shaded.x1 == pytest.approx(10.0)
    assert any(rule in text for text in boxes(figure) for rule in RULES)


def test_the_picture_of_a_grid_tells_hidden_curves_and_where_each_diverged():
    tests = {"a": turning_up(0.1), "early": turning_up(1e-3), "b": turning_up(0.1), "none": read(gentle, high=-2.0)}
    figure = plot.range_grid(tests, "early", 0.005)
    rows, axis = figure.axes
    assert [label.get_text() for label in rows.get_yticklabels()] == list(tests)
    assert [(text.get_text(), text.xy[1]) for text in rows.texts] == [("hidden behind b", 0)]
    ended = [test.diverged_at for test in tests.values()]
    assert ended[0] == ended[2] != ended[1]
    assert ended[3] is None
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_x()) for bar in rows.patches] == [
        (row, pytest.approx(end)) for row, end in enumerate(ended) if end is not None
    ]
    assert not len(axis.patches)


def test_analysis_needs_no_tensorflow():
    code = (
        "import sys; from sconv.lr_finder.result import analyse; import sconv.runner.tasks.lr_find;"
        "print([name for name in ('keras', 'tensorflow', 'matplotlib') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
