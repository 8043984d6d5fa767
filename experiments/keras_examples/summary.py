"""The table of the page, from results.csv.

    python -m experiments.keras_examples.summary    # puts it into README.md

Needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
# In the order of the page: what the examples are called there.
TITLES = {
    "fuel_efficiency": "[fuel efficiency](https://www.tensorflow.org/tutorials/keras/regression)",
    "wine_quality": "[wine quality](https://keras.io/examples/keras_recipes/bayesian_neural_networks/)",
    "timeseries_transformer": "[time series transformer]"
    "(https://keras.io/examples/timeseries/timeseries_classification_transformer/)",
    "basic_classification": "[basic classification](https://www.tensorflow.org/tutorials/keras/classification)",
    "imbalanced_classification": "[imbalanced classification]"
    "(https://keras.io/examples/structured_data/imbalanced_classification/)",
    "mnist_convnet": "[MNIST convnet](https://keras.io/examples/vision/mnist_convnet/)",
    "images_cnn": "[images/cnn](https://www.tensorflow.org/tutorials/images/cnn)",
    "cifar10_cnn": "[cifar10_cnn](https://github.com/keras-team/keras/blob/2.3.1/examples/cifar10_cnn.py)",
    "cutmix": "[ResNet-20 of cutmix](https://keras.io/examples/vision/cutmix/)",
    "cifar10_resnet": "[cifar10_resnet](https://github.com/keras-team/keras/blob/2.3.1/examples/cifar10_resnet.py)",
}


@dataclass(frozen=True)
class Summary:
    """What the rows of one example say; epochs are None where nothing reached the target."""

    seeds: int
    epochs: float
    target: float
    spread: float
    documented: int | None  # epochs after which the documented training is there already
    cycle: int | None
    cycle_score: float
    counted: float | None  # the factor in updates, those of the range test included
    own_rate: int | None
    own_rate_end: float

    @property
    def factor(self) -> float | None:
        return None if self.cycle is None else self.epochs / self.cycle


def read() -> pd.DataFrame:
    """The rows, scores in percent."""
    path = HERE / "results.csv"
    rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["example", "arm", "score"])
    rows["score"] *= 100
    return rows


def summaries(rows: pd.DataFrame) -> dict[str, Summary]:
    """Of the examples that are complete: the arm that comes last has as many seeds as the first."""
    found = {}
    for name, mine in rows.groupby("example", sort=False):
        ends, own = (mine[mine.arm == arm].groupby("seed").last() for arm in ("documented", "own_rate"))
        if len(own) == len(ends):
            found[str(name)] = _summary(mine, ends, own)
    return found


def _summary(mine: pd.DataFrame, ends: pd.DataFrame, own: pd.DataFrame) -> Summary:
    seeds, target = len(ends), ends.score.mean()
    of_arm = {arm: _means(mine[mine.arm == arm], seeds) for arm in ("documented", "one_cycle", "own_rate")}
    first = {arm: _first(means, target) for arm, means in of_arm.items()}
    cycles, cycle = of_arm["one_cycle"], first["one_cycle"]
    counted = None
    if cycle is not None:
        chosen = mine[(mine.arm == "one_cycle") & (mine.epochs == cycle)]
        counted = ends.updates.mean() / (chosen.updates + chosen.search).mean()
    return Summary(
        *(seeds, ends.epochs.mean(), target, ends.score.std(), first["documented"], cycle),
        *(cycles[cycle] if cycle else cycles.max(), counted, first["own_rate"], own.score.mean()),
    )


def _means(arm: pd.DataFrame, seeds: int) -> pd.Series:
    """By the number of epochs, ascending, where all seeds were trained."""
    by_length = arm.groupby("epochs").score
    return by_length.mean()[by_length.count() >= seeds]


def _first(means: pd.Series, target: float) -> int | None:
    return next((int(epochs) for epochs, score in means.items() if score >= target), None)


def lines(rows: pd.DataFrame) -> Iterator[str]:
    """The rows of the table."""
    complete = summaries(rows)
    for name, title in TITLES.items():
        yield f"| {title} | {_cells(complete[name])} |" if name in complete else f"| {title} | not run yet |"


def _cells(one: Summary) -> str:
    times = "-" if one.factor is None else f"{one.factor:.1f}"
    counted = "-" if one.counted is None else f"{one.counted:.1f}"
    cells = [
        *(f"{one.epochs:.0f}", f"{one.target:.2f} ± {one.spread:.2f}", f"{one.documented or round(one.epochs)}"),
        *(f"{one.cycle or 'none'}", f"{one.cycle_score:.2f}", times, counted),
        *(f"{one.own_rate or 'none'}", f"{one.own_rate_end:.2f}"),
    ]
    return " | ".join(cells)


def main() -> None:
    page = HERE / "README.md"
    table = "\n".join(lines(read()))
    page.write_text(re.sub(r"(?<=\n)(\| \[.*\n)+", lambda _: table + "\n", page.read_text(), count=1))


if __name__ == "__main__":
    main()
