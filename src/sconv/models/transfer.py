"""Transfer learning: any backbone of keras.applications under a new head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from sconv import checks
from sconv.models.blocks import classifier, dropped, image_shape

# The name of the backbone's layer in the model, for a learning rate of its own.
BACKBONE = "backbone"

_APPS = keras.applications
# What `preprocess_input` of each family makes of an image: scale * image + offset, and whether blue then comes first.
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet, from 0 to 1
_SIGNED = (1 / 127.5, -1.0, False)
_STANDARD = ((1 / (255 * _STD)).tolist(), (-_MEAN / _STD).tolist(), False)
_CAFFE = (1.0, [-123.68, -116.779, -103.939], True)
_RAW = (1.0, 0.0, False)  # the backbone begins with its own
_PREPARED = {
    **dict.fromkeys((_APPS.ConvNeXtTiny, _APPS.EfficientNetB0, _APPS.EfficientNetV2B0, _APPS.MobileNetV3Small), _RAW),
    **dict.fromkeys((_APPS.InceptionResNetV2, _APPS.InceptionV3, _APPS.MobileNet, _APPS.MobileNetV2), _SIGNED),
    **dict.fromkeys((_APPS.NASNetMobile, _APPS.ResNet50V2, _APPS.Xception), _SIGNED),
    **dict.fromkeys((_APPS.ResNet50, _APPS.VGG16, _APPS.VGG19), _CAFFE),
    _APPS.DenseNet121: _STANDARD,
}
# A family shares a module, whose path is Keras's own affair.
_FAMILIES = {one.__module__: prepared for one, prepared in _PREPARED.items()}


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
    rate = checks.number("dropout", dropout, at_least=0, below=1)
    checks.choice("frozen", frozen, (True, False))
    function = getattr(backbone, "func", backbone)  # a config gives a partial
    if function.__module__ not in _FAMILIES:
        raise checks.SettingError(
            f"backbone: got {checks.shown(function)}, expected a function of keras.applications, such as MobileNetV2"
        )
    body = _pretrained(backbone, (*shape[:2], 3), weights)
    body.trainable = not frozen
    inputs = keras.Input(shape)
    x = inputs if shape[-1] == 3 else layers.Concatenate()([inputs] * 3)
    x = layers.GlobalAveragePooling2D()(body(_prepared(x, function)))
    return classifier(inputs, dropped(x, rate), classes, f"transfer_{function.__name__.lower()}", name="head")


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


def _prepared(x: keras.KerasTensor, function: Callable[..., keras.Model]) -> keras.KerasTensor:
    """Raw colour images as the backbone wants them; in float32, because 16 bits would round the raw values."""
    scale, offset, reverse = _FAMILIES[function.__module__]
    x = layers.Rescaling(scale, offset, dtype="float32")(x)
    if not reverse:
        return x
    # A fixed 1x1 convolution, because no stock layer changes the order of channels.
    fixed = {"kernel_initializer": keras.initializers.Constant(np.eye(3)[::-1].tolist()), "trainable": False}
    return layers.Conv2D(3, 1, use_bias=False, dtype="float32", name="channel_order", **fixed)(x)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
