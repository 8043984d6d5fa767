"""The limit: a network's convolutions alone, forward, filter gradients and input gradients, one after another.

Whatever trains that network with TensorFlow's convolutions cannot be faster. Beside it a large matrix product, which
says what the processor can do at best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from benchmarks.peers.keras_models import flat, save_weights, stock
from benchmarks.worker import Task, Turns

SIDE, PRODUCTS = 2048, 5


def train(task: Task, turns: Turns) -> None:
    """Write the task's weights, then repeat the convolutions as many times as each epoch is told to."""
    model = stock(task)
    save_weights(model, task.weights)
    convolutions, multiplications = operations(model, task.batch)
    step = one_after_another(convolutions)
    dtype = tf.bfloat16 if task.precision == "mixed_bfloat16" else tf.float32
    turns.ready(
        model.count_params(),
        seconds=fastest(step, 2) if convolutions else None,
        gflop=2e-9 * multiplications,
        product_gflops=2e-9 * SIDE**3 / fastest(_product(dtype), PRODUCTS),
    )
    for _ in range(task.epochs):
        steps = turns.begin()["steps"]
        for _ in range(steps):
            step()
        turns.end()


def operations(model: keras.Model, batch: int) -> tuple[list[Callable[[], Any]], int]:
    """Every convolution that a training step makes, and the multiplications in all of them."""
    operations: list[Callable[[], Any]] = []
    multiplications, first = 0, True
    for layer in _convolutions(model):
        # What the first trained layer sees needs no gradient, and a frozen body has none at all.
        ways = 1 if not layer.trainable else 2 if first else 3
        operations += _of_layer(layer, batch)[:ways]
        outputs = batch * math.prod(layer.output.shape[1:])
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        inside = math.prod(layer.kernel_size) * (1 if depthwise else layer.input.shape[-1])
        multiplications += ways * outputs * inside
        first = first and not layer.trainable
    return operations, multiplications


def _convolutions(model: keras.Model) -> Iterator[Any]:
    for layer in flat(model):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            yield layer


def _of_layer(layer: Any, batch: int) -> list[Callable[[], Any]]:
    """Forward, filter gradient and input gradient of one layer, on numbers of its own: equal operations are merged."""
    dtype = tf.as_dtype(layer.compute_dtype)
    x, dy = (tf.Variable(tf.cast(tf.random.normal((batch, *tensor.shape[1:])), dtype), trainable=False)
             for tensor in (layer.input, layer.output))  # fmt: skip
    kernel = tf.Variable(tf.cast(tf.random.normal(layer.kernel.shape), dtype), trainable=False)
    how: Any = {"strides": [1, *layer.strides, 1], "padding": layer.padding.upper()}
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        nn = tf.raw_ops
        return [
            lambda: nn.DepthwiseConv2dNative(input=x, filter=kernel, **how),
            lambda: nn.DepthwiseConv2dNativeBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=dy, **how),
            lambda: nn.DepthwiseConv2dNativeBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=dy, **how),
        ]
    return [
        lambda: tf.raw_ops.Conv2D(input=x, filter=kernel, **how),
        lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=dy, **how),
        lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=dy, **how),
    ]


def one_after_another(operations: list[Callable[[], Any]]) -> Callable[[], Any]:
    """A compiled function of all of them; each waits for the one before, as in a network."""

    @tf.function
    def step() -> list[tf.Tensor]:
        results: list[tf.Tensor] = []
        for operation in operations:
            with tf.control_dependencies(results[-1:]):
                results.append(operation())
        return results

    return step


def _product(dtype: tf.DType) -> Callable[[], Any]:
    left, right = (tf.cast(tf.random.normal((SIDE, SIDE)), dtype) for _ in range(2))
    return lambda: tf.linalg.matmul(left, right)


def fastest(step: Callable[[], Any], times: int) -> float:
    """Seconds, of the fastest of so many after a first that compiles."""
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])
