"""hydra/sweeper=search: what is searched, what the study is told, and how a killed search goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_bad_input import carry_out, check

from sconv import checks, runs
from sconv.report import search as report_search
from sconv.runner.config.schema import CONF
from sconv.runner.sweeps import search, search_space, trial, trials

optuna = pytest.importorskip("optuna", reason="needs sconv[search]")
PATIENCE = 600
SPACE = ["lr_max=tag(log, interval(0.01, 1))", "optimizer.momentum=interval(0.5, 0.9)"]


class Killed(BaseException):
    pass


def parsed(*overrides, params=None):
    return search_space.parse(overrides, params or {}, None)


def test_the_syntax_of_the_command_line():
    d = optuna.distributions
    space, shared = parsed(
        *(
            "lr_max=tag(log, interval(0.01, 1))",
            "a=tag(int, interval(1, 9))",
            "b=int(interval(2, 8))",
            "c=range(1, 6, 2)",
        ),
        *(
            "d=range(0.1, 0.5, 0.1)",
            "e=x,y",
            "+model.hidden=choice([64], [32, 16])",
            "epochs=3",
            "~f",
            "g=shuffle(3,1,2)",
        ),
        *("h=tag(log, int(interval(1, 100)))", "i=range(5)"),
        params={"epochs": "range(9)", "j": "choice(u, v)"},
    )
    assert space == {
        "lr_max": d.FloatDistribution(0.01, 1, log=True),
        "a": d.IntDistribution(1, 9),
        "b": d.IntDistribution(2, 8),
        "c": d.IntDistribution(1, 5, step=2),
        "d": d.FloatDistribution(0.1, 0.4, step=0.1),
        "e": d.CategoricalDistribution(["x", "y"]),
        "+model.hidden": d.CategoricalDistribution(["[64]", "[32,16]"]),
        "g": d.CategoricalDistribution(["3", "1", "2"]),
        "h": d.IntDistribution(1, 100, log=True),
        "i": d.IntDistribution(0, 4),
        "j": d.CategoricalDistribution(["u", "v"]),
    }
    assert shared == ["epochs=3", "~f"]
    assert search_space.grid({name: space[name] for name in "cd"}) == {
        "c": [1, 3, 5],
        "d": pytest.approx([0.1, 0.2, 0.3, 0.4]),
    }
    assert search_space.middle(space["lr_max"]) == pytest.approx(0.1)
    assert [search_space.middle(space[name]) for name in "cegi"] == [3, "x", "3", 2]
    assert search_space.overrides({"lr_max": 1 / 3, "a": 2, "e": "x"}) == ["lr_max=0.333333", "a=2", "e=x"]


class Launcher:
    """Leaves the run directories that jobs would, of accuracies that a formula gives; may die in the midst."""

    def __init__(self, folder, dies_at=None, statuses=()):
        self.folder, self.dies_at, self.statuses = folder, dies_at, dict(statuses)
        self.launched = []

    def __call__(self, jobs, first):
        self.launched += jobs
        return [self.job(overrides, first + number) for number, overrides in enumerate(jobs)]

    def job(self, overrides, number):
        if "task=lr_find" in overrides:
            (self.folder / trial.RANGE_TEST).mkdir()
            (self.folder / trial.RANGE_TEST / "lr_find.json").write_text('{"suggestion": 0.4}')
            return self.folder / trial.RANGE_TEST
        if number == self.dies_at:
            raise Killed
        directory = self.folder / f"{number}-x"
        directory.mkdir()
        values = dict(override.split("=") for override in overrides)
        accuracy = 1 - abs(float(values["lr_max"]) - 0.3) / 2
        status = self.statuses.get(number, "finished")
        seconds = {"training": 10.0 - number}
        summary = {"status": status, "monitored": "validation", "seconds": seconds, "final": {"val_accuracy": accuracy}}
        (directory / "summary.json").write_text(json.dumps(summary))
        return directory


def searched(folder, launcher=None, overrides=SPACE, sampler="tpe", n_trials=14, n_jobs=1, objectives=("accuracy",)):
    folder.mkdir(exist_ok=True)
    settings = OmegaConf.load(CONF / "hydra" / "sweeper" / "sampler" / f"{sampler}.yaml")
    space, shared = parsed(*overrides)
    made, _ = search.sampler_of(OmegaConf.merge({"seed": 5}, {"sampler": settings}).sampler, space)
    asked = trials.Search(folder, space, shared, list(objectives), made, n_trials, n_jobs)
    study = trials.opened(asked)
    trials.run(study, asked, launcher or Launcher(folder))
    return study


def tried(study):
    return [(each.params, each.values) for each in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, sampler):
    whole = tried(searched(tmp_path / "whole", sampler=sampler))
    with pytest.raises(Killed):
        searched(tmp_path / "killed", Launcher(tmp_path / "killed", dies_at=12), sampler=sampler)
    # As a kill in the midst of writing leaves them.
    with open(tmp_path / "killed" / runs.STUDY, "a") as file:
        file.write('{"op_code":5,')
    (tmp_path / "killed" / f"{runs.STUDY}.lock").touch()
    again = Launcher(tmp_path / "killed")
    assert tried(searched(tmp_path / "killed", again, sampler=sampler)) == whole
    assert len(again.launched) == 2  # the one that was left running, and the one that was missing
    assert len({params["lr_max"] for params, _ in whole}) == 14


def test_another_search_is_refused_there(tmp_path):
    searched(tmp_path, n_trials=1)
    for other in (
        {"overrides": [*SPACE, "epochs=9"]},
        {"overrides": SPACE[:1]},
        {"objectives": ["accuracy", "seconds"]},
    ):
        with pytest.raises(checks.SettingError, match=r"^resume_sweep: got .*, the search of another command"):
            searched(tmp_path, **other)


def test_what_the_study_is_told_of_each_end(tmp_path):
    ends = {1: "diverged", 2: "failed", 3: "pruned", 4: "interrupted"}
    states = [each.state.name for each in searched(tmp_path, Launcher(tmp_path, statuses=ends), n_trials=6).trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "RUNNING", "COMPLETE"]
    study = runs.open_study(tmp_path)
    assert study.trials[1].values == [0.0]
    # What failed is made up for when it is taken up again, and what was interrupted goes on under its number.
    (tmp_path / "4-x" / "summary.json").unlink()
    (tmp_path / "4-x").rmdir()
    again = Launcher(tmp_path)
    after = searched(tmp_path, again, n_trials=6)
    assert [each.state.name for each in after.trials[4:]] == ["COMPLETE"] * 3
    assert len(again.launched) == 2


def test_of_several_objectives_what_diverged_is_never_among_the_best(tmp_path, capsys):
    both = ["accuracy", "seconds"]
    study = searched(tmp_path, Launcher(tmp_path, statuses={5: "diverged"}), n_trials=6, objectives=both)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.trials[5].values == [0.0, 10.0]  # in truth it took 5
    assert 5 not in [each.number for each in study.best_trials]


def test_a_grid_tries_every_combination_once(tmp_path):
    study = searched(tmp_path, overrides=["lr_max=0.1,0.2", "epochs=range(1,4)"], sampler="grid", n_trials=6, n_jobs=4)
    assert sorted(tuple(each.params.values()) for each in study.trials) == [
        (lr_max, epochs) for lr_max in ("0.1", "0.2") for epochs in (1, 2, 3)
    ]


def test_the_range_test_names_the_first_trials(tmp_path, capsys):
    space, shared = parsed("lr_max=tag(log, interval(0.01, 0.5))", SPACE[1], "epochs=3")
    asked = trials.Search(
        tmp_path, space, shared, ["accuracy"], lambda seed: optuna.samplers.TPESampler(seed=seed), 3, 1
    )
    study, launcher = trials.opened(asked), Launcher(tmp_path)
    trials.seed(study, asked, launcher)
    trials.run(study, asked, launcher)
    first = ["optimizer.momentum=0.7", "epochs=3", "task=lr_find", f"hydra.sweep.subdir={trial.RANGE_TEST}"]
    assert launcher.launched[0] == first
    assert [each.params["lr_max"] for each in study.trials[:2]] == [0.4, 0.2]  # 0.8 is not within the interval
    assert "suggests lr_max=0.4; tried first: 0.4, 0.2" in capsys.readouterr().out
    trials.seed(study, asked, launcher)  # not of one that goes on
    assert len(launcher.launched) == 4


REFUSED = [
    ("lr_max=tag(log, interval(1, 0.1))", "lr_max", "interval(1, 0.1)", "a low end below a high one"),
    ("lr_max=tag(log, interval(0, 1))", "lr_max", "interval(0, 1)", "above 0"),
    ("lr_max=tag(lin, interval(0, 1))", "lr_max", "lin", "log, int"),
    ("epochs=range(5, 5)", "epochs", "range(5, 5, 1)", "some numbers"),
    ("epochs=3", "hydra/sweeper", "nothing to search", "interval"),
    ("lr_mox=interval(0.1, 1)", "lr_mox", "no such setting", "lr_max"),
    ("lr_max=interval(0.1, 1) model=mlp,lenet55", "model", "'lenet55'", "lenet5"),
    ("lr_max=interval(0.1, 1) task=show", "task", "'show'", "train"),
    ("lr_max=interval(0.1, 1) hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials", "0", "at least 1"),
    ("lr_max=interval(0.1, 1) hydra.sweeper.objectives=[speed]", "hydra.sweeper.objectives", "'speed'", "seconds"),
    ("lr_max=interval(0.1, 1) hydra/sweeper/sampler=tpo", "hydra/sweeper/sampler", "'tpo'", "tpe"),
    ("lr_max=interval(0.1, 1) hydra/sweeper/sampler=grid", "lr_max", "an interval", "range(...)"),
    ("lr_max=interval(0.1, 1) hydra.sweeper.pruner.percentil=3", "hydra.sweeper.pruner.percentil", "", "percentile"),
]


WITHOUT_OPTUNA = f"""
import importlib.util, sys
from sconv.runner.cli import main
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "optuna" else found(name)
sys.argv = ["sconv", "-m", "hydra/sweeper=search", {SPACE[0]!r}]
try:
    main()
except SystemExit as ended:
    print(ended.code)
"""


@pytest.fixture(scope="module")
def refused(tmp_path_factory, environment):
    """How each of the searches ended, then one without its sweeper, then one without its package."""
    root = tmp_path_factory.mktemp("refused")
    searched = [["-m", "hydra/sweeper=search", *re.split(r"(?<!,) ", case[0])] for case in REFUSED]
    asked = [*({"arguments": each} for each in [*searched, ["-m", SPACE[0]]]), {"python": WITHOUT_OPTUNA}]
    return carry_out([{"folder": str(root / str(place)), **each} for place, each in enumerate(asked)], environment)


@pytest.mark.parametrize("place", range(len(REFUSED)), ids=[case[0] for case in REFUSED])
def test_one_line(refused, place):
    check(refused[place], *REFUSED[place][1:])
    assert refused[place]["statuses"] == []


def test_what_it_needs(refused):
    check(refused[-2], "lr_max", "interval", "hydra/sweeper=search")
    said = "sconv: hydra/sweeper: got 'search', which comes with pip install 'sconv[search]'\n"
    assert (refused[-1]["out"], refused[-1]["err"]) == ("2\n", said)


@pytest.mark.parametrize(
    ("setting", "prunes"),
    [({}, True), ({"pruner": None}, False), ({"objectives": ["seconds"]}, False), ({"_target_": "other"}, False)],
    ids=str,
)
def test_which_jobs_are_trials_that_may_be_pruned(tmp_path, setting, prunes):
    sweeper = OmegaConf.load(CONF / "hydra" / "sweeper" / "search.yaml")
    hydra = OmegaConf.create({"sweeper": {**sweeper, **setting}, "sweep": {"dir": str(tmp_path)}, "job": {"num": 7}})
    found = trial.of_job(hydra)
    assert (found is not None and (found.directory, found.number) == (tmp_path, 7)) is prunes


def test_a_strangers_journal_spoils_no_report(tmp_path):
    (tmp_path / runs.STUDY).write_text('{"op_code":0}\n\x1b[31m\n')
    pictures, (note,) = report_search.pictures([tmp_path])
    assert pictures == {}
    assert note.startswith(f"{tmp_path / runs.STUDY} cannot be drawn: ")
    assert note.isprintable()


def test_hydra_finds_it_without_loading_optuna(environment):
    code = "import sys, hydra_plugins.sconv_search; print({'optuna', 'keras', 'sconv'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.stdout.strip() == "set()", ran.stderr
    assert OmegaConf.load(CONF / "hydra" / "sweeper" / "search.yaml")._target_ == trial.SWEEPER


# --- From the command line -----------------------------------------------------------------------------------------

TINY = [
    "dataset=synthetic",
    "dataset.shape=[6,6,1]",
    "dataset.classes=4",
    "dataset.train_size=80",
    "dataset.test_size=20",
]
TINY += ["model=mlp", "model.hidden=[16]", "epochs=4", "batch_size=8"]
SEARCH = ["-m", "hydra/sweeper=search", *TINY]


def told(folder):
    return [(each.state.name, each.params["lr_max"], each.values) for each in runs.open_study(folder).trials]


@pytest.mark.slow
def test_it_ends_in_a_table_and_a_report_with_pictures(command, tmp_path):
    """Among the trials one diverges and one is hopeless; the report is that of any sweep, and the study's pictures."""
    several = ["lr_max=tag(log, interval(0.0001, 2))", "lr_find.suggestion=slide", "hydra.sweeper.n_trials=6"]
    pruning = ["hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.pruner.percentile=1"]
    ran = command(*SEARCH, *several, *pruning, "hydra.sweep.dir=sweep")
    assert ran.returncode in (0, 3), ran.stderr
    found = {run.name.split("-")[0]: runs.read_summary(run) for run in runs.find(tmp_path / "sweep")}
    statuses = [found[str(number)]["status"] for number in range(6)]
    assert "pruned" in statuses
    table = [line.split() for line in ran.stdout[ran.stdout.index("job ") :].splitlines()]
    assert [row[2] for row in table if row and row[0].isdigit()] == statuses
    assert [row[0] for row in table if row and row[0] == "range_test"]
    tried = told(tmp_path / "sweep")
    assert [rate for _, rate, _ in tried[:1]] == pytest.approx([found["range_test"]["lr_max"]])
    for number, (state, _, values) in enumerate(tried):
        if statuses[number] == "finished":
            assert (state, values) == ("COMPLETE", [found[str(number)]["test"]["accuracy"]])
        if statuses[number] == "pruned":
            assert state == "PRUNED"
            assert 2 <= found[str(number)]["final"]["epoch"] < 4
    report = [sys.executable, "-m", "sconv.report", "sweep"]
    made = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert made.returncode == 0, made.stderr
    out = tmp_path / "sweep" / "report"
    assert "](search-history.png)" in (out / "report.md").read_text()
    assert (out / "search-history.png").stat().st_size > 10_000
    drawn = sorted(path.name for path in out.glob("search-*.png"))
    assert drawn == ["search-history.png", "search-importance.png", "search-slices.png"]
    assert (out / "report.html").read_text().count('<img src="data:image/png;base64,') == len(drawn)


@pytest.mark.slow
def test_a_search_in_workers_that_is_killed_goes_on(environment, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs sconv[joblib]")
    workers = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
    options = [*workers, "hydra.sweeper.n_trials=4", "hydra.sweeper.range_test=false", SPACE[0]]
    command = [sys.executable, "-m", "sconv", *SEARCH, *options]
    settings = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen([*command, "hydra.sweep.dir=sweep"], start_new_session=True, **settings)
    until = time.monotonic() + PATIENCE
    while len(list(Path(tmp_path, "sweep").glob("*/steps.csv"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = told(tmp_path / "sweep")
    assert "RUNNING" in [state for state, *_ in before]
    assert subprocess.run([*command, "resume_sweep=sweep"], timeout=PATIENCE, **settings).returncode == 0
    after = told(tmp_path / "sweep")
    assert [state for state, *_ in after] == ["COMPLETE"] * 4
    assert [rate for _, rate, _ in after[: len(before)]] == [rate for _, rate, _ in before]
    assert len(runs.find(tmp_path / "sweep")) == 4
