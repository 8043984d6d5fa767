"""Transfer learning: any backbone of keras.applications under a new head."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from sconv import checks
from sconv.models import image_shape

# The name of the backbone's layer in the model, for a learning rate of its own.
BACKBONE = "backbone"


def build(
    input_shape: Sequence[int],
    classes: int,
    backbone: Callable[..., keras.Model] = keras.applications.MobileNetV2,
    weights: str | None = "imagenet",
    frozen: bool = True,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a backbone without its top, global average pooling and a softmax layer for the new classes.

    Takes raw images [batch, height, width, 1 or 3] from 0 to 255 (one channel is repeated), prepares them as the
    backbone's own `preprocess_input` does, and gives probabilities [batch, classes] in float32: two classes have two
    outputs, which the same cross-entropy fits. `weights` is imagenet, null (random) or a file; `frozen` trains the head
    alone and keeps the backbone's batch normalisation as it is; `dropout` is the share dropped before the head. Raises
    SettingError, SettingTypeError, or DataError where the weights cannot be had. Source: Yosinski et al., "How
    transferable are features in deep neural networks?" (arXiv 1411.1792); the keras.applications backbones tell theirs.
    """
    shape = image_shape(input_shape)
    checks.choice("input_shape: number of channels", shape[-1], (1, 3))
    units = checks.integer("classes", classes, at_least=2)
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    checks.choice("frozen", frozen, (True, False))
    function = getattr(backbone, "func", backbone)  # a config gives a partial
    scale, offset, channels = _preprocessing(function)
    body = _pretrained(backbone, (*shape[:2], 3), weights)
    body.trainable = not frozen
    inputs = keras.Input(shape)
    x = inputs if shape[-1] == 3 else layers.Concatenate()([inputs] * 3)
    # In float32 under any precision: raw values and means of a hundred would be rounded.
    x = layers.Rescaling(scale, offset, dtype="float32")(x)
    x = x if channels is None else _reordered(x, channels)
    x = layers.GlobalAveragePooling2D()(body(x))
    x = layers.Dropout(rate)(x) if rate else x
    outputs = layers.Dense(units, activation="softmax", dtype="float32", name="head")(x)
    return keras.Model(inputs, outputs, name=f"transfer_{function.__name__.lower()}")


def _pretrained(backbone: Callable[..., keras.Model], shape: tuple[int, ...], weights: str | None) -> keras.Model:
    try:
        body = backbone(input_shape=shape, include_top=False, weights=weights)
    except ValueError as error:  # what Keras says of a shape too small, or of weights it does not know
        raise checks.SettingError(f"model: input_shape {shape}, weights {weights!r}: {_flat(error)}") from error
    except Exception as error:  # Keras raises a bare Exception for a failed download
        if weights is None:
            raise
        raise checks.DataError(
            f"weights: got {weights!r}, which cannot be had: {_flat(error)}; "
            "put the file into ~/.keras/models, give a file of your own, or take weights=null"
        ) from error
    # Named afterwards: some of them look their own settings up by the name they are given.
    return keras.Model(body.input, body.output, name=BACKBONE)


def _preprocessing(function: Callable[..., keras.Model]) -> tuple[list[float], list[float], np.ndarray | None]:
    """The backbone's own preprocessing as a scale and an offset per channel, and then an order of the channels.

    Every `preprocess_input` of keras.applications is affine, so that black and the three colours tell all of it.
    """
    prepare = getattr(sys.modules.get(getattr(function, "__module__", "")), "preprocess_input", None)
    if prepare is None:
        raise checks.SettingError(
            f"backbone: got {checks.shown(function)}, expected a function of keras.applications, such as MobileNetV2"
        )
    black, *colours = prepare(np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[np.newaxis, np.newaxis])[0, 0]
    slopes = (np.array(colours) - black) / 255  # [raw channel, prepared channel]
    source = np.abs(slopes).argmax(axis=0)
    target = np.argsort(source)
    scale, offset = slopes.max(axis=1), np.array(black)[target]
    return scale.tolist(), offset.tolist(), None if (source == np.arange(3)).all() else source


def _reordered(x: keras.KerasTensor, channels: np.ndarray) -> keras.KerasTensor:
    """Channels in another order; a fixed 1x1 convolution, because no stock layer does it."""
    kernel = np.eye(3)[:, channels]
    fixed = {"kernel_initializer": keras.initializers.Constant(kernel.tolist()), "trainable": False}
    return layers.Conv2D(3, 1, use_bias=False, dtype="float32", name="channel_order", **fixed)(x)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
