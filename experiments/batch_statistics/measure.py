"""What moving averages cost in short cycles: one trained network, evaluated with them and with computed statistics.

python -m experiments.batch_statistics.measure    # results.csv anew, ten minutes on two cores
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import keras
from keras import layers

import sconv
from sconv.datasets import mnist_5k

HERE = Path(__file__).parent
MOMENTA = (0.99, 0.9)
LENGTHS = ((2, 128), (3, 64), (5, 64), (5, 32), (10, 32), (20, 32))  # epochs, batch size
SEEDS = (0, 1, 2)


def network(input_shape: tuple[int, ...], momentum: float) -> keras.Model:
    """Three strided convolutions of 8, 16 and 16 channels, normalised."""
    parts = [keras.Input(input_shape), layers.Rescaling(1 / 255)]
    for channels in (8, 16, 16):
        convolution = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)
        parts += [convolution, layers.BatchNormalization(momentum=momentum), layers.ReLU()]
    model = keras.Sequential([*parts, layers.GlobalAveragePooling2D(), layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE)
    into = parser.parse_args().into
    data = mnist_5k.load()
    test = (data.test.images, data.test.labels)
    with open(into / "results.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["momentum", "epochs", "batch_size", "batches", "seed", "averages", "computed"])
        for momentum in MOMENTA:
            for epochs, size in LENGTHS:
                for seed in SEEDS:
                    keras.utils.set_random_seed(seed)
                    model = network(data.input_shape, momentum)
                    split = (data.train.images, data.train.labels)
                    settings = {"epochs": epochs, "lr_max": 0.3, "batch_size": size, "verbose": 0}
                    sconv.fit_one_cycle(model, split, **settings, update_bn=False)
                    averages = model.evaluate(*test, verbose=0)[1]
                    sconv.update_bn(model, split, size)
                    accuracies = [f"{value:.4f}" for value in (averages, model.evaluate(*test, verbose=0)[1])]
                    batches = epochs * -(-len(data.train) // size)
                    writer.writerow([momentum, epochs, size, batches, seed, *accuracies])
                    file.flush()


if __name__ == "__main__":
    main()
