"""What the ends of epochs cost: python -m benchmarks.ends

Trains LeNet-5, which has nothing else to accelerate, for ten epochs of `fit` on arrays, with a validation each, as
stock Keras and with `sconv.accelerate`, in turn; prints the whole time without as a ratio to that with it, and the
seconds between the epochs, which are those of training alone: what an evaluation waits for is in the whole. Writes
benchmarks/results/ends.json.
"""

from __future__ import annotations

import functools
import time

import keras
import numpy as np

import sconv
from benchmarks import harness
from sconv.datasets import Split, synthetic
from sconv.models import lenet5
from sconv.runner.devices import setup

EPOCHS, BATCH = 10, 64
SIZES = {"epochs of 50 steps": 3_200, "epochs of 200 steps": 12_800}


class Between(keras.callbacks.Callback):
    """Sums the seconds from the end of an epoch, its validation included, to the first batch of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self._ended = 0.0, 0.0

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self._ended = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if batch == 0 and self._ended:
            self.seconds += time.perf_counter() - self._ended


def main() -> None:
    """Measure, print a table, write the JSON."""
    rounds = harness.arguments(__doc__, rounds=7).parse_args().rounds
    setup.set_up("cpu", harness.cores())
    found = {}
    for name, size in SIZES.items():
        split = synthetic.load((28, 28, 1), 10, size, test_size=10).train
        between: dict[str, list[float]] = {"stock": [], "sconv": []}
        ways = {way: functools.partial(trained, split, model(way), between[way]) for way in between}
        for way in ways.values():
            way(epochs=1)
        clock = {way: each[:, 0] for way, each in harness.alternate(ways, rounds, time=lambda way: way()).items()}
        seconds = {f"{way} s": float(np.median(each)) for way, each in clock.items()}
        waits = {f"{way} between s": float(np.median(each[-rounds:])) for way, each in between.items()}
        found[name] = {**seconds, **waits, **harness.spread(clock["stock"] / clock["sconv"])}
        harness.show("LeNet-5", harness.rounded({name: found[name]}))
    harness.write("ends", rounds, harness.processor(), networks=harness.rounded(found))


def model(way: str) -> keras.Model:
    """The compiled network."""
    keras.utils.set_random_seed(0)
    built = lenet5.build((28, 28, 1), 10)
    built.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    if way == "sconv":
        sconv.accelerate(built)
    return built


def trained(split: Split, built: keras.Model, between: list[float], epochs: int = EPOCHS) -> tuple[float, float]:
    """Seconds of the clock and of the processor of one fit."""
    note = Between()
    clock, processor = time.perf_counter(), time.process_time()
    data = {"x": split.images, "y": split.labels, "validation_data": (split.images[:500], split.labels[:500])}
    built.fit(**data, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[note])
    between.append(note.seconds)
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
