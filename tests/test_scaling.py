"""What docs/scaling.md says of machines that are not here, computed again."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_larger_machines_is_what_a_ring_would_take(monkeypatch):
    """Step by step: each of n passes an n-th of the gradients on, n - 1 times to sum and as often to share."""
    page = ROOT / "docs" / "scaling.md"
    if not page.is_file():
        pytest.skip("no checkout")
    monkeypatch.syspath_prepend(str(ROOT))
    scaling = importlib.import_module("benchmarks.scaling")
    told = re.findall(r"^\| (.+) \| (\S+) GB \| (\d\.\d\d) to (\d\.\d\d) \|$", page.read_text(), re.MULTILINE)
    assert [name for name, *_ in told] == list(scaling.MACHINES)
    for name, bandwidth, *efficiencies in told:
        count, at = scaling.MACHINES[name]
        assert float(bandwidth) * 1e9 == at
        sent = sum(scaling.GRADIENTS / count for _ in range(count - 1) for _ in ("sum", "share"))
        for hidden, efficiency in zip((0, 2 / 3 * scaling.ALONE), efficiencies, strict=True):
            step = scaling.ALONE + max(0, sent / at - hidden)
            assert f"{scaling.ALONE / step:.2f}" == efficiency
