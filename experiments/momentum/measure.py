"""The momentum that an optimizer works with, under a callback that sets it and under sconv's.

    python -m experiments.momentum.measure    # momentum.csv and momentum.png beside this file, in half a minute

A probe tells it: one more weight, of which the loss does not depend. Its velocity is 1 at first, and each update of SGD
multiplies it by nothing but the momentum.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import sconv
from sconv.datasets import mnist_5k
from sconv.models import lenet5
from sconv.plots.figures import BLUE, ORANGE
from sconv.schedules import onecycle_fastai

HERE = Path(__file__).parent
EPOCHS, BATCH, LR_MAX = 2, 32, 0.1


class Probe(keras.layers.Layer):
    """A weight that is multiplied by zero."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.weight = self.add_weight(shape=(), initializer="zeros", name="probe")

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return inputs + 0 * self.weight


class Sets(keras.callbacks.Callback):
    """What is in circulation: before each batch, learning rate and momentum of the cycle are set on the optimizer."""

    def __init__(self, steps: int):
        super().__init__()
        self.rates, self.momenta = onecycle_fastai(LR_MAX).sample(steps)
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self.model.optimizer.learning_rate = self.rates[self.step]
        self.model.optimizer.momentum = float(self.momenta[self.step])
        self.step += 1


class Reads(keras.callbacks.Callback):
    """The momentum of each update, from the velocity of the probe before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_begin(self, logs: object = None) -> None:
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        place = next(n for n, each in enumerate(self.model.trainable_variables) if each.name == "probe")
        self.velocity = optimizer.momentums[place]

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self.velocity.assign(1.0)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.seen.append(float(self.velocity))


def run(callback: Callable[[int], keras.callbacks.Callback]) -> list[float]:
    """The momenta of a training of LeNet-5 on 5,000 digits."""
    keras.utils.set_random_seed(0)
    data = mnist_5k.load().train
    network = lenet5.build((28, 28, 1), 10)
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, Probe()(network(inputs)))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.95), "sparse_categorical_crossentropy")
    steps, reads = EPOCHS * -(-len(data) // BATCH), Reads()
    model.fit(data.images, data.labels, BATCH, EPOCHS, verbose=0, callbacks=[callback(steps), reads])
    return reads.seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE)
    into = parser.parse_args().into
    seen = {"set": run(Sets), "sconv": run(lambda steps: sconv.OneCycleScheduler(LR_MAX, steps))}
    planned = onecycle_fastai(LR_MAX).sample(len(seen["set"]))[1]
    assert planned is not None
    columns = {"planned": planned, **seen}
    with open(into / "momentum.csv", "w", newline="") as file:
        rows = ([f"{value:.6g}" for value in row] for row in zip(*columns.values(), strict=True))
        csv.writer(file).writerows([list(columns), *rows])
    draw({name: np.asarray(values) for name, values in columns.items()}).savefig(into / "momentum.png", dpi=160)


def draw(columns: dict[str, np.ndarray]) -> Figure:
    """Both, and what was asked for."""
    figure = Figure((7.2, 2.9), layout="constrained")
    axis = figure.subplots()
    axis.plot(columns["planned"], color="#999999", linewidth=6, alpha=0.45)
    axis.plot(columns["set"], color=ORANGE, linewidth=2)
    axis.plot(columns["sconv"], color=BLUE, linewidth=2)
    axis.text(125, 0.953, "with a callback that sets optimizer.momentum", color=ORANGE, ha="center", va="bottom")
    axis.text(128, 0.865, "with sconv.OneCycleScheduler", color=BLUE, ha="left", va="center")
    axis.text(101, 0.904, "what both were asked for", color="#777777", ha="center", va="center")
    axis.set(xlabel="update", ylabel="momentum of the update", ylim=(0.84, 0.972), xlim=(0, len(columns["set"]) - 1))
    axis.set_title("The momentum that Keras 3 trained with", loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
