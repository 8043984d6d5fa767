"""report.md, its pictures and report.csv."""

import csv

import matplotlib.image
import numpy as np
import pytest

import fabricate
from sconv.plots import new_figure
from sconv.report import curves, lettering, markdown, pictures
from sconv.report.comparison import compare
from sconv.report.groups import gather
from sconv.report.statistics import TimeToTarget
from sconv.report.strokes import Stroke, strokes


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = fabricate.sweep(tmp_path_factory.mktemp("sweep"), seeds=5, epochs=20)
    folder = tmp_path_factory.mktemp("out")
    markdown.write(compare(gather([root])[0]), folder)
    return folder


def test_every_picture_that_is_named_is_there_and_not_blank(out):
    text = (out / "report.md").read_text()
    for name in ("differences.png", "schedules.png", "curves.png", "time_to_target.png"):
        assert f"]({name})" in text
        pixels = matplotlib.image.imread(out / name)[..., :3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_the_tables_have_as_many_cells_in_every_line(out):
    for table in (part for part in (out / "report.md").read_text().split("\n\n") if part.startswith("|")):
        assert len({line.count("|") - line.count(r"\|") for line in table.splitlines()}) == 1


def test_text_that_markdown_would_read_as_its_own_is_escaped(tmp_path):
    for number, name in enumerate(("a|b", "*c*_d_")):
        fabricate.run(tmp_path / str(number), [0.5], settings={"optimizer.momentum": name})
    markdown.write(compare(gather([tmp_path])[0]), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert r"optimizer.momentum=a\|b" in text
    assert r"optimizer.momentum=\*c\*\_d\_" in text


def test_the_sheet_has_every_number_in_full(out):
    baseline, onecycle = csv.DictReader((out / "report.csv").read_text().splitlines())
    assert (baseline["group"], onecycle["group"], onecycle["baseline"]) == ("baseline", "onecycle", "baseline")
    assert (onecycle["finished"], onecycle["diverged"]) == ("5", "0")
    assert float(onecycle["target"]) == float(baseline["test_accuracy_mean"])
    assert float(onecycle["difference_mean"]) == pytest.approx(
        float(onecycle["test_accuracy_mean"]) - float(baseline["test_accuracy_mean"])
    )
    assert (
        float(onecycle["speedup_step_low"])
        < float(onecycle["speedup_step_value"])
        < float(onecycle["speedup_step_high"])
    )
    assert float(onecycle["seconds_to_target_median"]) == pytest.approx(2 * float(onecycle["epoch_to_target_median"]))
    assert float(onecycle["speedup_images_per_second_value"]) == pytest.approx(1)
    assert baseline["speedup_step_value"] == ""


def test_where_nothing_finished_there_is_still_a_report(tmp_path):
    fabricate.run(tmp_path / "0", [], ends=fabricate.DivergedError("at once"))
    report, _ = markdown.write(compare(gather([tmp_path])[0]), tmp_path)
    assert "0, 1 diverged" in report.read_text()


LOOK = Stroke("#0072b2", "solid", "square")


def test_the_band_is_one_deviation_and_the_mean_is_drawn():
    # Two seeds whose standard deviations are 0.1, 0 and 0.2: each is 1 / sqrt(2) of that from the mean.
    mean, apart = np.array([0.2, 0.5, 0.7]), np.array([0.1, 0.0, 0.2]) / np.sqrt(2)
    found = curves.Curves({"step": np.array([[1.0, 2.0, 3.0]] * 2), "loss": np.array([mean - apart, mean + apart])})
    (axis,) = pictures.overlay([("group", LOOK, found)], ["step"], {"loss": "training loss"}).axes
    assert axis.lines[0].get_ydata() == pytest.approx(mean)
    corners = axis.collections[0].get_paths()[0].vertices
    assert {(1.0, 0.1), (1.0, 0.3), (3.0, 0.5), (3.0, 0.9)} <= {(x, round(y, 9)) for x, y in corners.tolist()}
    assert axis.get_ylim()[0] == 0


def test_one_epoch_is_seen_and_an_accuracy_axis_ends_at_one():
    found = curves.Curves({"step": np.array([[1.0]] * 2), "val_accuracy": np.array([[0.99], [1.0]])})
    (axis,) = pictures.overlay([("group", LOOK, found)], ["step"], {"val_accuracy": "test accuracy"}).axes
    assert axis.lines[0].get_marker() == "s"
    assert axis.get_ylim()[1] == 1
    assert [text.get_text() for text in axis.texts] == ["group"]


def test_names_at_lines_ends_stay_apart_and_near():
    assert pictures.lettering.spread([0.9, 0.1, 0.12, 0.11], 0.1) == pytest.approx([0.9, 0.01, 0.21, 0.11])


def test_a_schedule_that_jumps_is_drawn_as_a_step_and_one_that_slopes_is_not(tmp_path):
    rates = {"baseline": [0.1] * 30 + [0.01] * 10, "onecycle": [*np.linspace(0, 0.1, 20), *np.linspace(0.1, 0, 20)]}
    for schedule, values in rates.items():
        run = fabricate.run(tmp_path / schedule, [0.5] * 2, schedule=schedule)
        lines = [f"{step},{value:.9g},0.9,1.0" for step, value in enumerate(values)]
        (run / "steps.csv").write_text("step,learning_rate,momentum,loss\n" + "\n".join(lines) + "\n")
    baseline, onecycle = (curves.schedule(group) for group in gather([tmp_path])[0])
    upright = np.flatnonzero(np.diff(baseline.mean("step")) == 0)
    assert baseline.mean("step")[upright].tolist() == [30]
    assert baseline.mean("learning_rate")[[upright[0], upright[0] + 1]].tolist() == [0.1, 0.01]
    assert onecycle.mean("step").tolist() == list(range(40))


@pytest.mark.parametrize(
    ("paces", "told"),
    [
        ([(2.0, 2.1), (4.0, 4.2)], True),
        ([(2.0, 2.1), (2.2, 2.3)], False),  # a tenth more
        ([(2.0, 4.4), (4.0, 4.2)], False),  # the seeds of one differ as much
    ],
)
def test_seconds_are_drawn_where_they_say_more_than_steps(tmp_path, paces, told):
    for number, seconds in enumerate(paces):
        for seed, each in enumerate(seconds):
            run = tmp_path / f"{number}{seed}"
            fabricate.run(run, [0.5] * 2, seed=seed, schedule=["baseline", "onecycle"][number], seconds_an_epoch=each)
    assert curves.seconds_tell([curves.of(group) for group in gather([tmp_path])[0]]) == told


def test_who_never_reached_the_target_is_told_in_the_picture():
    costs = [(100, 200), (50, 90, None), (None,)]
    times = [(str(number), LOOK, TimeToTarget(spent)) for number, spent in enumerate(costs)]
    (axis,) = pictures.time_to_target(times, "steps").axes
    assert [bar.get_width() for bar in axis.patches] == [150, 90]
    assert [text.get_text() for text in axis.texts] == ["not reached by 1 of 3", "not reached by 1 of 1"]


def test_grey_is_the_baselines_a_schedule_has_its_colour_and_a_rate_its_dash(tmp_path):
    for number in range(6):
        schedule, rate = ["onecycle", "baseline", "cosine"][number % 3], [0.1, 0.3][number // 3]
        fabricate.run(tmp_path / str(number), [0.5], schedule=schedule, settings={"lr_max": rate})
    groups = {group.label: group for group in gather([tmp_path])[0]}
    looks = dict(zip(groups, strokes([*groups.values()], [groups["baseline lr_max=0.3"]]), strict=True))
    for schedule in ("onecycle", "baseline", "cosine"):
        low, high = looks[f"{schedule} lr_max=0.1"], looks[f"{schedule} lr_max=0.3"]
        assert (low.colour, low.marker) == (high.colour, high.marker)
        assert (low.dash, high.dash) == ("solid", "dashed")
    assert len({look.colour for look in looks.values()}) == 3
    red, green, blue = (int(looks["baseline lr_max=0.1"].colour[at : at + 2], 16) for at in (1, 3, 5))
    assert red == green == blue


def test_the_name_of_a_line_stands_at_its_end_whatever_the_scale():
    for scale in ("linear", "log"):
        figure = new_figure(4, 3)
        axis = figure.subplots()
        axis.set_yscale(scale)
        axis.plot([0, 1], [0.001, 0.1])
        axis.plot([0, 1], [0.001, 0.01])
        lettering.label_ends(axis, [(1, 0.1, "high", LOOK), (1, 0.01, "low", LOOK)])
        to_panel = axis.transData - axis.transAxes
        for text, end in zip(axis.texts, (0.1, 0.01), strict=True):
            assert text.xyann[1] == pytest.approx(to_panel.transform((1, end))[1], abs=0.01)
