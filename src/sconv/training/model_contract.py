"""What a model must be, whoever wrote it."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv import checks
from sconv.datasets import Dataset, Split

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def label_depth(model: keras.Model, loss: keras.Loss) -> int | None:
    """How long one-hot labels are, or None where the loss takes numbers: a sparse one, or one for a single output."""
    import keras

    outputs = int(model.output_shape[-1])
    return None if outputs == 1 or isinstance(loss, keras.losses.SparseCategoricalCrossentropy) else outputs


def chance(dataset: Dataset, model: keras.Model) -> float | None:
    """The cross-entropy of answering each class as often as there is of it, in nats; None under another loss.

    Of a stream, whose labels take a pass over it, the classes are taken for equally frequent.
    """
    import keras

    known = (keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy)
    binary = isinstance(model.loss, keras.losses.BinaryCrossentropy) and model.output_shape[-1] == 1
    if not isinstance(model.loss, known) and not binary:
        return None
    if not isinstance(dataset.train, Split):
        return float(np.log(dataset.classes))
    shares = np.bincount(dataset.train.labels) / len(dataset.train)
    return float(-np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))


def check_model(model: Any, dataset: Dataset, loss: keras.Loss, source: str) -> None:
    """Raise an error that names `source` unless `model` takes the raw inputs and gives what the loss takes."""
    import keras

    known_outputs = isinstance(model, keras.Sequential) or hasattr(model, "output_shape")  # no subclass tells its own
    if not isinstance(model, keras.Model) or not known_outputs:
        raise checks.SettingTypeError(
            f"model: {source} returned {checks.type_of(model)}, expected a Sequential or functional keras.Model"
        )
    inputs = dataset.train.images[:2] if isinstance(dataset.train, Split) else np.zeros((2, *dataset.input_shape))
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(model(inputs), "float32")))
    except Exception as error:
        cause = textwrap.shorten(re.sub(r"\x1b\[[0-9;]*m", "", str(error)), 400)
        raise checks.SettingError(
            f"model: {source} does not take raw inputs of {dataset.input_shape} of {dataset.name}: {cause}"
        ) from error
    wanted = (len(inputs), dataset.classes)
    if outputs.shape != wanted and not (dataset.classes == 2 and outputs.shape == (len(inputs), 1)):
        raise checks.SettingError(f"model: {source} gives {outputs.shape} for {len(inputs)} inputs, expected {wanted}")
    known = (keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy)
    probabilities = (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=0.02)
    if isinstance(loss, known) and not loss.from_logits and np.isfinite(outputs).all() and not probabilities:
        raise checks.SettingError(
            f"model: {source} gives no probabilities (a row sums to {outputs[0].sum():.3g}): end it in a softmax, or "
            f"set loss.from_logits=true"
        )


def check_sizes(model: keras.Model, shapes: Iterable[tuple[int, ...]], name: str) -> None:
    """Raise an error that begins with `name` unless `model` tells images of these shapes (height, width, channels).

    One that was built for larger images may fail on them, or make the same of all, where nothing is left to pool.
    """
    import tensorflow as tf

    # As in a step, where Keras does not hold the inputs against the size that the model was built for.
    any_size = tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.float32)
    apply = tf.function(lambda images: tf.cast(model(images), tf.float32), [any_size], jit_compile=False)

    def fault(shape: tuple[int, ...]) -> str | None:
        try:
            outputs = apply(np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)).numpy()
        except Exception:
            return "does not take"
        if not np.isfinite(outputs).all():
            return "makes no finite numbers of"
        return "does not tell apart" if np.array_equal(*outputs) else None

    own = tuple(model.input_shape[1:])
    usual = fault(own)
    for shape in shapes:
        if (found := fault(shape)) not in (None, usual):
            size, built = ("x".join(map(str, each[:2])) for each in (shape, own))
            raise checks.SettingError(
                f"{name}: got a share that makes images {size}, which {model.name}, built for {built}, {found}, "
                "expected null, larger shares, or a model that ends in global pooling"
            )


def note_weaknesses(model: keras.Model, source: str) -> None:
    """Warn of what the model may do, but ought not: probabilities of 16 bits, and layers that are not loaded again."""
    for kind in {output.dtype for output in model.outputs} & {"bfloat16", "float16"}:
        told = f"gives its outputs in {kind}, which is too coarse for a loss: give its last layer dtype='float32'"
        log.warning("model: %s %s", source, told)
    for told in _what_cannot_be_loaded(model):
        log.warning("model: %s has a %s", source, told)


def _what_cannot_be_loaded(model: keras.Model) -> Iterator[str]:
    """Layers that keep the saved model from being loaded again, also of nested models."""
    import keras

    for layer in model.layers:
        kind = type(layer)
        if isinstance(layer, keras.Model):
            yield from _what_cannot_be_loaded(layer)
        elif kind is keras.layers.Lambda:
            yield "Lambda layer, which Keras does not load again unless told safe_mode=False"
        elif not kind.__module__.startswith("keras.") and kind not in keras.saving.get_custom_objects().values():
            mend = "decorate it with keras.saving.register_keras_serializable()"
            yield f"layer {kind.__name__}, which Keras does not load again: {mend}"
