"""What is told about batch normalisation in short cycles is what was measured, and the rule is true of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sconv.training.final_statistics import too_few

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "experiments" / "batch_statistics"


def test_the_table_is_of_the_data_and_the_rule_true_of_it():
    told, page = (path.read_text() for path in (EVIDENCE / "README.md", ROOT / "docs" / "library.md"))
    measured = pd.read_csv(EVIDENCE / "results.csv")
    means = 100 * measured.groupby(["momentum", "batches"])[["averages", "computed"]].mean()
    for (momentum, batches), row in means.iterrows():
        memories = batches * (1 - momentum)
        assert f"| {momentum} | {batches:,} | {memories:.1f} | {row.averages:.1f} | {row.computed:.1f} |" in told
        if not too_few(batches, momentum):
            assert abs(row.computed - row.averages) < 0.3
        if memories < 5:
            assert row.computed - row.averages > 5
    lost = (means.computed - means.averages).max()
    assert f"cost up to {lost:.0f} points" in told
    pairs = [
        f"{row.averages:.1f} % against {row.computed:.1f} %"
        for row in means.loc[0.99].loc[[64, 315, 1250]].itertuples()
    ]
    assert ", ".join(pairs) in page.replace("\n", " ")
