"""The 3-layer network of Smith's papers: Caffe's CIFAR-10 "full" model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv.models.blocks import classifier, image_shape, scaled


def build(input_shape: Sequence[int], classes: int, scale: float = 1 / 255) -> keras.Model:
    """Build three 5x5 convolutions of 32, 32 and 64 channels, each pooled by 2; 89,578 parameters on CIFAR-10.

    Takes raw images [batch, height, width, channels], gives probabilities [batch, classes] in float32. Two things
    differ from the file: there is no local response normalisation, for which Keras has no layer, and weights start as
    He et al. have it, which suits inputs from 0 to 1. Raises SettingError or SettingTypeError. Source: BVLC Caffe,
    `examples/cifar10/cifar10_full_train_test.prototxt`; `Cifar/architectures/cifar3.prototxt` of lnsmith54/hyperParam1.
    """
    inputs, x = scaled(image_shape(input_shape), scale)
    # Windows of 3 every 2, the last one cut off at the border: what Caffe does by rounding up.
    pool = {"pool_size": 3, "strides": 2, "padding": "same"}
    x = layers.ReLU()(layers.MaxPooling2D(**pool)(_convolution(32)(x)))
    x = layers.AveragePooling2D(**pool)(layers.ReLU()(_convolution(32)(x)))
    x = layers.AveragePooling2D(**pool)(layers.ReLU()(_convolution(64)(x)))
    return classifier(inputs, layers.Flatten()(x), classes, "cnn3")


def _convolution(channels: int) -> layers.Layer:
    return layers.Conv2D(channels, 5, padding="same", kernel_initializer="he_normal")
