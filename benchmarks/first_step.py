"""How long `fit` takes to its first updates: python -m benchmarks.first_step

Builds each network anew and has `fit` make three updates of few images, nearly all of which is tracing: as stock Keras
does, and under `OneCycleScheduler`, which makes the variables of optimizer and metrics before the step is traced.
Prints the time without as a ratio to that with it, in turns. Writes benchmarks/results/first_step.json.
"""

from __future__ import annotations

import functools
import tempfile
import time

import numpy as np

from benchmarks import harness
from benchmarks.worker import Task, images_and_labels

MEASURED = ("MLP", "LeNet-5", "ResNet-20")
BATCH, UPDATES = 4, 3
WAYS = {"Keras": False, "sconv": True}


def main() -> None:
    """Measure, print a table, write the JSON."""
    rounds = harness.arguments(__doc__, rounds=9).parse_args().rounds
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for network in MEASURED:
            task = Task(network, "float32", BATCH, UPDATES, 1, harness.cores(), f"{folder}/none.npz", folder)
            ways = {name: functools.partial(first_updates, task, scheduled) for name, scheduled in WAYS.items()}
            clock = {name: each[:, 0] for name, each in harness.alternate(ways, rounds, time=lambda way: way()).items()}
            seconds = {name: float(np.median(each)) for name, each in clock.items()}
            found[network] = {**seconds, **harness.spread(clock["Keras"] / clock["sconv"])}
            harness.show("network", harness.rounded({network: found[network]}))
    harness.write("first_step", rounds, harness.processor(), networks=harness.rounded(found))


def first_updates(task: Task, scheduled: bool) -> tuple[float, float]:
    """Seconds of the clock and of the processor that `fit` takes for them, of a network that is new."""
    import keras

    from benchmarks.peers.keras_models import stock
    from sconv import OneCycleScheduler

    model = stock(task)
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = images_and_labels(task)
    callbacks = [OneCycleScheduler(0.01)] if scheduled else []
    clock, processor = time.perf_counter(), time.process_time()
    model.fit(images, labels, batch_size=task.batch, verbose=0, callbacks=callbacks)
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
