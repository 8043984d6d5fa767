"""task=show, as a user runs it: the table, the pictures, the sheet of a sweep, and no TensorFlow."""

from __future__ import annotations

import csv
import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sconv import plots, runs
from sconv.lr_finder.result import analyse
from sconv.runner.tasks import range_test_screen
from sconv.schedules import onecycle, onecycle_smith, sgdr

# The command line, which ends by saying what it has imported that it must not.
PROGRAM = """
import sys
from sconv.runner.cli import main
try:
    main()
finally:
    print("imported", sorted({"keras", "tensorflow", "tensorboard"} & set(sys.modules)))
"""


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    environment.pop("HYDRA_FULL_ERROR", None)
    words = [sys.executable, "-c", PROGRAM, *arguments, "task=show"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("show")
    done = command(folder, "schedule=onecycle", "dataset=fashion_mnist", "epochs=3", "lr_max=0.2")
    return done, next(folder.glob("outputs/*/*"))


def test_the_table_is_the_schedule_of_the_run(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, directory = shown
    assert (done.returncode, done.stderr) == (0, "")
    with open(directory / "schedule.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rates, momenta = onecycle(0.2).sample(5625)  # 3 epochs of 60,000 images, 32 at a time
    np.testing.assert_allclose([float(row["learning_rate"]) for row in rows], rates, rtol=1e-8)
    np.testing.assert_allclose([float(row["momentum"]) for row in rows], momenta, rtol=1e-8)
    assert [int(row["step"]) for row in rows] == list(range(5625))
    assert (rows[1875]["epoch"], rows[2531]["phase"], rows[2532]["phase"]) == ("1", "1", "2")


def test_it_is_light_and_leaves_no_run_behind(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, directory = shown
    assert "imported []" in done.stdout
    assert runs.find(directory) == []
    assert (directory / "schedule.png").read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_it_at_80_columns(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    lines = [line for line in shown[0].stdout.splitlines() if not line.startswith("outputs")]
    assert max(map(len, lines)) <= 80
    assert lines[0] == "onecycle: 5,625 updates, 3 epochs of 1,875"
    rates = [line for line in lines if "┤" in line][:2]
    assert [line.split()[0] for line in rates] == ["0.2", "8e-05"]
    steps = next(line for line in lines if line.strip().startswith("step "))
    assert steps.split() == ["step", "0", "2531", "5062", "5624"]
    epochs = next(line for line in lines if line.strip().startswith("epoch "))
    assert epochs.split() == ["epoch", "0", "1", "2", "3"]
    assert ["2531", "1.35", "0.2", "0.85"] in [line.split() for line in lines]


def test_a_sweep_ends_in_one_sheet_and_tells_of_failures(tmp_path: Path) -> None:
    done = command(tmp_path, "-m", "schedule=glob([co*,onecycle])", "batch_size=1000", "epochs=1")
    sweep = next(tmp_path.glob("outputs/sweeps/*/*"))
    assert (sweep / "schedules.png").read_bytes().startswith(b"\x89PNG")
    # Four steps are too few for onecycle, which needs ten.
    assert done.returncode == 1
    assert "steps: got 4, expected at least 10 for onecycle" in done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if "#" not in line and "0.1, " in line]
    assert names == ["constant", "cosine"]
    assert len(list(sweep.glob("*/schedule.csv"))) == 2
    assert "imported []" in done.stdout


def test_a_written_schedule_is_read_back(tmp_path: Path) -> None:
    for schedule in (onecycle_smith(0.3), sgdr(0.1)):
        rates, momenta = schedule.sample(100)
        runs.write_schedule(tmp_path, rates, momenta, schedule.knots(100), steps_per_epoch=30)
        again, held, knots = runs.read_schedule(tmp_path)
        np.testing.assert_allclose(again, rates, rtol=1e-8)
        assert knots == schedule.knots(100)
        assert (held is None) == (momenta is None)


def test_the_picture_draws_the_table_with_its_knots_and_epochs(tmp_path: Path) -> None:
    schedule = onecycle(0.1)
    rates, momenta = schedule.sample(625)
    figure = plots.schedule(rates, momenta, "title", schedule.knots(625), steps_per_epoch=125)
    upper, lower = figure.axes
    for axis, values in ((upper, rates), (lower, momenta)):
        curve, knots = axis.lines
        assert np.array_equal(curve.get_ydata(), values)
        assert list(knots.get_xdata()) == [0, 281, 562, 624]
        assert list(knots.get_ydata()) == [values[knot] for knot in (0, 281, 562, 624)]
    (epochs,) = upper.child_axes
    plots.save(figure, tmp_path / "drawn.png")
    first, last = upper.get_xlim()
    assert epochs.get_xlim() == pytest.approx((first / 125, last / 125))
    assert len(plots.schedule(rates, None).axes) == 1


@pytest.mark.parametrize("knots", [[450, 900, 999], [100, 120, 140, 160, 900, 950, 999], [0, 20, 40, 999]])
def test_values_at_close_knots_do_not_lie_on_each_other(knots):
    figure = plots.schedule(*onecycle(0.1).sample(1000), knots=knots)
    figure.draw_without_rendering()
    for axis in figure.axes[:2]:
        places = [text.get_window_extent() for text in axis.texts]
        assert len(places) >= 3
        assert not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))


def test_the_sheet_has_a_panel_for_each() -> None:
    schedules = {f"number {n}": (*onecycle(0.1 * n).sample(50), onecycle(1).knots(50)) for n in range(1, 6)}
    schedules["own"] = (*sgdr(0.1).sample(50), sgdr(0.1).knots(50))
    figure = plots.sheet(schedules)
    assert [axis.get_title() for axis in figure.axes[::2]] == list(schedules)
    for axis, (rates, _, _) in zip(figure.axes[::2], schedules.values(), strict=True):
        assert np.array_equal(axis.lines[0].get_ydata(), rates)


def test_braille() -> None:
    assert plots.terminal(np.array([0.0, 1.0, 2.0, 3.0]), 2, 1) == ["⡠⠊"]
    assert plots.terminal(np.array([3.0, 0.0]), 1, 1) == ["⢱"]
    assert plots.terminal(np.full(9, 0.5), 3, 1) == ["⠒⠒⠒"]
    drawn = plots.terminal(onecycle(1.0).sample(1000)[0], 40, 6)
    assert [len(line) for line in drawn] == [40] * 6
    assert all(line.strip("⠀") for line in drawn)


def test_a_range_test_is_drawn_on_a_terminal_alone() -> None:
    rates = np.geomspace(1e-4, 10, 200)
    test = analyse(rates, 2 - np.clip(np.log10(rates) + 3, 0, 2) / 2 + np.clip(np.log10(rates), 0, None))
    for width in (80, 40, None):
        console = Console(file=io.StringIO(), width=width or 80, force_terminal=width is not None, color_system=None)
        range_test_screen.tell(test, console)
        said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert bool(said) == bool(width)
        assert max(map(len, said), default=0) <= (width or 0)
