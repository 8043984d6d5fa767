"""What a step takes: stock, with `sconv.accelerate`, and with that in bfloat16; rounds that alternate.

    python -m experiments.keras_examples.seconds --cifar10 FOLDER    # on a machine that does nothing else

Appends to seconds.csv beside this file, a row a round: the seconds of a step, all three measured one after the other.
Makes only the rounds that are not there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

import sconv
from benchmarks import harness
from experiments.keras_examples import examples
from experiments.keras_examples.examples import EXAMPLES, Example
from experiments.table import Table

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
    machine = {"threads": harness.cores(), "processor": harness.processor()["processor"]}
    table = Table(arguments.into / "seconds.csv", ("example", "round", *VARIANTS, *machine))
    for name in arguments.examples:
        there = len(table.find(example=name))
        for number, seconds in enumerate(rounds(EXAMPLES[name], arguments.rounds - there), start=there):
            told = {variant: f"{each:.6f}" for variant, each in zip(VARIANTS, seconds, strict=True)}
            print(*table.add(example=name, round=number, **told, **machine).values(), flush=True)


def rounds(example: Example, count: int) -> Iterator[list[float]]:
    """Seconds of a step of each variant, after one round that traces and warms up."""
    if count < 1:
        return
    inputs, truth = example.data().train
    rows = np.resize(np.arange(len(inputs)), STEPS * example.batch_size)
    batches = inputs[rows], truth[rows]
    keras.utils.clear_session()
    models = [variant(example, *settings) for settings in VARIANTS.values()]
    for number in range(count + 1):
        seconds = [epoch(model, batches, example.batch_size) for model in models]
        if number:
            yield seconds


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
