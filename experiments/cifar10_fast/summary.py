"""The figures of the page, from results.csv and seconds.csv. Needs neither Keras nor TensorFlow.

python -m experiments.cifar10_fast.summary
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def accuracy() -> str:
    """Mean and deviation of the seeds, alone and with mirrored images."""
    rows = pd.read_csv(HERE / "results.csv")
    alone, both = (f"{100 * rows[name].mean():.2f} ± {100 * rows[name].std():.2f}" for name in ("accuracy", "mirrored"))
    return f"{alone} % of the test images right, {both} % with each image's mirror image, {len(rows)} seeds"


def updates() -> pd.DataFrame:
    """Medians over the rounds of seconds.csv, a row a way: seconds of an update, of tracing, of an evaluation."""
    rows = pd.read_csv(HERE / "seconds.csv")
    each = pd.DataFrame(
        {
            "way": rows["way"],
            "update": rows.training / rows.updates,
            "compiling": rows.compiling,
            "evaluation": rows.evaluating / rows.epochs,
        }
    )
    return each.groupby("way").median()


def duration() -> str:
    """What one training takes on both cores: its updates, tracing, and one evaluation at its end."""
    seconds, steps = updates().loc["progressive"], int(pd.read_csv(HERE / "results.csv").updates.iloc[0])
    total = steps * seconds["update"] + seconds.compiling + seconds.evaluation
    return (
        f"{steps:,} updates of {1000 * seconds['update']:.0f} ms, tracing and one evaluation: {total / 60:.1f} minutes"
    )


def saved() -> str:
    """How much longer the same updates take without small images: the median of the ratios within rounds."""
    rows = pd.read_csv(HERE / "seconds.csv").pivot(index="round", columns="way", values="training")
    return f"{(rows['full size'] / rows['progressive']).median():.2f} times as long"


if __name__ == "__main__":
    for line in (accuracy(), duration(), saved()):
        print(line)
