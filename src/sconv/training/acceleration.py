"""The same training, sooner: batch normalisation as one fused operation, `filter_gradients` and `prompt_ends`.

Keras 3 computes a normalisation with a dozen operations, each of which passes over the whole tensor, forward and
backward. TensorFlow has it as one each way, in 16 bits too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import keras
import tensorflow as tf
from keras.layers import BatchNormalization

from sconv import checks
from sconv.training import filter_gradients, prompt_ends
from sconv.training.keras_internals import flat_layers, in_xla

_FUSED_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Acceleration:
    """What `accelerate` did to the layers of a model, as numbers of them; as text, one line.

    `fused` are normalisations, `unbuilt` those whose first input decides, `left_alone` maps a reason to how many it
    kept stock; `convolutions` are those with another filter gradient.
    """

    fused: int
    unbuilt: int = 0
    left_alone: Mapping[str, int] = field(default_factory=dict)
    convolutions: int = 0

    def __str__(self) -> str:
        return f"accelerate: {self.outcome}"

    def __bool__(self) -> bool:
        return self.fused + self.unbuilt + self.convolutions > 0

    @property
    def outcome(self) -> str:
        """What the line says, without the name of what did it."""
        filters = f"filter gradient{'s' if self.convolutions > 1 else ''}"
        told = (
            (self.fused, f"{self.fused} normalisation{'s' if self.fused > 1 else ''} fused"),
            (self.unbuilt, f"{self.unbuilt} to be fused once built, if of 4 axes"),
            (self.convolutions, f"{self.convolutions} {filters} by convolution"),
        )
        done = [text for count, text in told if count] or ["nothing to fuse"]
        left = [f"{count} left alone ({reason})" for reason, count in self.left_alone.items()]
        return ", ".join(done + left)


def accelerate(model: keras.Model) -> Acceleration:
    """Have every batch normalisation of `model`, nested ones too, computed by TensorFlow's fused operation.

    Works in place and on the instances: outputs, gradients and moving averages are those of the stock layers within
    rounding, and what is saved, cloned or copied is the stock model. Fused are Keras's own layers (not subclasses of
    them) on inputs of 4 axes, the last one normalised, in 32 or 16 bits; synchronized ones, renormalising ones, calls
    with a mask and what XLA compiles stay as they are. The model's own traced functions are made anew, yours are not:
    accelerate before you trace. Second derivatives become exact, which those of `tf.nn.moments` are not. Doing it again
    changes nothing; `decelerate` undoes it. On processors with bfloat16 and without AMX, convolutions in bfloat16 with
    small images also get their filter gradients by a convolution, which is sooner there. Where Keras
    makes the pipeline (of arrays, a generator, a PyDataset, without a distribution strategy) `fit`, `evaluate` and
    `predict` iterate over it without tf.data's autotuner, whose thread holds up the ends of epochs.
    """
    layers, convolutions = normalisations(model), filter_gradients.convolutions(model)
    obstacles = [_obstacle(layer) for layer in layers]
    fitting = [layer for layer, obstacle in zip(layers, obstacles, strict=True) if obstacle is None]
    new = [layer for layer in fitting if not _is_fused(layer)]
    for layer in new:
        # Written past __setattr__: what Keras tracks, it saves.
        vars(layer)["call"] = MethodType(_fused_call, layer)
    other = [layer for layer in convolutions if not filter_gradients.is_on(layer)]
    for layer in other:
        filter_gradients.put_on(layer)
    prompt_ends.put_on(model)
    if new or other:
        _trace_anew(model)
    built = sum(layer.built for layer in fitting)
    left_alone = dict(Counter(filter(None, obstacles)))
    return Acceleration(built, len(fitting) - built, left_alone, len(convolutions))


def decelerate(model: keras.Model) -> None:
    """Give every layer that `accelerate` changed its stock computation back, and the model its stock iteration."""
    changed = accelerated_layers(model)
    prompt_ends.take_off(model)
    for layer in changed:
        if filter_gradients.is_on(layer):
            filter_gradients.take_off(layer)
        else:
            del vars(layer)["call"]
    if changed:
        _trace_anew(model)


def accelerated_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers of `model` that are accelerated now: a step that was traced with others is another step."""
    changed = (layer for layer in flat_layers(model) if filter_gradients.is_on(layer))
    return [*(layer for layer in normalisations(model) if _is_fused(layer)), *changed]


def normalisations(model: keras.Model) -> list[BatchNormalization]:
    """Every batch normalisation of `model`, those of nested models too; SettingTypeError for what is no model."""
    if not isinstance(model, keras.Model):
        raise checks.SettingTypeError(f"model: got {checks.shown(model)}, expected a keras.Model")
    return [layer for layer in flat_layers(model) if isinstance(layer, BatchNormalization)]


def _is_fused(layer: BatchNormalization) -> bool:
    return getattr(vars(layer).get("call"), "__func__", None) is _fused_call


def _obstacle(layer: BatchNormalization) -> str | None:
    """Why a layer must stay as it is; None where it can be fused."""
    if type(layer) is not BatchNormalization:
        return "a subclass"
    reasons = {
        "a call of its own": "call" in vars(layer) and not _is_fused(layer),
        "synchronized": layer.synchronized,
        "renorm": getattr(layer, "renorm", False),  # which not every Keras knows
        "not of 4 axes": layer.built and layer.input_spec.ndim != 4,
        "not over the last axis": layer.axis not in (-1, 3),
        layer.compute_dtype: layer.compute_dtype not in _FUSED_DTYPES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _trace_anew(model: keras.Model) -> None:
    """Replace what was traced before. Made rather than dropped: it may be a running fit that asks for it."""
    for each in flat_layers(model):
        if isinstance(each, keras.Model):
            if each.train_function is not None:
                each.make_train_function(force=True)
            if each.test_function is not None:
                each.make_test_function(force=True)
            if each.predict_function is not None:
                each.make_predict_function(force=True)


def _fused_call(self: BatchNormalization, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """What `BatchNormalization.call` does, its signature included."""
    # XLA fuses the stock layer by itself; the fused one it expands to E[x^2] - E[x]^2, useless where the mean is large.
    if mask is not None or not _takes(self, inputs) or in_xla():
        return BatchNormalization.call(self, inputs, training=training, mask=mask)
    mean, variance = (keras.ops.cast(moving, "float32") for moving in (self.moving_mean, self.moving_variance))
    scale = keras.ops.cast(self.gamma, "float32") if self.scale else tf.ones_like(mean)
    shift = keras.ops.cast(self.beta, "float32") if self.center else tf.zeros_like(mean)
    fused = tf.compat.v1.nn.fused_batch_norm
    if not (training and self.trainable):
        return fused(inputs, scale, shift, mean, variance, epsilon=self.epsilon, is_training=False)[0]
    outputs, batch_mean, unbiased = fused(inputs, scale, shift, epsilon=self.epsilon)
    batch_variance = _biased(unbiased, inputs)
    self.moving_mean.assign(mean * self.momentum + batch_mean * (1.0 - self.momentum))
    self.moving_variance.assign(variance * self.momentum + batch_variance * (1.0 - self.momentum))
    return outputs


def _takes(layer: BatchNormalization, inputs: Any) -> bool:
    """Whether the fused operation knows such inputs, and would return the type that the layer promises."""
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return len(inputs.shape) == 4 and dtype == layer.compute_dtype and dtype in _FUSED_DTYPES


def _biased(variance: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """The variance that Keras averages: with n in the denominator, where the fused operation has n - 1."""
    elements = tf.cast(tf.size(inputs, out_type=tf.int64), tf.float32)
    # Of one value a channel it is 0, whatever a device makes of 0 / 0.
    return tf.math.multiply_no_nan(variance, 1.0 - inputs.shape[-1] / elements)
