"""The records: what is told of them is what their data says, and what their data says is still so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulations as sim
from experiments.momentum import measure
from experiments.search import tell
from sconv.lr_finder.result import RangeTestSettings, analyse
from sconv.runner.config.schema import CONF
from sconv.runs import read_yaml
from sconv.training.final_statistics import too_few

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "experiments"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}

pytestmark = pytest.mark.skipif(not RECORDS.is_dir(), reason="no checkout")


def check(root):
    command = [sys.executable, "-m", "experiments.check"]
    return subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def test_every_number_is_that_of_the_data():
    checked = check(ROOT)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def change(path, before, after):
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))


def test_a_number_that_differs_or_that_nothing_computes_is_told(tmp_path):
    shutil.copytree(RECORDS, tmp_path / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "docs/evidence.md", "docs/library.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    record = tmp_path / "experiments"
    change(tmp_path / "README.md", "89.93 ± 0.33", "89.94 ± 0.33")
    change(
        record / "fine_tune" / "results.csv",
        "\n20,0,fine_tune,0.03,",
        "\n20,0,fine_tune,0.03,0.03,0.9999\n20,9,other,0.03,",
    )
    change(record / "momentum" / "README.md", "in accuracy.", "in accuracy: perhaps 0.7 points, in half (50 %) of all.")
    change(tmp_path / "docs" / "evidence.md", "experiments/lr_rules/", "experiments/no_rules/")
    told = check(tmp_path)
    assert told.returncode == 1
    lines = told.stdout.splitlines()
    assert "docs/evidence.md: no row for experiments/lr_rules/README.md" in lines
    wanted = "| 1cycle, lr_max 0.005 | 89.9{} ± 0.33 |"
    assert f"README.md: {wanted.format(4)}, the data says: {wanted.format(3)}" in lines
    assert any(line.startswith("experiments/fine_tune/README.md: | 20 | 0.03 | 45.5 | ") for line in lines)
    assert sum("experiments/momentum/README.md: nothing computes: " in line for line in lines) == 2


def test_the_rules_still_pick_so():
    planned = RangeTestSettings().schedule.sample(RangeTestSettings().max_steps)[0]
    tests = pd.read_csv(RECORDS / "lr_rules" / "range_tests.csv").set_index(["pair", "seed"]).losses.str.split()
    picks = pd.read_csv(RECORDS / "lr_rules" / "picks.csv").set_index(["pair", "seed", "rule"]).lr_max
    found = {key: analyse(planned[: len(losses)], np.array(losses, float)).suggestions for key, losses in tests.items()}
    now = {(*key, rule): rate for key, suggestions in found.items() for rule, rate in suggestions.items()}
    assert now == pytest.approx({key: rate for key, rate in picks.items() if "/" not in key[2]}, rel=1e-3)


def test_searches_prune_by_the_measured_rule_and_all_of_one_task_begin_alike():
    settings, found = read_yaml(CONF / "hydra" / "sweeper" / "search.yaml"), tell.searches()
    assert {len(rows) for rows in found.values()} == {20}
    pruner = settings["pruner"]
    assert (pruner["percentile"], settings["prune_after"], pruner["n_startup_trials"]) == (90, 0.5, 5)
    for (task, kind, repeat), rows in found.items():
        if kind == "tpe":
            assert [row["lr_max"] for row in rows[:10]] == [row["lr_max"] for row in found[task, "random", repeat][:10]]


def test_the_rule_of_update_bn_is_true_of_the_measured():
    measured = pd.read_csv(RECORDS / "batch_statistics" / "results.csv").groupby(["momentum", "batches"])
    gained = 100 * (measured.computed.mean() - measured.averages.mean())
    for (momentum, batches), points in gained.items():
        if not too_few(batches, momentum):
            assert abs(points) < 0.3
        if batches * (1 - momentum) < 5:
            assert points > 5


def test_the_probe_reads_the_same_momenta_again(monkeypatch):
    monkeypatch.setattr(measure, "EPOCHS", 1)
    planned = measure.onecycle_fastai(measure.LR_MAX).sample(125)[1]
    assert measure.run(measure.Sets) == pytest.approx([0.95] * 125)
    read = measure.run(lambda steps: measure.sconv.OneCycleScheduler(measure.LR_MAX, steps))
    assert read == pytest.approx(planned, abs=1e-6)


@pytest.mark.slow
def test_every_command_still_runs():
    command = [sys.executable, "-W", "ignore", "-m", "experiments.smoke"]
    ran = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    measured = {path.parent.name for path in RECORDS.glob("*/measure.py")}
    assert measured == set(re.findall(r"^-- experiments\.(\w+)\.measure", ran.stdout, re.MULTILINE)), ran.stdout


def test_schedule_free_adamw_is_that_of_the_paper():
    keras = pytest.importorskip("keras")
    if not hasattr(keras.optimizers, "ScheduleFreeAdamW"):
        pytest.skip("an older Keras: no ScheduleFreeAdamW")
    from experiments.schedule_free import ScheduleFreeAdamW

    means = {}

    def rule(w, g, slots, t, lr, _):
        before = slots.get("z", w)
        slots["v"] = 0.999 * slots.get("v", 0.0) + 0.001 * g**2
        slots["z"] = before - lr * g / (np.sqrt(slots["v"] / (1 - 0.999**t)) + 1e-8)
        means[w.shape] = (1 - 1 / t) * (w - 0.1 * before) / 0.9 + slots["z"] / t
        return 0.1 * slots["z"] + 0.9 * means[w.shape]

    model = keras.Sequential([keras.Input((sim.X.shape[1],)), keras.layers.Dense(1)])
    model.compile(ScheduleFreeAdamW(0.02), "mse")
    model.set_weights(sim.START)
    model.optimizer.build(model.trainable_variables)
    model.fit(sim.X, sim.Y, batch_size=sim.BATCH, epochs=2, shuffle=False, verbose=0)
    expected = sim.simulate(rule, sim.plain(2 * sim.PER_EPOCH, 0.02, 0.0))
    assert sim.distance(model.get_weights(), expected) < sim.TOLERANCE
    model.optimizer.averages()
    assert sim.distance(model.get_weights(), list(means.values())) < sim.TOLERANCE
    assert sim.distance(list(means.values()), expected) > 100 * sim.TOLERANCE


def test_the_ladder_takes_the_fewest_epochs_that_are_as_good_and_never_where_none_is():
    from experiments.ladder import summary

    def arm(epochs, ends, updates, work=1.0):
        taken = np.tile(np.array(updates, float)[:, None], len(ends[0]))
        return summary.Arm(epochs, np.array(ends), taken, [work] * len(ends))

    arms = {
        "documented": arm([7, 8, 15], [[60, 65], [71, 71], [70, 70]], [700, 800, 1500]),
        "one_cycle": arm([1, 2], [[60, 60], [75, 75]], [150, 250]),
        "bfloat16": arm([1, 2], [[60, 60], [75, 75]], [150, 250]),
        "recipe": arm([1, 2, 3], [[50, 50], [70, 70], [80, 80]], [20, 40, 60], work=2.0),
    }
    rounds = {"stock": [1.0, 3.0, 9.0], "accelerated": [2.0], "bfloat16": [1.5]}
    seconds = {name: [np.array(each)] for name, each in rounds.items()} | {"fast": [np.array([1.0]), np.array([2.0])]}
    assert summary.target(arms) == 70
    rungs = summary.ladder(arms, seconds)
    assert [rung.epochs for rung in rungs] == [8, 2, 2, 2, 2]
    assert [rung.seconds for rung in rungs] == [800 * 3, 250 * 3, 250 * 2, 250 * 1.5, 40 * 1.5]
    assert rungs[0].operations == pytest.approx(3 * 2 * 1e6 * 800 * 32 / 1e12)
    assert rungs[-1].operations == pytest.approx(3 * 2 * 2e6 * 40 * 256 / 1e12)
    assert summary.factors(rungs) == pytest.approx([3.2, 1.5, 4 / 3, 6.25, 6.4, 40])
    # Medians of three rounds drawn anew are any of them; seeds that differ decide nothing here.
    assert summary.intervals(arms, seconds) == [
        *("[3.2, 3.2]", "[0.5, 4.5]", "[1.3, 1.3]", "[6.2, 6.2]"),
        *(f"[{800 / 375:.1f}, {7200 / 375:.1f}]", f"[{800 / 60:.1f}, {7200 / 60:.1f}]"),
    ]
    arms["documented"] = arm([1, 8, 15], [[60, 65], [71, 71], [70, 70]], [100, 800, 1500])
    assert (summary.ladder(arms, seconds)[0].epochs, summary.ladder(arms, seconds)[0].updates) == (2, 200)
    arms["recipe"] = arm([1, 2], [[50, 50], [69, 69]], [20, 40])
    rungs = summary.ladder(arms, seconds)
    assert rungs[-1].epochs is None
    assert summary.factors(rungs)[-3::2] == [0, 0]
    assert summary.intervals(arms, seconds)[-1] == "[0.0, 0.0]"
    assert list(summary.lines(rungs))[-1] == "| another network and recipe | never | 69.0 |  |  |  | 0.0 |"
