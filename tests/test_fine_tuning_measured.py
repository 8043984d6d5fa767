"""What is told of fine-tuning is what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "experiments" / "fine_tune"


def test_the_table_and_the_sentences_are_of_the_data():
    told, page = ((path.read_text()) for path in (EVIDENCE / "README.md", ROOT / "docs" / "library.md"))
    measured = pd.read_csv(EVIDENCE / "results.csv")
    assert set(measured.groupby(["images_a_class", "how", "rate"]).seed.nunique()) == {3}
    means = 100 * measured.pivot_table("accuracy", ["images_a_class", "rate"], "how")
    for (each, rate), row in means.iterrows():
        assert f"| {each} | {rate:g} | {row.fine_tune:.1f} | {row['head']:.1f} | {row.plain:.1f} |" in told
    for each, best in means.groupby("images_a_class").max().iterrows():
        line = f"{best.fine_tune:.1f} %, {best['head']:.1f} % and {best.plain:.1f} % from {each} images a class"
        assert line in " ".join(told.split())
        assert line in " ".join(page.split())
