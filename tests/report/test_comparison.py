"""Each group against its baseline, by examples small enough to work out by hand."""

import pytest

import fabricate
from sconv import checks
from sconv.report.comparison import compare
from sconv.report.groups import gather


def rows(root, **options):
    comparison = compare(gather([root])[0], **options)
    return {row.group.label: row for row in comparison.rows}, comparison.notes


def write(root, schedule, curves, **options):
    for seed, curve in enumerate(curves):
        fabricate.run(
            root / f"{schedule}-{seed}-{len(list(root.iterdir()))}", curve, seed=seed, schedule=schedule, **options
        )


@pytest.fixture
def two(tmp_path):
    """A baseline that reaches the 0.8 it ends at after 4, 3 and 4 epochs, a 1cycle that does after 1, 2 and 1."""
    write(tmp_path, "baseline", [[0.2, 0.4, 0.6, 0.8], [0.1, 0.5, 0.8, 0.8], [0.3, 0.6, 0.7, 0.8]])
    write(
        tmp_path,
        "onecycle",
        [[0.8, 0.85, 0.85, 0.9], [0.7, 0.8, 0.9, 0.88], [0.9, 0.7, 0.8, 0.86]],
        seconds_an_epoch=3.0,
    )
    return tmp_path


def test_costs_to_what_the_baseline_ends_at_and_the_speedup(two):
    found, _ = rows(two)
    assert found["onecycle"].target == pytest.approx(0.8)
    # 20 steps and 2 or 3 seconds an epoch.
    assert found["baseline"].time_to_target["epoch"].costs == (4, 3, 4)
    assert found["onecycle"].time_to_target["step"].costs == (20, 40, 20)
    assert found["onecycle"].time_to_target["seconds"].costs == (3, 6, 3)
    # Medians: 80 and 20 steps, 8 and 3 seconds; 2 and 3 seconds an epoch, whatever the target.
    assert found["onecycle"].speedups["step"].value == pytest.approx(4)
    assert found["onecycle"].speedups["seconds"].value == pytest.approx(8 / 3)
    assert found["onecycle"].pace.value == pytest.approx(2 / 3)
    assert found["baseline"].speedups == {}


def test_what_each_group_ends_at(two):
    row = rows(two)[0]["onecycle"]
    assert (row.test.mean, row.test.std) == (pytest.approx(0.88), pytest.approx(0.02))
    assert row.validation is None
    assert (row.steps.mean, row.seconds.mean) == (80, 12)
    # 640 images an epoch, 4 epochs, 12 seconds.
    assert row.images_per_second.mean == pytest.approx(640 * 4 / 12)
    assert row.gain.mean == pytest.approx(0.08)


def test_another_target_and_another_baseline(two):
    found, notes = rows(two, target=0.85, baseline="schedule=onecycle")
    assert found["onecycle"].time_to_target["epoch"].costs == (2, 3, 1)
    assert found["baseline"].time_to_target["epoch"].costs == (None, None, None)
    assert found["baseline"].speedups["step"].value == 0
    assert any(note.startswith("baseline: 3 of 3 never reached it") for note in notes)
    assert any("target 85.00 % test accuracy (given)" in note for note in notes)


def test_never_reached_by_baseline_seeds_is_a_lower_bound_that_is_said(tmp_path):
    # The mean is 0.8; two of three end below it, and count with 60 steps each.
    write(tmp_path, "baseline", [[0.2, 0.7, 0.84], [0.1, 0.5, 0.78], [0.1, 0.5, 0.78]])
    write(tmp_path, "onecycle", [[0.8, 0.9, 0.9]] * 3)
    found, notes = rows(tmp_path)
    speedup = found["onecycle"].speedups["step"]
    assert (speedup.value, speedup.at_least) == (pytest.approx(3), True)
    assert any("2 of 3 baseline seeds end below it" in note for note in notes)
    assert any("a lower bound" in note for note in notes)


def test_a_diverged_run_never_reached_it_and_failed_ones_are_counted_but_no_evidence(two):
    fabricate.run(two / "x", [0.9, 0.9, 0.9, 0.1], seed=3, schedule="onecycle", ends=fabricate.DivergedError("nan"))
    fabricate.run(two / "y", [0.9, 0.9, 0.9, 0.1], seed=4, schedule="onecycle", ends=RuntimeError("disk full"))
    fabricate.run(two / "z", [0.9, 0.9, 0.9, 0.1], seed=5, schedule="onecycle", ends=KeyboardInterrupt())
    row = rows(two)[0]["onecycle"]
    assert row.group.statuses == {"finished": 3, "diverged": 1, "failed": 1, "interrupted": 1}
    assert row.test.n == 3
    assert row.time_to_target["epoch"].costs == (1, 2, 1, None)
    assert row.speedups["step"].note.startswith("1 of 4 never reached it")


def test_a_group_of_which_nothing_finished_is_shown(two):
    fabricate.run(two / "x", [0.1, 0.1, 0.1, 0.1], schedule="cosine", ends=fabricate.DivergedError("nan"))
    row = rows(two)[0]["cosine"]
    assert (row.test, row.gain) == (None, None)
    assert row.speedups["step"].value == 0


def test_of_several_baselines_the_one_that_ends_best_is_the_measure(two):
    write(two, "baseline", [[0.1, 0.2, 0.3, 0.4]] * 3, settings={"lr_max": 0.01})
    found, _ = rows(two)
    assert {row.baseline.label for row in found.values()} == {"baseline lr_max=0.1"}


def test_every_model_is_measured_by_its_own_baseline(two):
    other = {"settings": {"model._target_": "sconv.models.lenet5.build"}, "choices": {"model": "lenet5"}}
    write(two, "baseline", [[0.5, 0.6, 0.7, 0.99]] * 3, **other)
    write(two, "onecycle", [[0.99, 0.99, 0.99, 0.99]] * 3, **other)
    found, _ = rows(two)
    assert {label: row.baseline.label for label, row in found.items()} == {
        "mlp baseline": "mlp baseline",
        "mlp onecycle": "mlp baseline",
        "lenet5 baseline": "lenet5 baseline",
        "lenet5 onecycle": "lenet5 baseline",
    }
    assert found["lenet5 onecycle"].speedups["step"].value == pytest.approx(4)


def test_other_data_has_no_baseline_here_and_it_is_said(two):
    other = {"settings": {"dataset._target_": "sconv.datasets.mnist_5k.load"}, "choices": {"dataset": "mnist_5k"}}
    write(two, "onecycle", [[0.9] * 4] * 3, **other)
    found, notes = rows(two)
    assert found["mnist_5k onecycle"].baseline is None
    assert found["mnist_5k onecycle"].speedups == {}
    assert any(note.startswith("several datasets") for note in notes)
    assert "no finished baseline on the same data for: mnist_5k onecycle" in notes


def test_the_difference_is_taken_at_equal_epochs(two):
    write(two, "onecycle", [[0.8, 0.82], [0.7, 0.81], [0.7, 0.83]], settings={"lr_max": 3.0})
    found, _ = rows(two)
    assert found["onecycle lr_max=3.0 epochs=2"].gain is None
    write(two, "baseline", [[0.2, 0.5], [0.3, 0.6], [0.1, 0.4]])
    found, _ = rows(two)
    assert found["onecycle lr_max=3.0 epochs=2"].gain.mean == pytest.approx(0.82 - 0.5)


def test_without_a_baseline_there_are_no_speedups_and_it_is_said(tmp_path):
    write(tmp_path, "onecycle", [[0.5, 0.9]] * 3)
    found, notes = rows(tmp_path)
    assert found["onecycle"].test.mean == pytest.approx(0.9)
    assert (found["onecycle"].speedups, found["onecycle"].time_to_target) == ({}, {})
    assert notes[0].startswith("no baseline")
    # A target that is given can be reached without anything to compare with.
    assert rows(tmp_path, target=0.9)[0]["onecycle"].time_to_target["epoch"].costs == (2, 2, 2)


def test_without_a_baseline_the_best_group_is_the_measure_and_is_named(tmp_path):
    write(tmp_path, "cosine", [[0.5, 0.8], [0.6, 0.82], [0.6, 0.84]])
    write(tmp_path, "onecycle", [[0.82, 0.9], [0.7, 0.88], [0.9, 0.92]])
    found, notes = rows(tmp_path)
    assert {label: row.baseline.label for label, row in found.items()} == {"cosine": "onecycle", "onecycle": "onecycle"}
    assert found["cosine"].gain.mean == pytest.approx(0.82 - 0.9)
    assert (found["onecycle"].gain, found["onecycle"].is_baseline) == (None, True)
    assert notes[0].startswith("no schedule=baseline here: the baseline is the best group on the same data")
    assert "* the best, onecycle: target 90.00 % test accuracy (the mean it ends at)" in notes
    # Each on its own data; what is alone there is compared with nothing.
    for dataset, ends in (("mnist_5k", 0.99), ("digits", 0.7)):
        other = {"settings": {"dataset._target_": f"sconv.datasets.{dataset}.load"}, "choices": {"dataset": dataset}}
        write(tmp_path, "cosine", [[0.5, ends]] * 3, **other)
    write(tmp_path, "onecycle", [[0.5, 0.6]] * 3, **other)
    found, _ = rows(tmp_path)
    assert found["synthetic cosine"].baseline.label == "synthetic onecycle"
    assert found["digits onecycle"].baseline.label == "digits cosine"
    assert found["mnist_5k cosine"].baseline is None


def test_one_seed_has_no_interval_and_it_is_said(tmp_path):
    write(tmp_path, "baseline", [[0.5, 0.9]])
    write(tmp_path, "onecycle", [[0.9, 0.9]])
    found, notes = rows(tmp_path)
    row = found["onecycle"]
    assert (row.test.std, row.gain.p) == (None, None)
    assert (row.speedups["step"].value, row.speedups["step"].low) == (2.0, None)
    assert any(note.startswith("one seed only: no deviation, no interval, no test") for note in notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"baseline": "schedule=linear"},
            "baseline: got 'schedule=linear', expected a group out of baseline; onecycle",
        ),
        ({"target": 91.0}, "target: got 91.0, expected a finite number above 0 and of at most 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(two, options, said):
    with pytest.raises(checks.SettingError) as error:
        rows(two, **options)
    assert str(error.value) == said
