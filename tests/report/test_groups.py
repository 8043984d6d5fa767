"""Which runs belong together, what they are called, and what cannot be read."""

import json

import pytest

import fabricate
from sconv import checks
from sconv.report import groups


def labels(root):
    return [group.label for group in groups.gather([root])[0]]


def test_runs_that_differ_only_in_what_is_not_trained_are_one_group(tmp_path):
    for seed in range(3):
        fabricate.run(
            tmp_path / f"a{seed}", [0.5], seed=seed, settings={"name": f"run {seed}", "resume_sweep": "." * seed}
        )
    fabricate.run(tmp_path / "b", [0.5], settings={"lr_max": 0.2})
    # The seed of the data is another setting than the seed of the run.
    fabricate.run(tmp_path / "c", [0.5], settings={"dataset.seed": 1})
    found, notes = groups.gather([tmp_path])
    assert [len(group.runs) for group in found] == [3, 1, 1]
    assert notes == []


def test_a_group_is_called_after_what_tells_it_from_the_others(tmp_path):
    fabricate.run(tmp_path / "0", [0.5])
    fabricate.run(tmp_path / "1", [0.5], schedule="onecycle", settings={"lr_max": 0.3})
    fabricate.run(tmp_path / "2", [0.5], schedule="onecycle", settings={"lr_max": 1.0})
    assert labels(tmp_path) == ["baseline lr_max=0.1", "onecycle lr_max=0.3", "onecycle lr_max=1.0"]


def test_what_varies_within_one_option_is_named_and_what_comes_with_the_option_is_not(tmp_path):
    for number, drops in enumerate(([0.5], [0.625, 0.875])):
        fabricate.run(tmp_path / str(number), [0.5], settings={"schedule.drops": drops})
    fabricate.run(tmp_path / "2", [0.5], schedule="onecycle", settings={"schedule.pct_start": 0.45})
    assert labels(tmp_path) == ["baseline schedule.drops=[0.5]", "baseline schedule.drops=[0.625, 0.875]", "onecycle"]


def test_one_group_is_called_after_its_schedule(tmp_path):
    fabricate.run(tmp_path / "0", [0.5], schedule="cosine")
    assert labels(tmp_path) == ["cosine"]


def test_the_tenth_job_comes_after_the_ninth(tmp_path):
    for number in range(11):
        fabricate.run(tmp_path / f"{number}-job", [0.5], settings={"lr_max": float(number)})
    assert [label.rpartition("=")[2] for label in labels(tmp_path)] == [f"{number}.0" for number in range(11)]


def test_settings_are_those_that_differ(tmp_path):
    fabricate.run(tmp_path / "0", [0.5])
    fabricate.run(tmp_path / "1", [0.5], schedule="onecycle", settings={"schedule.pct_start": 0.3})
    found, _ = groups.gather([tmp_path])
    assert groups.settings(found) == [
        ("schedule._target_", ["sconv.schedules.baseline", "sconv.schedules.onecycle"]),
        ("schedule.pct_start", ["-", "0.3"]),
    ]


def test_of_one_seed_run_twice_the_finished_and_then_the_newest_counts_and_it_is_said(tmp_path):
    fabricate.run(tmp_path / "0", [0.5], summary={"started": "2026-01-01T00:00:00"})
    fabricate.run(tmp_path / "1", [0.6], summary={"started": "2026-01-02T00:00:00"})
    fabricate.run(tmp_path / "2", [0.7], summary={"started": "2026-01-03T00:00:00"}, ends=KeyboardInterrupt())
    (group,), notes = groups.gather([tmp_path])
    assert [run.directory.name for run in group.runs] == ["1"]
    assert len(notes) == 2
    assert all("seed 0 was run again in" in note for note in notes)


def test_a_run_given_twice_counts_once(tmp_path):
    run = fabricate.run(tmp_path / "0", [0.5])
    (group,), notes = groups.gather([tmp_path, run, run])
    assert (len(group.runs), notes) == (1, [])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "summary.json").unlink(), "summary.json is missing"),
        (lambda run: (run / "summary.json").write_text('{"status": "fin'), "summary.json: not JSON"),
        (lambda run: (run / "summary.json").write_text('{"status": "great"}'), "no status"),
        (lambda run: edit(run, test={"accuracy": None}), "without a test accuracy"),
        (lambda run: edit(run, monitored="validation", final=None), "without a validation accuracy"),
        (lambda run: edit(run, seconds=None), "seconds is None"),
        (lambda run: edit(run, steps="many"), "steps is 'many'"),
        (lambda run: (run / ".hydra/config.yaml").unlink(), "config.yaml is missing"),
        (lambda run: (run / ".hydra/config.yaml").write_text("a: [1"), "config.yaml: not YAML"),
        (lambda run: (run / ".hydra/config.yaml").write_text(""), "config.yaml: empty"),
        (lambda run: (run / ".hydra/hydra.yaml").write_text("hydra: {}"), "hydra.yaml: names no options"),
        (lambda run: (run / "epochs.csv").unlink(), "epochs.csv is missing"),
        (lambda run: (run / "epochs.csv").write_text(""), "epochs.csv: "),
        (lambda run: (run / "epochs.csv").write_text("epoch,step\n1,2\n"), "columns are missing"),
        (lambda run: cut(run / "epochs.csv", 12), "rows or columns are missing"),
        (lambda run: (run / "epochs.csv").write_text(HEADER), "epochs are missing"),
        (lambda run: (run / "epochs.csv").write_text(HEADER + "1,2,x,4,5,6,7\n"), "could not convert"),
    ],
)
def test_a_run_that_cannot_be_read_is_left_out_and_named_and_the_others_stay(tmp_path, spoil, said):
    fabricate.run(tmp_path / "good", [0.5, 0.6])
    spoil(fabricate.run(tmp_path / "spoiled", [0.5, 0.6], seed=1))
    (group,), (note,) = groups.gather([tmp_path])
    assert [run.directory.name for run in group.runs] == ["good"]
    assert note.startswith(f"left out: {tmp_path / 'spoiled'}: ")
    assert said in note
    assert "\n" not in note


HEADER = "epoch,step,seconds,loss,accuracy,val_loss,val_accuracy\n"


def edit(run, **fields):
    path = run / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def cut(path, characters):
    path.write_text(path.read_text()[:-characters])


def test_the_row_that_a_kill_cut_short_does_not_spoil_a_run_that_was_interrupted(tmp_path):
    run = fabricate.run(tmp_path / "0", [0.5, 0.6, 0.7], ends=KeyboardInterrupt())
    cut(run / "epochs.csv", 12)
    (group,), notes = groups.gather([tmp_path])
    assert group.runs[0].epochs["val_accuracy"].tolist() == [0.5, 0.6]
    assert notes == []


def test_runs_of_another_task_are_left_out_and_counted(tmp_path):
    fabricate.run(tmp_path / "0", [0.5])
    for seed in range(2):
        fabricate.run(tmp_path / f"lr{seed}", [0.5], seed=seed, settings={"task._target_": "sconv.lr_finder.find"})
    (group,), notes = groups.gather([tmp_path])
    assert len(group.runs) == 1
    assert notes == ["2 other folders: find"]


def test_runs_that_should_be_alike_and_were_made_on_other_machines_are_named(tmp_path):
    for seed, commit in enumerate(("abc", "def")):
        fabricate.run(tmp_path / str(seed), [0.5], seed=seed, summary={"git_commit": commit})
    assert groups.gather([tmp_path])[1] == ["baseline: its runs differ in git commit"]


@pytest.mark.parametrize("nothing", ["empty", "missing"])
def test_where_there_are_no_runs_one_line_says_so(tmp_path, nothing):
    (tmp_path / "empty").mkdir()
    with pytest.raises(checks.UserError, match=r"^report: (no runs in|.* is no directory)"):
        groups.gather([tmp_path / nothing])


def test_where_nothing_can_be_read_the_error_says_what_there_was(tmp_path):
    run = fabricate.run(tmp_path / "0", [0.5])
    (run / "summary.json").write_text("")
    with pytest.raises(checks.UserError, match=r"no training runs to compare; left out: .*summary.json: not JSON"):
        groups.gather([tmp_path])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("schedule=onecycle", ["onecycle lr_max=0.3", "onecycle lr_max=1.0"]),
        ("schedule=onecycle lr_max=0.3", ["onecycle lr_max=0.3"]),
        ("onecycle lr_max=1.0", ["onecycle lr_max=1.0"]),
        ("lr_max=7", []),
    ],
)
def test_groups_are_found_by_settings_and_by_label(tmp_path, wanted, found):
    fabricate.run(tmp_path / "0", [0.5])
    for rate in (0.3, 1.0):
        fabricate.run(tmp_path / str(rate), [0.5], schedule="onecycle", settings={"lr_max": rate})
    assert [group.label for group in groups.matching(groups.gather([tmp_path])[0], wanted)] == found


@pytest.mark.parametrize("wanted", ["", "onecycle", "schedule="])
def test_a_baseline_that_is_no_setting_is_refused(wanted):
    with pytest.raises(checks.UserError, match="expected settings such as schedule=baseline"):
        groups.matching([], wanted)
