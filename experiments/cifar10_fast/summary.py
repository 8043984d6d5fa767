"""The figures of the page, from results.csv, seconds.csv and pytorch.csv.

    python -m experiments.cifar10_fast.summary

Needs neither Keras nor TensorFlow. The minutes are of whole trainings, each alone on the machine: the updates, tracing
and one evaluation of the test images. What was evaluated after the epochs before is not counted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def accuracy() -> str:
    """What the seeds end at, alone and with mirrored images: mean and deviation."""
    rows = _rows()
    alone, both = (_percent(rows[name]) for name in ("accuracy", "mirrored"))
    return f"{alone} % of the test images right, {both} % with each image's mirror image ({len(rows)} seeds)"


def duration() -> str:
    """What one training takes."""
    minutes = _minutes(_rows())
    return f"in {minutes.mean():.1f} minutes ({minutes.min():.1f} to {minutes.max():.1f})"


def full_size() -> str:
    """How much longer the same updates take without small images."""
    epochs, each = int(_rows().epochs.iloc[0]), _seconds()
    counts = [len(part) for part in np.array_split(np.arange(epochs), len(each))]
    return f"{epochs * each.iloc[-1] / np.dot(counts, each):.2f} times as long"


def peer() -> str:
    """The same recipe in PyTorch, images always whole: what it ends at, when, and how that is made up."""
    rows, ours = _pytorch(), _minutes(_rows()).mean()
    theirs = (rows.seconds / 60).mean()
    ends = f"{_percent(rows.accuracy)} % ({_percent(rows.mirrored)} % with mirror images, {len(rows)} seeds)"
    return f"{int(rows.epochs.iloc[0])} epochs end at {ends} in {theirs:.1f} minutes, {theirs / ours:.2f} times as long"


def software() -> str:
    """How much longer PyTorch takes for an update of whole images."""
    rows = _pytorch()
    return (
        f"{(rows.seconds / rows.updates).mean() / _seconds().iloc[-1]:.2f} times as long for an update of whole images"
    )


def _rows() -> pd.DataFrame:
    return pd.read_csv(HERE / "results.csv")


def _pytorch() -> pd.DataFrame:
    return pd.read_csv(HERE / "pytorch.csv")


def _minutes(rows: pd.DataFrame) -> pd.Series:
    return (rows.seconds_training + rows.seconds_compiling + rows.seconds_evaluating / rows.epochs) / 60


def _seconds() -> pd.Series:
    """Medians over the rounds, of an update at each share of the images' size, rising."""
    return pd.read_csv(HERE / "seconds.csv").groupby("share").seconds.median()


def _percent(values: pd.Series) -> str:
    return f"{100 * values.mean():.2f} ± {100 * values.std():.2f}"


if __name__ == "__main__":
    for line in (accuracy(), duration(), full_size(), peer(), software()):
        print(line)
