"""What a step takes: stock, with `sconv.accelerate`, and with that in bfloat16; rounds that alternate.

    python -m experiments.keras_examples.seconds --cifar10 FOLDER    # on a machine that does nothing else

Writes seconds.csv beside this file, a row a round: the seconds of a step, all three measured one after the other.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import keras
import numpy as np

import sconv
from experiments.keras_examples import examples
from experiments.keras_examples.examples import EXAMPLES, Example

HERE = Path(__file__).parent
STEPS = 100  # of a round
VARIANTS = {"stock": (False, "float32"), "accelerated": (True, "float32"), "bfloat16": (True, "mixed_bfloat16")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", nargs="+", default=list(EXAMPLES), choices=EXAMPLES)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cifar10", default="", help="folder of images")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    examples.CIFAR10 = arguments.cifar10
    with open(arguments.into / "seconds.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["example", "round", *VARIANTS])
        for name in arguments.examples:
            for number, seconds in enumerate(rounds(EXAMPLES[name], arguments.rounds)):
                writer.writerow([name, number, *(f"{each:.6f}" for each in seconds)])
                file.flush()


def rounds(example: Example, count: int) -> list[list[float]]:
    """Seconds of a step of each variant, after one round that traces and warms up."""
    inputs, truth = example.data().train
    rows = np.resize(np.arange(len(inputs)), STEPS * example.batch_size)
    batches = inputs[rows], truth[rows]
    keras.utils.clear_session()
    models = [variant(example, *settings) for settings in VARIANTS.values()]
    return [[epoch(model, batches, example.batch_size) for model in models] for _ in range(count + 1)][1:]


def variant(example: Example, accelerated: bool, precision: str) -> keras.Model:
    """The compiled network so."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = example.model(example.rate)
    finally:
        keras.config.set_dtype_policy(before)
    if accelerated:
        sconv.accelerate(model)
    return model


def epoch(model: keras.Model, batches: tuple[np.ndarray, np.ndarray], size: int) -> float:
    """Seconds of a step of one epoch, without what tf.data may wait for at its end, up to as long as it took."""
    ends: list[float] = []

    def note(*_: object) -> None:
        ends.append(time.perf_counter())

    timer = keras.callbacks.LambdaCallback(on_epoch_begin=note, on_epoch_end=note)
    model.fit(*batches, batch_size=size, verbose=0, callbacks=[timer])
    return (ends[1] - ends[0]) / STEPS


if __name__ == "__main__":
    main()
