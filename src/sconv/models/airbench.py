"""The network of the CIFAR-10 speedruns: a whitened first layer, six convolutions that begin as the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from sconv import checks
from sconv.models.blocks import image_shape, scaled

SMALLEST = 9  # the whitening takes one pixel off, and what is left is pooled three times by 2
PATCH = 2  # pixels a side of what is whitened
ENOUGH = 1_000  # images, a million patches
EPSILON = 5e-4  # added to the variances, of images with deviation 1


def build(
    input_shape: Sequence[int],
    classes: int,
    widths: Sequence[int] = (64, 128, 128),
    activation: str = "relu",
    norm_momentum: float = 0.6,
    logit_scale: float = 1 / 9,
    scale: float = 1 / 255,
    training_images: Any = None,
) -> keras.Model:
    """Build a whitening 2x2 convolution, three blocks of two 3x3 convolutions with `widths` channels, a dense layer.

    Takes raw images [batch, height, width, channels] of at least 9x9, gives probabilities [batch, classes] in float32.
    The whitening is computed from `training_images` [count, height, width, channels], of which the first thousand will
    do, and stays; without any that layer begins at random and learns. The normalisations, `norm0` to `norm5`, have a
    shift alone, for which `lr_factors={norm*: 64}` is a learning rate of its own; `norm_momentum` is that of their
    averages. The convolutions begin as the identity, as far as their channels go; `logit_scale` multiplies what goes
    into the softmax. Raises SettingError or SettingTypeError. Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a
    single GPU" (arXiv 2404.00498), which has GELU and trains a bias of the whitening.
    """
    shape = image_shape(input_shape, SMALLEST)
    wide = checks.integers("widths", widths, at_least=1, example="[64, 128, 128]")
    if len(wide) != 3:
        raise checks.SettingError(f"widths: got {checks.shown(widths)}, expected three numbers of channels")
    units = checks.integer("classes", classes, at_least=2)
    momentum = checks.number("norm_momentum", norm_momentum, at_least=0, below=1)
    factor = checks.number("logit_scale", logit_scale, above=0)
    if not hasattr(keras.activations, str(activation)):
        raise checks.SettingError(f"activation: got {checks.shown(activation)}, expected one of Keras's, such as relu")
    inputs, x = scaled(shape, scale)
    first = layers.Conv2D(2 * PATCH * PATCH * shape[-1], PATCH, name="whitening")
    x = layers.Activation(activation)(first(x))
    if training_images is not None:
        first.set_weights(whitening(_checked(training_images, shape) * np.float32(scale)))
        first.trainable = False
    for number, filters in enumerate(np.repeat(wide, 2).tolist()):
        convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        x = convolution(x)
        _begin_as_identity(convolution)
        if number % 2 == 0:
            x = layers.MaxPooling2D(2)(x)
        x = layers.BatchNormalization(momentum=momentum, epsilon=1e-5, scale=False, name=f"norm{number}")(x)
        x = layers.Activation(activation)(x)
    x = layers.Dense(units, use_bias=False, dtype="float32")(layers.GlobalMaxPooling2D()(x))
    outputs = layers.Softmax(dtype="float32")(layers.Rescaling(factor, dtype="float32")(x))
    return keras.Model(inputs, outputs, name="airbench")


def whitening(images: np.ndarray) -> list[np.ndarray]:
    """A kernel [2, 2, channels, 8 * channels] and a bias that make patches of mean 0, variance 1 and no correlation.

    The second half of the outputs are the negatives of the first. `images` [count, height, width, channels]; the
    variances are told apart from noise as those of images with deviation 1. Source: Page, "How to train your ResNet 8"
    (2019).
    """
    mean, deviation = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2)) + 1e-6
    windows = np.lib.stride_tricks.sliding_window_view((images - mean) / deviation, (PATCH, PATCH), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * images.shape[-1])
    variances, vectors = np.linalg.eigh(np.cov(patches, rowvar=False, dtype=np.float64))
    filters = vectors / np.sqrt(np.maximum(variances, 0) + EPSILON)
    kernel = np.concatenate([filters, -filters], axis=1).reshape(PATCH, PATCH, images.shape[-1], -1)
    kernel /= deviation[:, np.newaxis]
    return [kernel, -np.einsum("hwcf,c->f", kernel, mean)]


def _checked(images: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(images)
    if found.shape[1:] != shape or len(found) < 2:
        expected = f"at least two images of {'x'.join(map(str, shape))}"
        raise checks.SettingError(f"training_images: got shape {found.shape}, expected {expected}")
    return found[:ENOUGH].astype(np.float32)


def _begin_as_identity(convolution: layers.Conv2D) -> None:
    """Let the first filters pass the channels of their number on; the others stay as they were drawn."""
    kernel = np.array(convolution.kernel)
    passed = np.arange(min(kernel.shape[2:]))
    kernel[..., passed] = 0
    kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, passed, passed] = 1
    convolution.kernel.assign(kernel)
