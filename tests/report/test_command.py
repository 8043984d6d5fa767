"""python -m sconv.report, as its user sees it."""

import re
import subprocess
import sys

import pytest

import fabricate
from sconv.report.__main__ import main

HEAVY = ("tensorflow", "keras", "matplotlib", "pandas", "bokeh", "tensorboard", "hydra")


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = fabricate.sweep(tmp_path_factory.mktemp("sweep"), seeds=5, epochs=20)
    fabricate.run(root / "x", [0.1] * 20, seed=9, schedule="onecycle", ends=fabricate.DivergedError("nan"))
    return root


def test_the_table_fits_80_columns_and_hides_nothing(sweep, capsys):
    assert main([str(sweep), "--no-files"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(len(line) for line in lines[2:] if not line.startswith("·")) <= 80
    assert "…" not in printed
    assert "5, 1 diverged" in printed
    assert any(line.startswith("· onecycle: 1 of 6 never reached it") for line in lines)
    assert not (sweep / "report").exists()


def test_the_verdict_comes_first_and_a_picture_of_it(tmp_path, capsys):
    ends = {"baseline": [0.90, 0.91, 0.92], "onecycle": [0.95, 0.96, 0.97], "cosine": [0.905, 0.91, 0.93]}
    for schedule, accuracies in ends.items():
        for seed, end in enumerate(accuracies):
            fabricate.run(tmp_path / f"{schedule}{seed}", [0.5, end], seed=seed, schedule=schedule)
    fabricate.run(tmp_path / "x", [0.1, 0.1], schedule="sgdr", ends=fabricate.DivergedError("nan"))
    assert main([str(tmp_path), "--no-files"]) == 0
    title, *said, _, first, second, scale = capsys.readouterr().out.splitlines()[:8]
    assert title.startswith("Final test accuracy")
    # Welch: t(0.975, 4) = 2.776 times the root of (0.01^2 + 0.01^2) / 3 for 1cycle; worked out apart for cosine.
    assert said == [
        "cosine 91.50 against baseline 91.00: +0.50 points [-2.24, +3.24], 3 seeds: no difference shown",
        "onecycle 96.00 against baseline 91.00: +5.00 points [+2.73, +7.27], 3 seeds: better",
        "sgdr: nothing finished (0, 1 diverged)",
    ]
    nought = scale.index("0", scale.index("-2.24") + 5)
    assert (first[nought], second[nought]) == ("┼", "│")
    assert second.index("├") > nought > first.index("├")
    assert second.index("●") - first.index("●") == pytest.approx(4.5 / (7.27 + 2.24) * (46 - 1), abs=1)


def test_the_table_imports_nothing_that_takes_its_time(sweep):
    code = (
        "import sys; from sconv.report.__main__ import main\n"
        f"main([{str(sweep)!r}, '--no-files']); main([{str(sweep)!r}, '--list'])\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stderr.strip(), ran.returncode) == ("", 0)


def test_the_files_are_written_without_tensorflow(sweep, tmp_path):
    code = (
        "import sys; from sconv.report.__main__ import main\n"
        f"main([{str(sweep)!r}, '--out', {str(tmp_path)!r}])\n"
        "sys.exit(' '.join(name for name in ('tensorflow', 'keras') if name in sys.modules) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stderr.strip(), ran.returncode) == ("", 0)
    names = {"report.md", "report.csv", "report.html", "schedules.png", "curves.png", "time_to_target.png"}
    names |= {"differences.png", "profile.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_files_go_where_the_runs_are(tmp_path, monkeypatch, capsys):
    fabricate.run(tmp_path / "sweep/0", [0.5, 0.6])
    fabricate.run(tmp_path / "sweep/1", [0.5, 0.6], seed=1)
    monkeypatch.chdir(tmp_path)
    assert main(["sweep"]) == 0
    assert (tmp_path / "sweep/report/report.html").is_file()
    assert "sweep/report/report.md" in capsys.readouterr().out
    # Any mixture of run folders; and a second report does not take the first for a run.
    assert main(["sweep/0", "sweep/1"]) == 0
    assert main(["sweep", "--no-files"]) == 0


def test_list_has_a_line_a_run(sweep, capsys):
    assert main(["--list", str(sweep)]) == 0
    heading, names, *lines = capsys.readouterr().out.splitlines()
    assert (heading.split(), names.split()) == (["test", "training"], ["run", "status", "acc", "%", "seconds"])
    assert len(lines) == 11
    assert lines[-1].split() == [str(sweep / "x"), "diverged", "10.00", "40.0"]


def test_a_narrow_terminal_has_fewer_columns_and_none_of_them_cut(sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert main([str(sweep), "--no-files"]) == 0
    lines = capsys.readouterr().out.partition("What each group ends at")[2].splitlines()
    tables = [line for line in lines if not line.startswith("·")]
    assert "…" not in "".join(tables)
    assert sum(line.startswith(("baseline", "group")) for line in tables) == 4


@pytest.mark.parametrize("columns", [80, 40])
def test_list_fits_a_terminal(sweep, capsys, monkeypatch, columns):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["--list", str(sweep)]) == 0
    printed = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= columns
    assert "".join(printed.split()).startswith(str(sweep))
    (line,) = (line.split() for line in printed.splitlines() if line.startswith("x"))
    assert line == ["x", "diverged", "10.00", "40.0"][: 4 if columns == 80 else 3]


def test_list_names_what_it_cannot_read_and_counts_what_is_no_training(tmp_path, capsys):
    fabricate.run(tmp_path / "0", [0.5])
    (fabricate.run(tmp_path / "1", [0.5]) / "summary.json").write_text("{")
    for task in ("evaluate", "show", "evaluate"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}" / ".hydra"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"task: {{_target_: sconv.runner.tasks.{task}.{task}}}\n")
    assert main(["--list", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    broken, others = printed.err.splitlines()
    assert "1: summary.json: not JSON" in broken
    assert others == "3 other folders: evaluate, show"


def test_compare_shows_the_settings_that_differ_and_the_metrics(tmp_path, capsys):
    one = fabricate.run(tmp_path / "one", [0.5, 0.6])
    other = fabricate.run(tmp_path / "other", [0.5, 0.75], seed=3, schedule="onecycle", settings={"lr_max": 0.4})
    assert main(["--compare", str(one), str(other)]) == 0
    cells = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert cells[0] == ["A", str(one)]
    assert ["lr_max", "0.1", "0.4"] in cells
    assert ["seed", "0", "3"] in cells
    assert ["schedule._target_", "sconv.schedules.baseline", "sconv.schedules.onecycle"] in cells
    assert ["test", "accuracy", "0.6000", "0.7500"] in cells
    assert not any(line[0] == "epochs" for line in cells)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{root}/nowhere"], "sconv: report: {root}/nowhere is no directory"),
        (["{root}"], "sconv: report: no runs in {root}"),
        (["--list", "{root}"], "sconv: report: no runs in {root}"),
        (["--compare", "{root}", "{root}"], "sconv: compare: got {root}, expected a run directory"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, capsys, arguments, said):
    assert main([argument.format(root=tmp_path) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(said.format(root=tmp_path))


def test_a_target_that_is_no_accuracy_is_refused(sweep, capsys):
    assert main([str(sweep), "--target", "90"]) == 2
    assert capsys.readouterr().err == "sconv: target: got 90.0, expected a finite number above 0 and of at most 1\n"
