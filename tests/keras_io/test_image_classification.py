"""Image classification from scratch, https://keras.io/examples/vision/image_classification_from_scratch/

There: photographs of cats and dogs from a folder, a small Xception with batch normalisation, Adam at 0.0003. Here the
folder holds handwritten digits, odd and even, and the network has a quarter of the channels.
"""

from __future__ import annotations

import keras
import pytest
from keras import layers
from PIL import Image

import sconv
from sconv.datasets import mnist_5k

# What Keras says of every dataset that shuffles by itself.
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of pictures, in a folder for each of the two classes."""
    images, labels = mnist_5k.load().train.images[:1500, ..., 0], mnist_5k.load().train.labels[:1500]
    root = tmp_path_factory.mktemp("pictures")
    for name in ("even", "odd"):
        (root / name).mkdir()
    for number, (pixels, digit) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(pixels).save(root / ("odd" if digit % 2 else "even") / f"{number}.png")
    return root


def pictures(folder):
    train, validation = keras.utils.image_dataset_from_directory(
        folder,
        validation_split=1 / 3,
        subset="both",
        seed=0,
        image_size=(28, 28),
        color_mode="grayscale",
        batch_size=32,
        verbose=False,
    )
    return train.cache(), validation.cache()


def block(features, channels):
    hidden = features
    for _ in range(2):
        hidden = layers.SeparableConv2D(channels, 3, padding="same")(layers.Activation("relu")(hidden))
        hidden = layers.BatchNormalization()(hidden)
    hidden = layers.MaxPooling2D(3, strides=2, padding="same")(hidden)
    return hidden + layers.Conv2D(channels, 1, strides=2)(features)


def small_xception():
    inputs = keras.Input((28, 28, 1))
    features = layers.Conv2D(32, 3, strides=2, padding="same")(layers.Rescaling(1 / 255)(inputs))
    features = layers.Activation("relu")(layers.BatchNormalization()(features))
    for channels in (64, 128):
        features = block(features, channels)
    features = layers.SeparableConv2D(256, 3, padding="same")(features)
    features = layers.Activation("relu")(layers.BatchNormalization()(features))
    features = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, layers.Dense(1)(features))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-4), loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0)])
    return model


def published(folder):
    """Validation accuracy as it is, and with the statistics of batch normalisation that it had no time for."""
    train, validation = pictures(folder)
    model = small_xception()
    model.fit(train, epochs=5, verbose=0)
    stock = model.evaluate(validation, verbose=0)[1]
    sconv.update_bn(model, train)
    return stock, model.evaluate(validation, verbose=0)[1]


def one_line(folder):
    train, validation = pictures(folder)
    model = small_xception()
    sconv.fit_one_cycle(model, train, epochs=5, range_test={"max_steps": 150}, verbose=0)
    return model.evaluate(validation, verbose=0)[1]


def test_better_in_as_many_epochs(folder):
    keras.utils.set_random_seed(0)
    stock, computed = published(folder)
    keras.utils.set_random_seed(0)
    ours = one_line(folder)
    assert ours > stock + 0.2
    assert ours > computed - 0.02
