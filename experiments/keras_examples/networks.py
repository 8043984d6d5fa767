"""The networks of Keras's and TensorFlow's examples, compiled as documented, but for the learning rate.

Written down from their documentation; `examples.py` names each source. `jit_compile` is off for all: what XLA compiles
is slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, regularizers

FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _compiled(model: keras.Model, optimizer: keras.Optimizer, loss: Any, *metrics: Any) -> keras.Model:
    model.compile(optimizer, loss, metrics=list(metrics), jit_compile=False)
    return model


def _classifier(model: keras.Model, optimizer: keras.Optimizer, loss: Any = "sparse_categorical_crossentropy") -> Any:
    return _compiled(model, optimizer, loss, "accuracy")


def basic_classification(rate: float) -> keras.Model:
    """A hidden layer of 128."""
    parts = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(128, "relu")]
    return _classifier(keras.Sequential([*parts, layers.Dense(10)]), keras.optimizers.Adam(rate), FROM_LOGITS)


def mnist_convnet(rate: float) -> keras.Model:
    """Two convolutions, and dropout."""
    parts = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)]
    for channels in (32, 64):
        parts += [layers.Conv2D(channels, 3, activation="relu"), layers.MaxPooling2D()]
    parts += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, "softmax")]
    return _classifier(keras.Sequential(parts), keras.optimizers.Adam(rate))


def images_cnn(rate: float) -> keras.Model:
    """Three convolutions and a hidden layer."""
    parts = [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), layers.Conv2D(32, 3, activation="relu")]
    for _ in range(2):
        parts += [layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu")]
    parts += [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10)]
    return _classifier(keras.Sequential(parts), keras.optimizers.Adam(rate), FROM_LOGITS)


def cifar10_cnn(rate: float) -> keras.Model:
    """Four convolutions and a hidden layer of 512; shifts of a tenth and flips."""
    parts = [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), *_shifts_and_flips()]
    for channels in (32, 64):
        parts += [
            layers.Conv2D(channels, 3, padding="same", activation="relu"),
            layers.Conv2D(channels, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
        ]
    parts += [layers.Flatten(), layers.Dense(512, "relu"), layers.Dropout(0.5), layers.Dense(10, "softmax")]
    decaying = keras.optimizers.schedules.InverseTimeDecay(rate, 1, 1e-6)
    return _classifier(keras.Sequential(parts), keras.optimizers.RMSprop(decaying))


def _shifts_and_flips() -> list[layers.Layer]:
    return [layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"), layers.RandomFlip("horizontal")]


def resnet20(rate: float) -> keras.Model:
    """Three blocks of 16, 32 and 64 channels each; L2 of the convolutions, which have biases."""
    return _resnet20(rate, [])


def augmented_resnet20(rate: float) -> keras.Model:
    """The same, with shifts of a tenth and flips."""
    return _resnet20(rate, _shifts_and_flips())


def _resnet20(rate: float, before: list[layers.Layer]) -> keras.Model:
    images = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(images)
    for layer in before:
        x = layer(x)
    x = layers.ReLU()(_normalised(x, 16))
    for channels in (16, 32, 64):
        for block in range(3):
            strides = 2 if channels > 16 and block == 0 else 1
            residual = layers.ReLU()(_normalised(x, channels, strides))
            residual = _normalised(residual, channels)
            if strides == 2:
                x = _convolution(x, channels, 2, size=1)
            x = layers.ReLU()(x + residual)
    features = layers.Flatten()(layers.AveragePooling2D(8)(x))
    answers = layers.Dense(10, "softmax", kernel_initializer="he_normal")(features)
    return _classifier(keras.Model(images, answers), keras.optimizers.Adam(rate))


def _convolution(x: Any, channels: int, strides: int = 1, size: int = 3) -> Any:
    options = {"kernel_initializer": "he_normal", "kernel_regularizer": regularizers.L2(1e-4)}
    return layers.Conv2D(channels, size, strides, padding="same", **options)(x)


def _normalised(x: Any, channels: int, strides: int = 1) -> Any:
    return layers.BatchNormalization()(_convolution(x, channels, strides))


def imbalanced_classification(rate: float, inputs: int = 30) -> keras.Model:
    """Three hidden layers of 256."""
    parts = [keras.Input((inputs,)), layers.Dense(256, "relu")]
    for _ in range(2):
        parts += [layers.Dense(256, "relu"), layers.Dropout(0.3)]
    return _compiled(
        keras.Sequential([*parts, layers.Dense(1, "sigmoid")]), keras.optimizers.Adam(rate), "binary_crossentropy"
    )


def wine_quality(rate: float, inputs: int = 10) -> keras.Model:
    """Two hidden layers of 8 sigmoids over normalised inputs."""
    parts = [keras.Input((inputs,)), layers.BatchNormalization()]
    parts += [layers.Dense(8, "sigmoid"), layers.Dense(8, "sigmoid"), layers.Dense(1)]
    error = keras.metrics.RootMeanSquaredError()
    return _compiled(keras.Sequential(parts), keras.optimizers.RMSprop(rate), "mse", error)


def fuel_efficiency(rate: float, inputs: int = 9) -> keras.Model:
    """Two hidden layers of 64, over inputs that were normalised before."""
    parts = [keras.Input((inputs,)), layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1)]
    return _compiled(keras.Sequential(parts), keras.optimizers.Adam(rate), "mae")


def timeseries_transformer(shape: Sequence[int], classes: int, blocks: int = 4, head: int = 256) -> Callable[..., Any]:
    """Blocks of attention over the steps of a series, and a hidden layer of 128."""

    def model(rate: float) -> keras.Model:
        inputs = keras.Input(tuple(shape))
        series = inputs
        for _ in range(blocks):
            series = _encoder(series, head)
        features = layers.Dense(128, "relu")(layers.GlobalAveragePooling1D()(series))
        answers = layers.Dense(classes, "softmax")(layers.Dropout(0.4)(features))
        return _classifier(keras.Model(inputs, answers), keras.optimizers.Adam(rate))

    return model


def _encoder(series: Any, head: int) -> Any:
    attended = layers.MultiHeadAttention(num_heads=4, key_dim=head, dropout=0.25)(series, series)
    attended = layers.LayerNormalization(epsilon=1e-6)(layers.Dropout(0.25)(attended)) + series
    hidden = layers.Conv1D(4, 1, activation="relu")(attended)
    hidden = layers.Conv1D(series.shape[-1], 1)(layers.Dropout(0.25)(hidden))
    return layers.LayerNormalization(epsilon=1e-6)(hidden) + attended
