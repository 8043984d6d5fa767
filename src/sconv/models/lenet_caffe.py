"""LeNet as Caffe ships it, the MNIST network of Smith's papers: two 5x5 convolutions and two dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from sconv.models.blocks import classifier, image_shape, scaled

# From 16 it is 12, pooled 6, convolved 2, pooled 1.
SMALLEST = 16


def build(input_shape: Sequence[int], classes: int, scale: float = 1 / 255) -> keras.Model:
    """Build Caffe's LeNet, whose convolutions are linear; 431,080 parameters for 28x28x1 and ten classes.

    Takes raw images [batch, height, width, channels] of at least 16x16, gives probabilities [batch, classes] in
    float32. Raises SettingError or SettingTypeError. Source: BVLC Caffe, `examples/mnist/lenet_train_test.prototxt`,
    which Smith trains in "A disciplined approach to neural network hyper-parameters" (arXiv 1803.09820), table 2. The
    file's double learning rate for biases is left out.
    """
    inputs, x = scaled(image_shape(input_shape, SMALLEST), scale)
    # Caffe's "xavier" looks at the fan-in only.
    start = {"kernel_initializer": "lecun_uniform"}
    for channels in (20, 50):
        x = layers.MaxPooling2D(2)(layers.Conv2D(channels, 5, **start)(x))
    x = layers.Dense(500, activation="relu", **start)(layers.Flatten()(x))
    return classifier(inputs, x, classes, "lenet_caffe", **start)
