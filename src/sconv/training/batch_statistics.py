"""The statistics of batch normalisation, computed at the end instead of averaged on the way.

While it trains, a layer keeps moving averages of its batches' means and variances, which evaluation uses. They know
the last 1 / (1 - momentum) batches, 100 at Keras's momentum of 0.99: long in a short cycle.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization

from sconv import checks
from sconv.datasets import Split
from sconv.datasets.pipeline.autotuning import without_autotuning
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.training.acceleration import normalisations
from sconv.training.inputs import streamed
from sconv.training.replicas import values_of_all


def update_bn(model: keras.Model, data: Any, batch_size: int | None = None, steps: int | None = None) -> int:
    """Compute the moving statistics of batch normalisation anew from `data`; returns of how many layers.

    One pass, which leaves the weights alone. Each layer ends with the mean of its batches' means and of their variances
    (with n in the denominator, as Keras has them), a batch counting by its examples: what its moving averages would
    come to if the weights stood still. `data` is what `fit_one_cycle` takes, or inputs alone; arrays are shuffled.
    `batch_size` (32) goes with arrays and sconv's own `Dataset` and ought to be that of training, `steps` (batches)
    with data that does not end.

    These layers alone run as in training: dropout, noise and augmentation layers are off, as they are in evaluation,
    for which the statistics are. (torch.optim.swa_utils.update_bn, which this is after, has them on; it counts every
    batch alike, and variances are there with n - 1.) Frozen layers, renormalising ones and those that the model's
    `predict` does not pass through keep their statistics. Where the data fails, all do. Layers that the model calls
    with training=False are not known from others here, as they are at the end of `fit_one_cycle`: freeze them.
    """
    return compute(updatable(model), model, data, batch_size, steps)


def compute(
    layers: Sequence[BatchNormalization], model: keras.Model, data: Any, batch_size: int | None, steps: int | None
) -> int:
    """What `update_bn` does, of some layers."""
    check_predicts(model)
    if not layers:
        return 0
    before = [layer.get_weights() for layer in layers]
    try:
        with model.distribute_strategy.scope():
            averages = [_Average(layer) for layer in layers]
        with _at_first_epoch(data), _watching(model, averages):
            model.predict(_inputs(data, batch_size), steps=steps, verbose=0)
    except BaseException:
        for layer, weights in zip(layers, before, strict=True):
            layer.set_weights(weights)
        raise
    finished = [average.finish(model.distribute_strategy) for average in averages]
    missed = [place for place, reached in enumerate(finished) if not reached]
    for place in missed:
        layers[place].set_weights(before[place])
    if missed:
        names = ", ".join(layers[place].name for place in missed)
        warnings.warn(f"update_bn: predict does not pass through {names}: left as they are", stacklevel=2)
    return len(layers) - len(missed)


def updatable(model: keras.Model) -> list[BatchNormalization]:
    """The batch normalisations whose statistics move in training, and can be computed anew."""
    return [layer for layer in normalisations(model) if layer.built and layer.trainable and not _renormalises(layer)]


def _renormalises(layer: BatchNormalization) -> bool:
    return bool(getattr(layer, "renorm", False))  # which not every Keras knows


def check_predicts(model: keras.Model) -> None:
    """Raise SettingError for a model whose layers are called by its own train_step alone."""
    kind = type(model)
    if kind.call is keras.Model.call and kind.predict_step is keras.Model.predict_step:
        raise checks.SettingError(
            f"update_bn: {model.name} has no call() to pass data through, expected one, or a part of it that has"
        )


class _Average:
    """What turns a layer's moving average into the mean over a pass: a momentum of its own for every batch."""

    def __init__(self, layer: BatchNormalization):
        self.layer, self._own, self._momentum = layer, layer.call, layer.momentum
        self._examples = tf.Variable(0, dtype=tf.int64, trainable=False)
        for moving in (layer.moving_mean, layer.moving_variance):
            moving.assign(keras.ops.zeros_like(moving))  # whatever stood there, not a number times 0 would stay

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """What takes the place of the layer's own, with its signature."""
        before = self._examples.read_value()
        after = before + tf.shape(inputs, out_type=tf.int64)[0]
        self._examples.assign(after)
        vars(self.layer)["momentum"] = tf.cast(before / after, self.layer.moving_mean.dtype)
        masked = {} if mask is None else {"mask": mask}
        try:
            return self._own(inputs, training=True, **masked)
        finally:
            vars(self.layer)["momentum"] = self._momentum

    def finish(self, strategy: tf.distribute.Strategy) -> bool:
        """Join what each replica has seen; False where none has seen anything."""
        examples = values_of_all(strategy, self._examples)
        if not examples.any():
            return False
        for moving in (self.layer.moving_mean, self.layer.moving_variance):
            values = values_of_all(strategy, moving.value)
            moving.assign(np.average(values, axis=0, weights=examples).astype(values.dtype))
        return True


@contextlib.contextmanager
def _watching(model: keras.Model, averages: Sequence[_Average]) -> Iterator[None]:
    """Have `predict` run these layers as in training, and give one number a batch; traced anew, and put back."""
    predict, function = model.predict_step, model.predict_function

    def step(batch: Any) -> tf.Tensor:
        predict(batch)
        return tf.zeros([1])

    # Written past __setattr__: what Keras tracks, it saves.
    places: list[tuple[dict[str, Any], str, Any]] = [
        (vars(average.layer), "call", average.call) for average in averages
    ]
    places.append((vars(model), "predict_step", step))
    places.append((vars(model), "history", None))  # which predict writes in an older Keras, and fit returns
    found = [place.get(name) for place, name, _ in places]
    model.predict_function = None
    for place, name, ours in places:
        place[name] = ours
    try:
        yield
    finally:
        model.predict_function = function
        for (place, name, _), own in zip(places, found, strict=True):
            place.pop(name)
            place.update({} if own is None else {name: own})


@contextlib.contextmanager
def _at_first_epoch(data: Any) -> Iterator[None]:
    """Have a stream give the same batches, whatever epoch it is at."""
    if not isinstance(data, TrainingStream):
        yield
        return
    epoch = int(data.epoch)
    data.epoch.assign(0)
    try:
        yield
    finally:
        data.epoch.assign(epoch)


def _inputs(data: Any, batch_size: int | None) -> Any:
    """What `predict` takes, for any form of data; arrays are put into an order that is no order of classes."""
    data = streamed(data, batch_size)
    if isinstance(data, TrainingStream):
        return data.full_size
    if isinstance(data, Split):
        data = (data.images,)
    if isinstance(data, (tuple, list)):
        data = data[0]
    arrays = keras.tree.flatten(data)
    if not all(hasattr(array, "shape") for array in arrays):
        return data  # a dataset or a generator, in its own order
    rows = np.random.default_rng(0).permutation(len(arrays[0]))
    columns = keras.tree.map_structure(tf.convert_to_tensor, data)

    def pick(chosen: tf.Tensor) -> tuple[Any]:
        return (keras.tree.map_structure(lambda column: tf.gather(column, chosen), columns),)

    size = checks.integer("batch_size", batch_size or 32, at_least=1)
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(size).map(pick)
    return without_autotuning(batches.prefetch(tf.data.AUTOTUNE))
