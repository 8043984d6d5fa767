"""Ten pairs of model and data: networks of several kinds, three optimizers, trainings of seconds.

Each is built for a seed and trained by `sconv.fit_one_cycle`; `score` is the share of right answers on test data, of a
regression the share of the variance that is explained (at least 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits, make_friedman1

from sconv.datasets import Dataset, fashion_mnist, image_folder, mnist_5k

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A model with its optimizer and loss, on data; trained for `epochs` in batches of `batch_size`."""

    data: Callable[[], Arrays]
    model: Callable[[int], keras.Model]
    optimizer: Callable[[], keras.Optimizer]
    epochs: int
    batch_size: int
    low: float
    high: float
    regression: bool = False

    def build(self, seed: int) -> keras.Model:
        """The compiled model."""
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = self.model(seed)
        loss = "mse" if self.regression else "sparse_categorical_crossentropy"
        model.compile(self.optimizer(), loss)
        return model

    def score(self, model: keras.Model) -> float:
        """On the test data; 0 where the weights are no numbers."""
        *_, images, truth = self.data()
        answers = model.predict(images, batch_size=500, verbose=0)
        if not np.isfinite(answers).all():
            return 0.0
        if self.regression:
            return max(0.0, 1 - float(np.mean((answers[:, 0] - truth) ** 2) / np.var(truth)))
        return float(np.mean(answers.argmax(axis=1) == truth))


def _part(dataset: Dataset, train: int, test: int, scale: float = 255.0) -> Arrays:
    """The first images of a dataset, as numbers between 0 and 1; the datasets are in no order."""
    images, labels = dataset.train.images[:train] / np.float32(scale), dataset.train.labels[:train]
    return images, labels, dataset.test.images[:test] / np.float32(scale), dataset.test.labels[:test]


_CACHE: dict[str, Arrays] = {}


def _kept(name: str, load: Callable[[], Arrays]) -> Callable[[], Arrays]:
    def data() -> Arrays:
        if name not in _CACHE:
            _CACHE[name] = load()
        return _CACHE[name]

    return data


def _fashion() -> Arrays:
    return _part(fashion_mnist.load(), 10_000, 5_000)


def _cifar() -> Arrays:
    dataset = image_folder.load(CIFAR10)
    random = np.random.default_rng(0)
    train, test = (
        random.permutation(len(split))[:count] for split, count in ((dataset.train, 5_000), (dataset.test, 2_500))
    )
    return (
        dataset.train.images[train] / np.float32(255),
        dataset.train.labels[train],
        dataset.test.images[test] / np.float32(255),
        dataset.test.labels[test],
    )


def _digits() -> Arrays:
    inputs, truth = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(truth))
    inputs, truth = (inputs[order] / 16).astype(np.float32), truth[order]
    return inputs[:1_200], truth[:1_200], inputs[1_200:], truth[1_200:]


def _friedman() -> Arrays:
    inputs, truth = make_friedman1(6_000, noise=1.0, random_state=0)
    inputs, truth = inputs.astype(np.float32), ((truth - truth.mean()) / truth.std()).astype(np.float32)
    return inputs[:4_000], truth[:4_000], inputs[4_000:], truth[4_000:]


def _halves(wanted: bool) -> Arrays:
    """Fashion-MNIST's first five classes, to learn first, or its last five, to learn then: 1,500 of those."""
    images, labels, others, truth = _fashion()
    train, test = (labels >= 5) == wanted, (truth >= 5) == wanted
    most = 1_500 if wanted else None
    return images[train][:most], labels[train][:most] - 5 * wanted, others[test], truth[test] - 5 * wanted


CIFAR10 = ""  # a folder of images, set by measure.py
fashion, digits, friedman = _kept("fashion", _fashion), _kept("digits", _digits), _kept("friedman", _friedman)
mnist = _kept("mnist", lambda: _part(mnist_5k.load(), 4_000, 1_000))
cifar = _kept("cifar", _cifar)
new_classes = _kept("new classes", lambda: _halves(True))


def _lenet(shape: tuple[int, ...]) -> list[Any]:
    return [
        keras.Input(shape),
        layers.Conv2D(6, 5, activation="relu", padding="same"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
    ]


def lenet(seed: int) -> keras.Model:
    """Two convolutions and three dense layers."""
    return keras.Sequential([*_lenet((28, 28, 1)), layers.Dense(10, activation="softmax")])


def keras_convnet(seed: int) -> keras.Model:
    """Source: keras.io, "Simple MNIST convnet"."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5, seed=seed),
            layers.Dense(10, activation="softmax"),
        ]
    )


def normalised(shape: tuple[int, ...], width: int) -> Callable[[int], keras.Model]:
    """Three convolutions with batch normalisation, whose statistics arrive in a short training (momentum 0.9)."""

    def model(seed: int) -> keras.Model:
        blocks: list[Any] = [keras.Input(shape)]
        for factor in (1, 2, 4):
            blocks += [
                layers.Conv2D(width * factor, 3, padding="same", use_bias=False),
                layers.BatchNormalization(momentum=0.9),
                layers.ReLU(),
                layers.MaxPooling2D(),
            ]
        return keras.Sequential([*blocks, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])

    return model


def _encoder(tokens: Any, width: int, heads: int) -> Any:
    attended = layers.MultiHeadAttention(heads, width // heads)(tokens, tokens)
    tokens = layers.LayerNormalization(epsilon=1e-6)(tokens + attended)
    hidden = layers.Dense(2 * width, activation="relu")(tokens)
    return layers.LayerNormalization(epsilon=1e-6)(tokens + layers.Dense(width)(hidden))


class Positions(layers.Layer):
    """Adds a learned vector to each place of a sequence."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02, seed=0))

    def call(self, tokens: Any) -> Any:
        return tokens + self.table


def row_transformer(seed: int) -> keras.Model:
    """The block of keras.io's "Text classification with Transformer" over the 28 rows of an image."""
    rows = keras.Input((28, 28, 1))
    tokens = Positions()(layers.Dense(32)(layers.Reshape((28, 28))(rows)))
    pooled = layers.GlobalAveragePooling1D()(_encoder(tokens, 32, 2))
    hidden = layers.Dense(20, activation="relu")(layers.Dropout(0.1, seed=seed)(pooled))
    return keras.Model(rows, layers.Dense(10, activation="softmax")(layers.Dropout(0.1, seed=seed)(hidden)))


def patch_transformer(seed: int) -> keras.Model:
    """Two such blocks over the 64 patches of a CIFAR-10 image, after keras.io's "ViT" example."""
    images = keras.Input((32, 32, 3))
    tokens = layers.Reshape((64, 48))(layers.Conv2D(48, 4, strides=4)(images))
    tokens = Positions()(tokens)
    for _ in range(2):
        tokens = _encoder(tokens, 48, 3)
    return keras.Model(images, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling1D()(tokens)))


def mlp(inputs: int, outputs: int, activation: str | None) -> Callable[[int], keras.Model]:
    """Two hidden layers of 64."""

    def model(seed: int) -> keras.Model:
        hidden = [layers.Dense(64, activation="relu") for _ in range(2)]
        return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs, activation=activation)])

    return model


def fine_tuned(seed: int) -> keras.Model:
    """A LeNet that has learned five classes, with a new head for five others."""
    images, labels, *_ = _halves(False)
    body = keras.Sequential(_lenet((28, 28, 1)))
    first = keras.Sequential([body, layers.Dense(5, activation="softmax")])
    first.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    first.fit(images, labels, epochs=5, batch_size=64, verbose=0)
    return keras.Sequential([body, layers.Dense(5, activation="softmax")])


def _sgd() -> keras.Optimizer:
    return keras.optimizers.SGD(momentum=0.9)


def _adamw() -> keras.Optimizer:
    return keras.optimizers.AdamW(weight_decay=1e-2)


PAIRS = {
    "lenet-fashion-sgd": Pair(fashion, lenet, _sgd, 3, 64, 0.003, 1.0),
    "row_transformer-fashion-adamw": Pair(fashion, row_transformer, _adamw, 3, 64, 3e-4, 0.1),
    "mlp-digits-adam": Pair(digits, mlp(64, 10, "softmax"), keras.optimizers.Adam, 10, 32, 3e-4, 0.1),
    "mlp-friedman-adam": Pair(friedman, mlp(10, 1, None), keras.optimizers.Adam, 10, 32, 3e-4, 0.1, True),
    "fine_tuned-fashion-sgd": Pair(new_classes, fine_tuned, _sgd, 4, 32, 1e-3, 0.3),
    "keras_convnet-mnist-adam": Pair(mnist, keras_convnet, keras.optimizers.Adam, 4, 128, 3e-4, 0.1),
    "normalised-mnist-adamw": Pair(mnist, normalised((28, 28, 1), 8), _adamw, 3, 64, 1e-3, 0.3),
    "mlp-friedman-sgd": Pair(friedman, mlp(10, 1, None), _sgd, 10, 32, 0.001, 0.3, True),
    "normalised-cifar10-sgd": Pair(cifar, normalised((32, 32, 3), 16), _sgd, 5, 64, 0.01, 3.0),
    "patch_transformer-cifar10-adamw": Pair(cifar, patch_transformer, _adamw, 5, 64, 3e-4, 0.1),
    "row_transformer-fashion-sgd": Pair(fashion, row_transformer, _sgd, 3, 64, 0.01, 3.0),
    "fine_tuned-fashion-adam": Pair(new_classes, fine_tuned, keras.optimizers.Adam, 4, 32, 1e-4, 0.03),
}
