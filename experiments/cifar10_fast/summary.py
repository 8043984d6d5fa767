"""The figures of the page, from results.csv and seconds.csv.

    python -m experiments.cifar10_fast.summary

Needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def accuracy() -> str:
    """What the seeds end at, alone and with mirrored images: mean, and deviation of more than one."""
    rows = pd.read_csv(HERE / "results.csv")
    alone, both = (_told(100 * rows[name]) for name in ("accuracy", "mirrored"))
    seeds = f"{len(rows)} seeds" if len(rows) > 1 else "one seed"
    return f"{alone} % of the test images right, {both} % with each image's mirror image ({seeds})"


def _told(values: pd.Series) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def duration() -> str:
    """What one training takes by seconds.csv: its updates, tracing, and one evaluation at its end."""
    epochs, steps = _lengths()
    each, once = _seconds()
    counts = [len(part) * steps // epochs for part in np.array_split(np.arange(epochs), len(each))]
    total = float(np.dot(counts, each) + once)
    return f"{steps:,} updates, tracing and one evaluation take {total / 60:.1f} minutes"


def full_size() -> str:
    """How much longer the same updates take without small images."""
    epochs, _ = _lengths()
    each, _ = _seconds()
    counts = [len(part) for part in np.array_split(np.arange(epochs), len(each))]
    return f"{epochs * each[-1] / np.dot(counts, each):.2f} times as long"


def _lengths() -> tuple[int, int]:
    first = pd.read_csv(HERE / "results.csv").iloc[0]
    return int(first.epochs), int(first.updates)


def _seconds() -> tuple[list[float], float]:
    """Medians over the rounds: of an update at each share, rising; and of what comes once."""
    rows = pd.read_csv(HERE / "seconds.csv")
    return rows.groupby("share").seconds.median().tolist(), float((rows.compiling + rows.evaluation).median())


if __name__ == "__main__":
    for line in (accuracy(), duration(), full_size()):
        print(line)
