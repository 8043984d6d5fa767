"""The figures of the page, from results.csv, seconds.csv and pytorch.csv.

    python -m experiments.cifar10_fast.summary

Needs neither Keras nor TensorFlow. The minutes are those of the updates, tracing and one evaluation of the test images,
each at the median of seconds.csv.
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
    return f"{int(_rows().updates.iloc[0]):,} updates, tracing and one evaluation take {_minutes():.1f} minutes"


def full_size() -> str:
    """How much longer the same updates take without small images."""
    each, counts = _seconds(), _counts()
    return f"{sum(counts) * each.iloc[-1] / np.dot(counts, each):.2f} times as long"


def peer() -> str:
    """The same recipe in PyTorch, images always whole: what it ends at, when, and how that is made up."""
    rows, ours = _pytorch(), _minutes()
    theirs = (rows.seconds / 60).mean()
    ends = f"{_percent(rows.accuracy)} % ({_percent(rows.mirrored)} % with mirror images, {_seeds(rows)})"
    return f"{int(rows.epochs.iloc[0])} epochs end at {ends} in {theirs:.1f} minutes, {theirs / ours:.2f} times as long"


def software() -> str:
    """How much longer PyTorch takes for an update of whole images."""
    rows = _pytorch()
    return (
        f"{(rows.seconds / rows.updates).mean() / _seconds().iloc[-1]:.2f} times as long for an update of whole images"
    )


def _rows() -> pd.DataFrame:
    return _read("results.csv", "epochs", "updates")


def _pytorch() -> pd.DataFrame:
    return _read("pytorch.csv", "epochs", "updates")


def of_updates() -> pd.DataFrame:
    """What an update takes, in rounds of all sizes of images."""
    return _read("seconds.csv")


def _read(name: str, *columns: str) -> pd.DataFrame:
    """The rows, which are of one recipe and one machine."""
    rows = pd.read_csv(HERE / name)
    for column in (*columns, "precision", "threads", "processor"):
        if rows[column].nunique() != 1:
            raise ValueError(f"{name}: {column} is {', '.join(map(str, rows[column].unique()))}, expected one value")
    return rows


def _minutes() -> float:
    rows = of_updates()
    once = (rows.compiling + rows.evaluation).median()
    return float(np.dot(_counts(), _seconds()) + once) / 60


def _counts() -> list[int]:
    """Updates at each share of the images' size, rising."""
    first, shares = _rows().iloc[0], len(_seconds())
    steps = int(first.updates) // int(first.epochs)
    return [len(part) * steps for part in np.array_split(np.arange(first.epochs), shares)]


def _seconds() -> pd.Series:
    """Medians over the rounds, of an update at each share of the images' size, rising."""
    return of_updates().groupby("share").seconds.median()


def _seeds(rows: pd.DataFrame) -> str:
    return f"{len(rows)} seeds" if len(rows) > 1 else "one seed"


def _percent(values: pd.Series) -> str:
    ends = 100 * values
    return f"{ends.mean():.2f} ± {ends.std():.2f}" if len(ends) > 1 else f"{ends.mean():.2f}"


if __name__ == "__main__":
    for line in (accuracy(), duration(), full_size(), peer(), software()):
        print(line)
