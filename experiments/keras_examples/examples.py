"""Documented trainings: where each is documented, and what of it was done on the data at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import keras
import numpy as np
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

import sconv
from experiments.keras_examples import networks
from sconv.datasets import Dataset, fashion_mnist, image_folder

Arrays = tuple[np.ndarray, np.ndarray]
TRANSACTIONS = 284_807
CIFAR10 = ""  # a folder of images, train/ and test/ with a folder a class in each; the commands' --cifar10


@dataclass(frozen=True)
class Data:
    """Inputs and targets to train on, to validate on (None: the page has none) and to test on."""

    train: Arrays
    validation: Arrays | None
    test: Arrays


@dataclass(frozen=True)
class Example:
    """A documented training; `model` and `callbacks` are made for a learning rate, `rate` is the documented one."""

    source: str
    data: Callable[[], Data]
    model: Callable[[float], keras.Model]
    rate: float
    batch_size: int
    epochs: int
    score: Callable[[np.ndarray, np.ndarray], float]
    class_weight: Callable[[np.ndarray], dict[int, float]] | None = None
    callbacks: Callable[[float], list[keras.callbacks.Callback]] | None = None
    constant: bool = True  # the rate: then a training of all epochs holds all shorter ones
    seeds: int = 5

    def build(self, seed: int, rate: float | None = None) -> keras.Model:
        """The compiled network, with the weights of a seed; normalisations are fused, which is sooner and the same."""
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = self.model(self.rate if rate is None else rate)
        sconv.accelerate(model)
        return model

    def judge(self, model: keras.Model, arrays: Arrays) -> float:
        """The score, at most 1; 0 where the answers are no numbers."""
        answers = model.predict(arrays[0], batch_size=500, verbose=0)
        return self.score(arrays[1], answers) if np.isfinite(answers).all() else 0.0


def accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    """The share of right answers."""
    return float(np.mean(answers.argmax(axis=1) == truth))


def average_precision(truth: np.ndarray, answers: np.ndarray) -> float:
    """The area below the curve of precision against recall."""
    return float(average_precision_score(truth, answers[:, 0]))


def explained(truth: np.ndarray, answers: np.ndarray) -> float:
    """The share of the variance that is explained, at least 0."""
    return max(0.0, 1 - float(np.mean((answers[:, 0] - truth) ** 2) / np.var(truth)))


def _last(arrays: Arrays, share: float) -> tuple[Arrays, Arrays]:
    """Without the last examples and those alone, as `validation_split` divides them."""
    at = int(len(arrays[0]) * (1 - share))
    return (arrays[0][:at], arrays[1][:at]), (arrays[0][at:], arrays[1][at:])


def _images(dataset: Dataset) -> tuple[Arrays, Arrays]:
    """Both parts, in an order of no meaning."""
    parts = []
    for split in (dataset.train, dataset.test):
        order = np.random.default_rng(0).permutation(len(split))
        parts.append((split.images[order], split.labels[order]))
    return parts[0], parts[1]


@cache
def fashion(validation: float = 0.0) -> Data:
    """Fashion-MNIST."""
    train, test = _images(fashion_mnist.load())
    return Data(*_last(train, validation), test) if validation else Data(train, None, test)


@cache
def cifar() -> Data:
    """JPEG copies of CIFAR-10's images."""
    train, test = _images(image_folder.load(CIFAR10))
    return Data(train, None, test)


@cache
def centred_cifar() -> Data:
    """The same, less the mean image of those to train on."""
    train, _, test = (part and (part[0].astype(np.float32), part[1]) for part in vars(cifar()).values())
    mean = train[0].mean(axis=0)
    return Data((train[0] - mean, train[1]), None, (test[0] - mean, test[1]))


@cache
def digits() -> Data:
    """The rows of handwritten digits of 8x8 pixels, from top to bottom, as series."""
    found = load_digits()
    images, others, truth, others_truth = train_test_split(
        found.images.astype(np.float32) / 16, found.target, test_size=500, random_state=0
    )
    return Data(*_last((images, truth), 0.2), (others, others_truth))


@cache
def transactions() -> Data:
    """Made-up rows in the number of the page's, a hundredth of them positive."""
    x, y = make_classification(
        TRANSACTIONS, 30, n_informative=12, n_redundant=4, weights=[0.99], flip_y=0, random_state=0
    )
    train, test = _last((x.astype(np.float32), y), 0.2)
    mean, spread = train[0].mean(axis=0), train[0].std(axis=0)
    return Data(((train[0] - mean) / spread, train[1]), None, ((test[0] - mean) / spread, test[1]))


@cache
def friedman() -> Data:
    """Friedman's made-up regression in the number of the page's wines, with the mean and deviation of their quality."""
    x, y = make_friedman1(4_898, noise=1.0, random_state=0)
    y = 5.88 + 0.89 * (y - y.mean()) / y.std()
    train, test = _last((x.astype(np.float32), y.astype(np.float32)), 0.15)
    return Data(train, None, test)


@cache
def cars() -> Data:
    """Auto MPG, the page's own data, its origins as three columns."""
    from mlxtend.data import autompg_data

    x, y = autompg_data()
    x = np.column_stack([x[:, :6], np.eye(3)[x[:, 6].astype(int) - 1]]).astype(np.float32)
    inputs, others, truth, others_truth = train_test_split(x, y.astype(np.float32), test_size=0.2, random_state=0)
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
    return Data(*_last(((inputs - mean) / spread, truth), 0.2), ((others - mean) / spread, others_truth))


def one_over_count(labels: np.ndarray) -> dict[int, float]:
    """The weight of each class is one over its number of examples."""
    return {label: 1 / count for label, count in enumerate(np.bincount(labels))}


def stop_early(rate: float) -> list[keras.callbacks.Callback]:
    """After ten epochs without a lower validation loss, with the weights of the lowest."""
    return [keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)]


def steps_of_resnet(rate: float) -> list[keras.callbacks.Callback]:
    """A tenth after epoch 80, of that a tenth after 120 and again after 160, half of it after 180.

    The page's ReduceLROnPlateau has no effect beside this, which sets the rate at each epoch.
    """

    def rate_of(epoch: int, _: float) -> float:
        falls = {180: 0.5e-3, 160: 1e-3, 120: 1e-2, 80: 1e-1}
        return rate * next((factor for after, factor in falls.items() if epoch > after), 1.0)

    return [keras.callbacks.LearningRateScheduler(rate_of)]


KERAS, OLD, TENSORFLOW = (
    "https://keras.io/examples/",
    "https://github.com/keras-team/keras/blob/2.3.1/examples/",
    "https://www.tensorflow.org/tutorials/",
)
# From the cheapest to the dearest.
EXAMPLES = {
    "fuel_efficiency": Example(
        f"{TENSORFLOW}keras/regression", cars, networks.fuel_efficiency, 1e-3, 32, 100, explained
    ),
    "wine_quality": Example(
        f"{KERAS}keras_recipes/bayesian_neural_networks/", friedman, networks.wine_quality, 1e-3, 256, 100, explained
    ),
    "timeseries_transformer": Example(
        *(f"{KERAS}timeseries/timeseries_classification_transformer/", digits),
        *(networks.timeseries_transformer((8, 8), 10), 1e-4, 64, 200, accuracy),
        callbacks=stop_early,
    ),
    "basic_classification": Example(
        f"{TENSORFLOW}keras/classification", fashion, networks.basic_classification, 1e-3, 32, 10, accuracy
    ),
    "imbalanced_classification": Example(
        *(f"{KERAS}structured_data/imbalanced_classification/", transactions),
        *(networks.imbalanced_classification, 1e-2, 2048, 30, average_precision),
        class_weight=one_over_count,
    ),
    "mnist_convnet": Example(
        f"{KERAS}vision/mnist_convnet/", partial(fashion, 0.1), networks.mnist_convnet, 1e-3, 128, 15, accuracy
    ),
    "images_cnn": Example(f"{TENSORFLOW}images/cnn", cifar, networks.images_cnn, 1e-3, 32, 10, accuracy),
    "cifar10_cnn": Example(f"{OLD}cifar10_cnn.py", cifar, networks.cifar10_cnn, 1e-4, 32, 25, accuracy, seeds=3),
    "cutmix": Example(f"{KERAS}vision/cutmix/", cifar, networks.resnet20, 1e-3, 32, 15, accuracy, seeds=3),
    "cifar10_resnet": Example(
        *(f"{OLD}cifar10_resnet.py", centred_cifar, networks.augmented_resnet20, 1e-3, 32, 200, accuracy),
        callbacks=steps_of_resnet,
        constant=False,
        seeds=3,
    ),
}
ON_REQUEST = {"cifar10_resnet"}  # hours a training
