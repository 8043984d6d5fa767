"""What the records train: small networks on part of real data, some seconds a training on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import sconv
from experiments.schedule_free import ScheduleFreeAdamW
from sconv.datasets import Dataset, Split, fashion_mnist, image_folder, mnist_5k
from sconv.models import lenet5, lenet_caffe
from sconv.schedules import Schedule

CIFAR10 = ""  # a folder of images, train/ and test/ with a folder a class in each; the commands' --cifar10


@dataclass(frozen=True)
class Task:
    """A network on data, trained in batches of `batch_size`; `groups` are settings of `sconv.group_parameters`."""

    data: Callable[[], Dataset]
    model: Callable[[], keras.Model]
    batch_size: int
    groups: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Shares of right answers; 0 where the training diverged."""

    validation: float
    test: float


class Trainer:
    """Trains a task again and again; the compiled step is traced once."""

    def __init__(self, task: Task, optimizer: Callable[[], keras.Optimizer]):
        # Small steps gain nothing by more, and repeat to the bit.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        keras.utils.clear_session()
        self._task, self._data = task, task.data()
        self._model = task.model()
        self._model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        if task.groups:
            sconv.group_parameters(self._model.optimizer, self._model, **task.groups)
        self._model.optimizer.build(self._model.trainable_variables)

    def train(self, schedule: Schedule, epochs: int, seed: int) -> Outcome:
        """Train from the weights of this seed, in its order of the examples."""
        self._begin(seed)
        options = {"update_bn": False, "batch_size": self._task.batch_size, "verbose": 0}
        try:
            sconv.fit_one_cycle(self._model, self._data, epochs=epochs, schedule=schedule, **options)
        except sconv.Diverged:
            return Outcome(0.0, 0.0)
        if isinstance(self._model.optimizer, ScheduleFreeAdamW):
            self._model.optimizer.averages()
            if any(isinstance(layer, layers.BatchNormalization) for layer in self._model.layers):
                sconv.update_bn(self._model, self._data.train.images)  # which were those of the iterates
        return Outcome(*(self._score(split) for split in (self._data.validation, self._data.test)))

    def _begin(self, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        for variable, fresh in zip(self._model.variables, self._task.model().variables, strict=True):
            variable.assign(fresh)
        for variable in self._model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        if isinstance(self._model.optimizer, ScheduleFreeAdamW):
            for weights, iterate in self._model.optimizer.iterates():
                iterate.assign(weights)

    def _score(self, split: Split) -> float:
        return self._model.evaluate(split.images, split.labels, batch_size=500, verbose=0, return_dict=True)["accuracy"]


def part(dataset: Dataset, train: int, validation: int, test: int) -> Dataset:
    """So many examples of each, at random, the same ones each time; validation is of those to train on."""
    random = np.random.default_rng(0)
    rows, others = (random.permutation(len(split)) for split in (dataset.train, dataset.test))
    pieces = rows[:train], rows[train : train + validation]
    first, second = (dataset.train.take(piece, dataset.train.labels[piece]) for piece in pieces)
    third = dataset.test.take(others[:test], dataset.test.labels[others[:test]])
    return Dataset(dataset.name, first, third, dataset.class_names, second)


@cache
def fashion_10k() -> Dataset:
    """10,000 images of Fashion-MNIST, 5,000 to choose by, all 10,000 to test."""
    return part(fashion_mnist.load(), 10_000, 5_000, 10_000)


@cache
def cifar10_5k() -> Dataset:
    """5,000 images of CIFAR-10, 2,500 to choose by, 5,000 to test."""
    return part(image_folder.load(CIFAR10), 5_000, 2_500, 5_000)


@cache
def mnist_3k() -> Dataset:
    """3,000 of the installed MNIST digits, 1,000 to choose by, 1,000 to test."""
    return part(mnist_5k.load(), 3_000, 1_000, 1_000)


def lenet() -> keras.Model:
    """LeNet-5 for images of 28x28."""
    return lenet5.build((28, 28, 1), 10)


def caffe() -> keras.Model:
    """LeNet as Caffe ships it, for images of 28x28."""
    return lenet_caffe.build((28, 28, 1), 10)


def normalised() -> keras.Model:
    """Three convolutions of 16, 32 and 64 channels with batch normalisation, whose averages keep up (momentum 0.9)."""
    blocks = [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)]
    for width in (16, 32, 64):
        convolution = layers.Conv2D(width, 3, padding="same", use_bias=False)
        blocks += [convolution, layers.BatchNormalization(momentum=0.9), layers.ReLU(), layers.MaxPooling2D()]
    return keras.Sequential([*blocks, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])


TASKS = {
    "lenet5-fashion_10k": Task(fashion_10k, lenet, 64),
    "normalised-cifar10_5k": Task(cifar10_5k, normalised, 64),
}
LENETS = {"mnist_3k": Task(mnist_3k, caffe, 64), "fashion_10k": Task(fashion_10k, caffe, 64)}
