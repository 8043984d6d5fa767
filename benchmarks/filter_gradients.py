"""Filter gradients by TensorFlow's operation and as convolutions: python -m benchmarks.filter_gradients [NETWORK ...]

The gradient of a filter is itself a convolution: of the inputs, with the batch in place of their channels, by the
outputs' gradients, which are then filters as large as the image. Prints what TensorFlow's own operation takes as a
ratio to that, transposing included, and the speed of both beside that of the forward convolution. Writes
benchmarks/results/filter_gradients.json.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import harness
from benchmarks.networks import NETWORKS, PRECISIONS
from benchmarks.peers.keras_models import flat, stock
from benchmarks.worker import Task
from sconv.training.filter_gradients import as_convolution

USUAL = ("airbench", "ResNet-9/32", "ResNet-20")


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = harness.arguments(__doc__, rounds=10)
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        for network in arguments.networks or USUAL:
            for name, layer in distinct(network, precision, arguments.batch):
                found[name] = measured(layer, arguments.batch, arguments.rounds)
                harness.show("convolution", harness.rounded({name: found[name]}))
    harness.write("filter_gradients", arguments.rounds, harness.processor(), convolutions=harness.rounded(found))


def distinct(network: str, precision: str, batch: int) -> Iterator[tuple[str, Any]]:
    """The network's convolutions of stride 1 that are wider than a pixel, one of each shape."""
    seen = set()
    with tempfile.TemporaryDirectory() as folder:
        task = Task(network, precision, batch, 1, 1, harness.cores(), "", folder)
        for layer in flat(stock(task)):
            if type(layer) is not keras.layers.Conv2D or layer.strides != (1, 1) or layer.kernel_size == (1, 1):
                continue
            height, width, inside = layer.input.shape[1:]
            kind = "bf16" if precision == PRECISIONS[1] else "fp32"
            name = f"{network}, {height}x{width}, {inside} to {layer.filters}, {kind}"
            if name not in seen:
                seen.add(name)
                yield name, layer


def measured(layer: Any, batch: int, rounds: int) -> dict[str, Any]:
    """GFLOP/s of all three, and the spread of the ratios within rounds."""
    dtype = tf.as_dtype(layer.compute_dtype)
    x, dy = (tf.cast(tf.random.normal((batch, *tensor.shape[1:])), dtype) for tensor in (layer.input, layer.output))
    kernel, padding = tf.cast(tf.random.normal(layer.kernel.shape), dtype), layer.padding.upper()
    ways = {
        "forward": tf.function(lambda: tf.nn.conv2d(x, kernel, 1, padding)),
        "operation": tf.function(functools.partial(by_operation, x, dy, kernel.shape, padding)),
        "as_convolution": tf.function(functools.partial(as_convolution, x, dy, kernel.shape, padding)),
    }
    times = {name: each[:, 0] for name, each in harness.alternate(ways, rounds, time=_timed).items()}
    gflop = 2e-9 * batch * math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    speeds = {name: gflop / float(np.median(each)) for name, each in times.items()}
    return {**speeds, **harness.spread(times["operation"] / times["as_convolution"])}


def _timed(way: Any) -> tuple[float, float]:
    return harness.timed(lambda: way().numpy())


def by_operation(x: tf.Tensor, dy: tf.Tensor, shape: tf.TensorShape, padding: str) -> tf.Tensor:
    """The filter gradient [height, width, in, out] as TensorFlow computes it."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=shape, out_backprop=dy, strides=[1, 1, 1, 1], padding=padding
    )


if __name__ == "__main__":
    main()
