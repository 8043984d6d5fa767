"""Schedules on budgets of several sizes, each a training of its own, and what is said and drawn of them."""

import re

import numpy as np
import pytest

import fabricate
from sconv.report import budget_pictures, profiles
from sconv.report.comparison import compare
from sconv.report.factors import Fewer, along
from sconv.report.groups import gather
from sconv.report.verdict import fewer, how, savings

# Final accuracies after 1, 2, 4 and 8 epochs of 20 steps: the cycle's are the baseline's of twice as many.
ENDS = {"baseline": [0.5, 0.6, 0.7, 0.8], "onecycle": [0.6, 0.7, 0.8, 0.85]}


def trained(root, schedule, epochs, end, seeds=3, **options):
    for seed in range(seeds):
        curve = np.linspace(0.1, end + 0.01 * (seed - 1), epochs) if epochs > 1 else [end + 0.01 * (seed - 1)]
        fabricate.run(root / f"{len(list(root.iterdir()))}", curve, seed=seed, schedule=schedule, **options)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    for schedule, ends in ENDS.items():
        for epochs, end in zip((1, 2, 4, 8), ends, strict=True):
            trained(root, schedule, epochs, end)
    return root


def charts(root):
    return compare(gather([root])[0]).charts


def test_a_line_a_schedule_a_point_a_budget_and_the_gap(sweep):
    (chart,) = charts(sweep)
    assert (chart.name, chart.taken, chart.target) == ("synthetic, mlp", 160, pytest.approx(0.8))
    assert {line.label: [budget.steps for budget in line.budgets] for line in chart.lines} == {
        name: [20, 40, 80, 160] for name in ENDS
    }
    onecycle = chart.lines[1]
    assert onecycle.budgets[2].ends == (pytest.approx(0.79), pytest.approx(0.8), pytest.approx(0.81))
    assert onecycle.fewer.value == pytest.approx(2)
    assert onecycle.fewer.low < 2 < onecycle.fewer.high
    (said,) = savings([chart])
    assert re.fullmatch(
        r"onecycle needs 2\.00 x fewer steps \[1\.\d\d, [23]\.\d\d\] to reach the 80\.00 % that baseline ends at "
        r"after 160 steps",
        said,
    )


def test_runs_of_one_length_have_no_such_chart(tmp_path):
    for schedule in ENDS:
        trained(tmp_path, schedule, 2, 0.7)
    assert charts(tmp_path) == ()


def test_a_budget_goes_by_the_best_rate_that_all_seeds_ran_with_chosen_on_the_monitored_split(tmp_path):
    trained(tmp_path, "baseline", 1, 0.5, test=0.5)
    trained(tmp_path, "onecycle", 1, 0.8, test=0.6, settings={"lr_max": 0.1})
    trained(tmp_path, "onecycle", 1, 0.7, test=0.9, settings={"lr_max": 0.3})
    trained(tmp_path, "onecycle", 1, 0.95, test=0.95, settings={"lr_max": 3.0}, seeds=1)
    trained(tmp_path, "onecycle", 2, 0.8, test=0.8)
    (chart,) = charts(tmp_path)
    assert [line.label for line in chart.lines] == ["baseline", "onecycle"]
    first, second = chart.lines[1].budgets
    assert (first.ends, first.tried, second.tried) == ((0.6,) * 3, 3, 1)
    assert "the best of 1 to 3 tried, by validation accuracy" in how(chart)


def test_each_model_has_its_own_chart(sweep, tmp_path):
    other = {"settings": {"model._target_": "sconv.models.lenet5.build"}, "choices": {"model": "lenet5"}}
    for schedule in ENDS:
        for epochs in (1, 2):
            trained(tmp_path, schedule, epochs, 0.3 * epochs, **other)
    found = compare(gather([sweep, tmp_path])[0]).charts
    assert [(chart.name, chart.target) for chart in found] == [
        ("synthetic, mlp", pytest.approx(0.8)),
        ("synthetic, lenet5", pytest.approx(0.6)),
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Fewer(2.31, 1.9, 2.8, most=8), "2.31 x fewer steps [1.90, 2.80]"),
        (Fewer(8, 2, 8, most=8), "≥8.00 x fewer steps [2.00, ≥8.00]"),
        (Fewer(2, 0, 4, most=8), "2.00 x fewer steps [not reached, 4.00]"),
        (Fewer(0.5, 0, 2, most=8), "2.00 x more steps [0.50, not reached]"),
        (Fewer(0, 0, 1.5, most=8), "no difference shown [not reached, 1.50 x fewer steps]"),
        (Fewer(0, 0, 0.9, most=8), "not reached"),
        (Fewer(0, 0, 0, most=8), "not reached"),
        (Fewer(2, None, None, most=8), "2.00 x fewer steps"),
    ],
)
def test_a_factor_reads_the_way_it_goes(found, said):
    assert fewer(found) == said


def test_the_picture_has_every_seed_and_the_gap_between_the_steps_that_both_take(sweep):
    (chart,) = charts(sweep)
    axis = budget_pictures.draw(chart, "below").axes[0]
    dots = sorted(float(y) for line in axis.lines if line.get_markersize() == 4 for y in line.get_ydata())
    assert dots == pytest.approx(sorted(end + d for ends in ENDS.values() for end in ends for d in (-0.01, 0, 0.01)))
    gap = next(text for text in axis.texts if text.get_text() == "")
    assert (gap.xy, gap.xyann) == ((pytest.approx(80), chart.target), (160, chart.target))
    assert any("onecycle: 2.00 x fewer steps [" in text.get_text() for text in axis.texts)
    assert axis.get_ylim()[1] <= 1


def test_the_factor_is_drawn_for_every_target_and_pale_where_it_is_a_lower_bound(sweep):
    (chart,) = charts(sweep)
    axis = profiles.by_target(chart, "of these").axes[0]
    found = along(chart.lines[0].points, chart.lines[1].points)
    exact, pale = axis.lines[:2]
    assert pale.get_alpha() < exact.get_alpha()
    drawn = np.where(np.isnan(exact.get_ydata()), pale.get_ydata(), exact.get_ydata())
    assert drawn == pytest.approx(found.value)
    assert np.isnan(exact.get_ydata()).tolist() == found.bounded.tolist()
    assert found.value[-1] == pytest.approx(2)
    assert axis.get_ylabel() == "times fewer steps than baseline"


def test_the_profile_is_the_share_of_seeds_at_or_above_each_accuracy(tmp_path):
    for schedule, ends in (("baseline", [0.5, 0.6, 0.7, 0.8]), ("onecycle", [0.6, 0.7, 0.8, 0.9])):
        for seed, end in enumerate([*ends, ends[-1]]):
            fabricate.run(tmp_path / f"{schedule}{seed}", [0.1, end], seed=seed, schedule=schedule)
    comparison = compare(gather([tmp_path])[0])
    looks = [profiles.Stroke("#000000", "solid", "circle")] * 2
    ((name, (title, figure)),) = profiles.pictures((), comparison.rows, looks, "of these").items()
    assert (name, title) == ("profile.png", "performance profile, synthetic")
    line = figure.axes[0].lines[0]
    steps = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    # Of 0.5, 0.6, 0.7, 0.8, 0.8 so many lie at or above each: the step before a place ends there.
    assert [steps[at] for at in (0.5, 0.6, 0.7)] == pytest.approx([1, 0.8, 0.6])
    assert line.get_ydata()[-1] == 0
    assert profiles.pictures((), comparison.rows[:1], looks[:1], "alone") == {}
