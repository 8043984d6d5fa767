"""Stock Keras as it is usually written: `fit` on arrays, a callback that sets the rate, TensorBoard, a CSV file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks.peers import MOMENTUM
from benchmarks.peers.keras_models import in_turn, load_weights, stock
from benchmarks.worker import Task, Turns, images_and_labels
from sconv.schedules import onecycle_fastai


class SetRate(keras.callbacks.Callback):
    """The learning rate of every batch, set before it."""

    def __init__(self, rates: np.ndarray):
        super().__init__()
        self._rates = iter(rates)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = next(self._rates)


def train(task: Task, turns: Turns) -> None:
    """Train the task."""
    model = stock(task)
    load_weights(model, task.weights)
    optimizer = keras.optimizers.SGD(task.lr_max, momentum=MOMENTUM)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    rates, _ = onecycle_fastai(task.lr_max).sample(task.epochs * task.steps)
    usual = [
        SetRate(rates),
        keras.callbacks.TensorBoard(f"{task.directory}/logs", update_freq="batch"),
        keras.callbacks.CSVLogger(f"{task.directory}/epochs.csv"),
    ]
    images, labels = images_and_labels(task)
    turns.ready(model.count_params())
    model.fit(images, labels, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=in_turn(turns, usual))
