"""Keras's own examples as documented, then one line changed: how many of its epochs does one cycle need?

    python -m experiments.keras_examples.measure --cifar10 FOLDER                     # all but the longest
    python -m experiments.keras_examples.measure --examples basic_classification      # one of them

Appends to results.csv beside this file and makes only what is not there; it can be stopped at any time. The documented
training and that with a rate of its own have constant rates: theirs is one training a seed, with a row wherever a
shorter one would end. `search` is the number of updates that finding the rate took; `updates` are without those.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import sconv
from experiments.keras_examples import examples
from experiments.keras_examples.examples import EXAMPLES, ON_REQUEST, Arrays, Example
from experiments.table import Table

HERE = Path(__file__).parent
COLUMNS = ("example", "arm", "epochs", "updates", "seed", "score", "rate", "search", "seconds")
SHARES = (1 / 16, 1 / 10, 1 / 8, 1 / 5, 1 / 4, 1 / 3, 1 / 2)  # of the documented epochs
FACTORS = (1 / 3, 1, 3, 10, 30)  # of the documented rate: the trials of the third arm
HOPELESS = 0.01  # below the target: two seeds that both end there are enough of a length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [name for name in EXAMPLES if name not in ON_REQUEST]
    parser.add_argument("--examples", nargs="+", default=known, choices=EXAMPLES)
    parser.add_argument("--cifar10", default="", help="folder of images")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)  # then a training repeats to the bit
    examples.CIFAR10 = arguments.cifar10
    table = Table(arguments.into / "results.csv", COLUMNS)
    for name in arguments.examples:
        Record(table, name, EXAMPLES[name]).make()


def lengths(epochs: int) -> list[int]:
    """The shares of so many epochs, in whole ones."""
    return sorted({math.ceil(share * epochs) for share in SHARES})


class Record:
    """The rows of one example."""

    def __init__(self, table: Table, name: str, example: Example, range_test: dict[str, Any] | None = None):
        self._table, self._name, self._example, self._range_test = table, name, example, range_test

    def make(self) -> None:
        """All that is not there yet: as documented, one cycle of growing length, as documented at its own best rate."""
        seeds = range(self._example.seeds)
        target = statistics.mean(self._documented(seed) for seed in seeds)
        for epochs in lengths(self._example.epochs):
            if self._reached(epochs, target):
                break
        cycles = self._table.find(example=self._name, arm="one_cycle")
        search = round(statistics.mean(int(row["search"]) for row in cycles))
        for seed in seeds:
            self._tuned(seed, search)

    def _reached(self, epochs: int, target: float) -> bool:
        scores: list[float] = []
        for seed in range(self._example.seeds):
            scores.append(self._cycle(epochs, seed))
            if len(scores) == 2 and max(scores) < target - HOPELESS:
                return False
        return statistics.mean(scores) >= target

    def _documented(self, seed: int) -> float:
        found = self._ends("documented", seed)
        return found if found is not None else self._constant("documented", seed, self._example.rate, 0)

    def _tuned(self, seed: int, search: int) -> None:
        if self._ends("own_rate", seed) is None:
            self._constant("own_rate", seed, best_rate(self._example, seed, search), search)

    def _ends(self, arm: str, seed: int) -> float | None:
        """The score of the last row of a training; it is the last that is written."""
        rows = self._table.find(example=self._name, arm=arm, seed=seed)
        return float(rows[-1]["score"]) if rows else None

    def _constant(self, arm: str, seed: int, rate: float, search: int) -> float:
        """As documented, but for the rate: rows at the lengths of the cycles too; returns the score of the last."""
        example, data = self._example, self._example.data()
        model = example.build(seed, rate)
        stops = Stops(model, example, data.test, lengths(example.epochs) if example.constant else [])
        callbacks = example.callbacks(rate) if example.callbacks else []
        # Validation changes no weights where nothing stops by it.
        validation = data.validation if callbacks else None
        fit = {"validation_data": validation, "epochs": example.epochs, "callbacks": [*callbacks, stops]}
        model.fit(*data.train, batch_size=example.batch_size, verbose=0, **self._weights(data.train), **fit)
        ends = [*stops.seen, (stops.epochs, example.judge(model, data.test), stops.seconds())]
        # All at once, the end last: what was cut short is made again as a whole.
        for epochs, score, seconds in ends:
            self._add(arm, epochs, seed, score, rate, search, seconds)
        return float(f"{ends[-1][1]:.4f}")

    def _cycle(self, epochs: int, seed: int) -> float:
        found = self._table.find(example=self._name, arm="one_cycle", epochs=epochs, seed=seed)
        if found:
            return float(found[0]["score"])
        example, data = self._example, self._example.data()
        model, start = example.build(seed), time.perf_counter()
        options = {"batch_size": example.batch_size, "verbose": 0, "range_test": self._range_test}
        score, rate, search = 0.0, math.nan, 0
        try:
            history = sconv.fit_one_cycle(model, *data.train, epochs=epochs, **options, **self._weights(data.train))
            rate, search = history.lr_max, len(history.range_test.losses)
            seconds = time.perf_counter() - start
            score = example.judge(model, data.test)
        except (sconv.Diverged, sconv.SettingError) as error:  # the second: a range test that shows no rate
            print(error, flush=True)
            seconds = time.perf_counter() - start
        return self._add("one_cycle", epochs, seed, score, rate, search, seconds)

    def _weights(self, train: Arrays) -> dict[str, Any]:
        return {"class_weight": self._example.class_weight(train[1])} if self._example.class_weight else {}

    def _add(self, arm: str, epochs: int, seed: int, score: float, rate: float, search: int, seconds: float) -> float:
        updates = epochs * math.ceil(len(self._example.data().train[0]) / self._example.batch_size)
        said = {"score": f"{score:.4f}", "rate": f"{rate:.4g}", "seconds": f"{seconds:.1f}"}
        key = {"example": self._name, "arm": arm, "epochs": epochs, "seed": seed}
        row = self._table.add(**key, updates=updates, search=search, **said)
        print(*row.values(), flush=True)
        return float(row["score"])


class Stops(keras.callbacks.Callback):
    """Scores a training at the ends of some of its epochs, and leaves that out of its seconds."""

    def __init__(self, model: keras.Model, example: Example, test: Arrays, epochs: list[int]):
        super().__init__()
        self.seen: list[tuple[int, float, float]] = []
        self.epochs, self._judging, self._start = 0, 0.0, time.perf_counter()
        self._scored, self._example, self._test, self._at = model, example, test, epochs

    def seconds(self) -> float:
        return time.perf_counter() - self._start - self._judging

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.epochs = epoch + 1
        if self.epochs in self._at:
            seconds = self.seconds()
            self.seen.append((self.epochs, self._example.judge(self._scored, self._test), seconds))
            self._judging += self.seconds() - seconds


def best_rate(example: Example, seed: int, updates: int) -> float:
    """The best of a few constant rates on data that is not trained on, all trials together of so many updates."""
    data = example.data()
    inputs, truth = data.train
    held = data.validation
    if held is None:
        cut = int(0.9 * len(inputs))
        (inputs, truth), held = (inputs[:cut], truth[:cut]), (inputs[cut:], truth[cut:])
    weights = {"class_weight": example.class_weight(truth)} if example.class_weight else {}
    scores = {}
    for rate in np.multiply(FACTORS, example.rate):
        model = example.build(seed, float(rate))
        stop = After(updates // len(FACTORS))
        fit = {"batch_size": example.batch_size, "epochs": updates, "callbacks": [stop], "verbose": 0}
        model.fit(inputs, truth, **fit, **weights)
        scores[float(rate)] = example.judge(model, held)
    return max(scores, key=lambda rate: scores[rate])


class After(keras.callbacks.Callback):
    """Ends a training after so many updates."""

    def __init__(self, updates: int):
        super().__init__()
        self._left = updates

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self._left -= 1
        if self._left <= 0:
            self.model.stop_training = True


if __name__ == "__main__":
    main()
