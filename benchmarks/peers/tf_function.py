"""A training loop written by hand: stock layers, one tf.function a step."""

from __future__ import annotations

import keras
import tensorflow as tf

from benchmarks.peers import MOMENTUM
from benchmarks.peers.keras_models import load_weights, stock
from benchmarks.worker import Task, Turns, images_and_labels
from sconv.schedules import onecycle_fastai


def train(task: Task, turns: Turns) -> None:
    """Train the task."""
    model = stock(task)
    load_weights(model, task.weights)
    optimizer = keras.optimizers.SGD(task.lr_max, momentum=MOMENTUM)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    arrays = images_and_labels(task)
    batches = tf.data.Dataset.from_tensor_slices(arrays).shuffle(len(arrays[0]), seed=0).batch(task.batch)
    batches = batches.prefetch(tf.data.AUTOTUNE)
    rates = iter(onecycle_fastai(task.lr_max).sample(task.epochs * task.steps)[0])
    turns.ready(model.count_params())
    for _ in range(task.epochs):
        turns.begin()
        losses = []
        for images, labels in batches:
            optimizer.learning_rate.assign(next(rates))
            losses.append(step(images, labels))
        turns.end(sum(map(float, losses)) / len(losses))
