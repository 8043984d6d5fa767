"""What experiments/momentum says of its table, and that the table is what training does today."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest

RECORD = Path(__file__).parents[1] / "experiments" / "momentum"


def table():
    with open(RECORD / "momentum.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_what_it_says():
    columns = table()
    assert f"Of {len(columns['set'])} updates" in (RECORD / "README.md").read_text()
    count = len(columns["set"])
    assert f"**{count} of {count}** updates" in (RECORD.parents[1] / "README.md").read_text()
    assert set(columns["set"]) == {0.95}
    assert columns["sconv"] == pytest.approx(columns["planned"], abs=2e-6)  # six digits
    assert np.ptp(columns["planned"]) == pytest.approx(0.1, abs=1e-4)


def test_the_probe_reads_the_same_again():
    module = runpy.run_path(str(RECORD / "measure.py"))
    module["run"].__globals__["EPOCHS"] = 1
    planned = module["onecycle_fastai"](module["LR_MAX"]).sample(125)[1]
    assert module["run"](module["Sets"]) == pytest.approx([0.95] * 125)
    read = module["run"](lambda steps: module["sconv"].OneCycleScheduler(module["LR_MAX"], steps))
    assert read == pytest.approx(planned, abs=1e-6)
