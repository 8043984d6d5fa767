"""experiments/search: its page is what its table says, and its pruner the one that is set."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from sconv.runner.config.schema import CONF
from sconv.runs import read_yaml

RECORD = Path(__file__).parents[1] / "experiments" / "search"

pytestmark = pytest.mark.skipif(not RECORD.is_dir(), reason="no checkout")


def test_the_page_is_of_the_table():
    tell = runpy.run_path(str(RECORD / "tell.py"))
    assert (RECORD / "README.md").read_text() == tell["page"]()
    found = tell["searches"]()
    assert {len(rows) for rows in found.values()} == {20}
    settings = read_yaml(CONF / "hydra" / "sweeper" / "search.yaml")
    ours = settings["pruner"]["percentile"], settings["prune_after"]
    assert ours == (90, 0.5)
    assert settings["pruner"]["n_startup_trials"] == 5
    assert tell["pruned"](list(found.values()), *ours)[1] < tell["pruned"](list(found.values()), 50, 0.25)[1]
    # Without the range test TPE begins as random search does: a difference is of what came after.
    for (task, kind, repeat), rows in found.items():
        if kind == "tpe":
            assert [row["lr_max"] for row in rows[:10]] == [row["lr_max"] for row in found[task, "random", repeat][:10]]
