"""report.md, its pictures and report.csv."""

import csv

import matplotlib.image
import numpy as np
import pytest

import fabricate
from sconv.report import curves, markdown, pictures
from sconv.report.comparison import compare
from sconv.report.groups import gather


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = fabricate.sweep(tmp_path_factory.mktemp("sweep"), seeds=4, epochs=20)
    folder = tmp_path_factory.mktemp("out")
    markdown.write(compare(gather([root])[0]), folder)
    return folder


def test_every_picture_that_is_named_is_there_and_not_blank(out):
    text = (out / "report.md").read_text()
    for name in ("schedules.png", "curves.png", "time_to_target.png"):
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
    assert (onecycle["finished"], onecycle["diverged"]) == ("4", "0")
    assert float(onecycle["target"]) == float(baseline["test_accuracy_mean"])
    assert float(onecycle["difference_mean"]) == pytest.approx(
        float(onecycle["test_accuracy_mean"]) - float(baseline["test_accuracy_mean"])
    )
    assert (
        float(onecycle["speedup_step_low"])
        < float(onecycle["speedup_step_value"])
        < float(onecycle["speedup_step_high"])
    )
    assert float(onecycle["seconds_to_target_mean"]) == pytest.approx(2 * float(onecycle["epoch_to_target_mean"]))
    assert baseline["speedup_step_value"] == ""


def test_where_nothing_finished_there_is_still_a_report(tmp_path):
    fabricate.run(tmp_path / "0", [], ends=fabricate.DivergedError("at once"))
    report, _ = markdown.write(compare(gather([tmp_path])[0]), tmp_path)
    assert "0, 1 diverged" in report.read_text()


def test_the_band_is_one_deviation_and_the_mean_is_drawn():
    # Two seeds whose standard deviations are 0.1, 0 and 0.2: each is 1 / sqrt(2) of that from the mean.
    mean, apart = np.array([0.2, 0.5, 0.7]), np.array([0.1, 0.0, 0.2]) / np.sqrt(2)
    found = curves.Curves({"step": np.array([[1.0, 2.0, 3.0]] * 2), "loss": np.array([mean - apart, mean + apart])})
    (axis,) = pictures.overlay([("group", found)], ["step"], {"loss": "training loss"}).axes
    assert axis.lines[0].get_ydata() == pytest.approx(mean)
    corners = axis.collections[0].get_paths()[0].vertices
    assert {(1.0, 0.1), (1.0, 0.3), (3.0, 0.5), (3.0, 0.9)} <= {(x, round(y, 9)) for x, y in corners.tolist()}


def test_who_never_reached_the_target_is_told_in_the_picture():
    (axis,) = pictures.time_to_target([("a", [100, 200]), ("b", [50, None, None]), ("c", [None])], "steps").axes
    assert [bar.get_width() for bar in axis.patches] == [150, 50]
    assert [text.get_text() for text in axis.texts] == ["never reached by 2 of 3", "never reached by 1 of 1"]
