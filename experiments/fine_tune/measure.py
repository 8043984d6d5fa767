"""Fine-tuning on few photographs: sconv.fine_tune against one cycle at one learning rate for all layers.

python -m experiments.fine_tune.measure --cifar10 FOLDER    # train/<class>, test/<class>; results.csv anew
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers
from PIL import Image

import sconv

HERE = Path(__file__).parent
BEFORE = ("airplane", "automobile", "cat", "deer", "frog")  # what the body was trained on
AFTER = ("bird", "dog", "horse", "ship", "truck")
BEFORE_EACH, TEST_EACH = 2000, 400  # images a class
EACH, EPOCHS, BATCH = (20, 100), 6, 16
RATES = (0.03, 0.1, 0.3, 1.0)
SEEDS = (0, 1, 2)

Split = tuple[np.ndarray, np.ndarray]


def read(folder: Path, classes: tuple[str, ...], each: int, first: int = 0) -> Split:
    """So many photographs of each class, and the numbers of their classes."""
    files = [path for name in classes for path in sorted((folder / name).iterdir())[first : first + each]]
    return np.stack([np.asarray(Image.open(path)) for path in files]), np.repeat(np.arange(len(classes)), each)


def body() -> keras.Model:
    """Six convolutions of 16, 32 and 64 channels, normalised, and the mean over their pixels."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    for channels in (16, 32, 64):
        for strides in (1, 2):
            x = layers.Conv2D(channels, 3, strides, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="body")


def under_a_head(trained: keras.Model, classes: int) -> keras.Model:
    model = keras.Sequential([keras.Input((32, 32, 3)), trained, layers.Dense(classes, "softmax", name="head")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def pretrained(folder: Path) -> list[np.ndarray]:
    """The weights of a body that tells the five classes before apart."""
    keras.utils.set_random_seed(0)
    trained = body()
    model = under_a_head(trained, len(BEFORE))
    sconv.fit_one_cycle(
        model, read(folder / "train", BEFORE, BEFORE_EACH), epochs=8, lr_max=0.2, batch_size=64, verbose=0
    )
    print("before:", model.evaluate(*read(folder / "test", BEFORE, TEST_EACH), verbose=0))
    return trained.get_weights()


def runs(folder: Path, weights: list[np.ndarray]) -> Iterator[list[object]]:
    """Accuracies on the test of the classes after; each seed has other images and another head."""
    test = read(folder / "test", AFTER, TEST_EACH)
    for seed in SEEDS:
        for each in EACH:
            data = read(folder / "train", AFTER, each, first=seed * each)
            for rate in RATES:
                for how in ("fine_tune", "head", "plain"):
                    keras.utils.set_random_seed(seed)
                    trained = body()
                    trained.set_weights(weights)
                    model = under_a_head(trained, len(AFTER))
                    settings = {"batch_size": BATCH, "verbose": 0}
                    if how == "plain":
                        history = sconv.fit_one_cycle(model, data, epochs=EPOCHS, lr_max=rate, **settings)
                    else:
                        frozen = 1 if how == "fine_tune" else EPOCHS
                        history = sconv.fine_tune(model, data, EPOCHS - frozen, frozen, rate, **settings)
                    accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
                    yield [each, seed, how, rate, f"{history.lr_max:.4g}", f"{accuracy:.4f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", type=Path, required=True, help="folder of images")
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    weights = pretrained(arguments.cifar10)
    with open(arguments.into / "results.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["images_a_class", "seed", "how", "rate", "lr_max", "accuracy"])
        for row in runs(arguments.cifar10, weights):
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
