"""The gradient of a convolution's filters, computed as a convolution where TensorFlow's own operation is slow.

It is one of the inputs, with the batch in place of their channels, by the outputs' gradients, which are then filters as
large as the image. In bfloat16 and without AMX (AMD since Zen 4) oneDNN computes that of small images, late in a
network, faster than what it has for the purpose: `python -m benchmarks.filter_gradients`.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import keras
import tensorflow as tf
from keras.layers import Conv2D

from sconv.training.keras_internals import flat_layers, in_xla, onednn_is_on, under_a_tape
from sconv.training.processor import flags

LARGEST = 64  # positions of an image: of 8x8; above, the operation is as fast or faster
FEWEST = 32  # images of a batch
NARROWEST = 32  # channels on both sides


def convolutions(model: keras.Model) -> list[Conv2D]:
    """The layers of `model`, of nested ones too, whose filter gradients are computed sooner so on this device."""
    return [layer for layer in flat_layers(model) if _gains(layer)] if _is_slow_here() else []


def put_on(layer: Conv2D) -> None:
    """Have the layer's filter gradient computed so; past __setattr__, as what Keras tracks, it saves."""
    vars(layer)["convolution_op"] = MethodType(_convolution_op, layer)


def take_off(layer: Conv2D) -> None:
    """Give the layer its stock computation back."""
    del vars(layer)["convolution_op"]


def is_on(layer: Any) -> bool:
    """Whether `put_on` was called on the layer."""
    return getattr(vars(layer).get("convolution_op"), "__func__", None) is _convolution_op


def _is_slow_here() -> bool:
    known = flags()
    return (
        "avx512_bf16" in known
        and "amx_bf16" not in known
        and onednn_is_on()
        and not tf.config.get_visible_devices("GPU")
    )


def _gains(layer: Any) -> bool:
    if type(layer) is not Conv2D or ("convolution_op" in vars(layer) and not is_on(layer)):
        return False
    # Keras would sum the gradient of a bias in 16 bits, where it cannot see that what it adds to is a convolution.
    how = layer.strides, layer.dilation_rate, layer.groups, layer.data_format, layer.use_bias
    stock = how == ((1, 1), (1, 1), 1, "channels_last", False)
    return stock and layer.compute_dtype == "bfloat16" and layer.kernel_size != (1, 1) and _fits(layer)


def _fits(layer: Conv2D) -> bool:
    """Whether images are small and channels many, as far as is known before the first call."""
    if layer.built and min(layer.kernel.shape[2:]) < NARROWEST:
        return False
    try:
        sides = layer.output.shape[1:3]
    except (AttributeError, ValueError):  # of a subclass of Model
        return True
    return None in sides or sides[0] * sides[1] <= LARGEST


def _convolution_op(self: Conv2D, inputs: Any, kernel: Any) -> Any:
    """What `Conv2D.convolution_op` does."""
    stock = keras.backend.standardize_dtype(inputs.dtype) != "bfloat16" or min(kernel.shape[2:]) < NARROWEST
    # Without a tape nothing will ask for a gradient, and TensorFlow would keep each of ours, with the graph it is in.
    if stock or in_xla() or not under_a_tape():
        return Conv2D.convolution_op(self, inputs, kernel)
    # Of a variable `custom_gradient` would have to be told.
    return convolved(inputs, tf.convert_to_tensor(kernel), self.padding.upper())


def convolved(inputs: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
    """`tf.nn.conv2d` of images [batch, height, width, in] and filters [height, width, in, out], without strides."""
    stride = [1, 1, 1, 1]

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            by_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=stride, padding=padding
            )
            return by_inputs, filter_gradient(inputs, upstream, kernel.shape, padding)

        return tf.nn.conv2d(inputs, kernel, stride, padding), gradients

    return forward(inputs, kernel)


def filter_gradient(inputs: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape, padding: str) -> tf.Tensor:
    """The gradient of filters of a shape [height, width, in, out], in whichever way is sooner."""

    def by_operation() -> tf.Tensor:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=inputs, filter_sizes=shape, out_backprop=upstream, strides=[1, 1, 1, 1], padding=padding
        )

    known = upstream.shape[1:3].num_elements()
    if known is not None and known > LARGEST:
        return by_operation()
    sizes = tf.shape(upstream)
    small = (sizes[1] * sizes[2] <= LARGEST) & (sizes[0] >= FEWEST)
    # Filters that may lie in the padding alone are no work for oneDNN.
    inside = tf.minimum(sizes[1], sizes[2]) > max(shape[:2]) // 2
    gradient = tf.cond(small & inside, lambda: as_convolution(inputs, upstream, shape, padding), by_operation)
    return tf.ensure_shape(gradient, shape)


def as_convolution(inputs: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape, padding: str) -> tf.Tensor:
    """The gradient of filters [height, width, in, out] without strides, by the operation that is used forward."""
    around = [((size - 1) // 2, size // 2) if padding == "SAME" else (0, 0) for size in shape[:2]]
    images, filters = tf.transpose(inputs, [3, 1, 2, 0]), tf.transpose(upstream, [1, 2, 0, 3])
    return tf.transpose(tf.nn.conv2d(images, filters, 1, [(0, 0), *around, (0, 0)]), [1, 2, 0, 3])
