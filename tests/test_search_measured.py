"""experiments/search: its page is what its table says, and its pruner the one that is set."""

from __future__ import annotations

import re
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
    told = (RECORD.parents[1] / "docs" / "evidence.md").read_text()
    for task, name in (("mnist", "MNIST"), ("digits", "digits")):
        best = [
            [tell["best"](found[task, kind, repeat], 20)[0] for repeat in range(5)]
            for kind in ("tpe, range test", "random")
        ]
        gains = [ours - theirs for ours, theirs in zip(*best, strict=True)]
        assert re.search(rf"{re.escape(tell['interval'](gains))}( points)? on {name}", told)
    hit = tell["pruned"](list(found.values()), 50, 0.25)[1]
    assert f"the best trial of {hit} of {len(found)} searches; the default, of 0" in told
    assert {len(rows) for rows in found.values()} == {20}
    settings = read_yaml(CONF / "hydra" / "sweeper" / "search.yaml")
    ours = settings["pruner"]["percentile"], settings["prune_after"]
    assert ours == (90, 0.5)
    assert settings["pruner"]["n_startup_trials"] == 5
    assert tell["pruned"](list(found.values()), *ours)[1] == 0
    # Without the range test TPE begins as random search does: a difference is of what came after.
    for (task, kind, repeat), rows in found.items():
        if kind == "tpe":
            assert [row["lr_max"] for row in rows[:10]] == [row["lr_max"] for row in found[task, "random", repeat][:10]]
