"""What an update does to some variables and not to others: coupled weight decay, and a learning rate of their own.

Keras's own `weight_decay` is decoupled: w <- w - lr * weight_decay * w beside the update, outside of momentum. The
papers' (Caffe's, PyTorch's) is L2: weight * w joins the gradient, and goes through momentum with it. With momentum m
that pulls 1 / (1 - m) times as hard, so that one number cannot stand for the other.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sconv import checks
from sconv.training.attach import inner
from sconv.training.keras_internals import USES_WEIGHT_DECAY, uses_weight_decay, variable_key

# Those of attention and of normalisation over several axes have more than one axis themselves.
_SPARED = ("bias", "gamma", "beta")


def group_parameters(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model | None = None,
    *,
    l2: float | None = None,
    decay_all: bool = False,
    lr_factors: Mapping[str, float] | None = None,
    frozen_for: int = 0,
) -> keras.optimizers.Optimizer:
    """Have `optimizer` treat its variables in groups; returns it, changed in place and on the instance.

    `l2` adds `l2 * w` to the gradient after clipping, as Caffe and PyTorch do for what they call weight decay; the
    recorded loss stays that of the data. Neither it nor the optimizer's own `weight_decay` touches biases, scales and
    shifts of normalisation (by Keras's names for them) and what else has fewer than two axes, unless `decay_all`.
    `exclude_from_weight_decay` keeps its say over `weight_decay`. `lr_factors` maps names of layers of `model`, or
    patterns such as `norm*`, to a factor on the learning rate, and on the decoupled decay with it; for the first
    `frozen_for` updates that is 0 (the averages of their batch normalisation move all the same). It works under any
    schedule that is attached before or after; a saved optimizer is a stock one and has forgotten the groups. Raises
    SettingError.
    """
    driven = inner(optimizer)
    coupled = 0.0 if l2 is None else checks.number("l2", l2, at_least=0)
    checks.choice("decay_all", decay_all, (True, False))
    factors = _factors(driven, model, lr_factors or {})
    checks.integer("frozen_for", frozen_for)

    def decays(variable: Any) -> bool:
        return decay_all or (len(variable.shape) > 1 and variable.name not in _SPARED)

    def decays_in_keras(variable: Any) -> bool:
        # Keras decays all variables at one learning rate: those with a factor are left to `update_step`.
        has_factor = variable_key(driven, variable) in factors
        return decays(variable) and not has_factor and uses_weight_decay(driven, variable)

    # Here gradients are clipped, averaged over micro-batches and summed over replicas.
    @tf.autograph.experimental.do_not_convert
    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = factors.get(variable_key(driven, variable))
        if factor is not None:
            factor = tf.where(driven.iterations < frozen_for, 0.0, factor) if frozen_for else factor
            learning_rate = tf.cast(learning_rate, variable.dtype) * tf.cast(factor, variable.dtype)
            if driven.weight_decay and decays(variable) and uses_weight_decay(driven, variable):
                variable.assign_sub(learning_rate * tf.cast(driven.weight_decay, variable.dtype) * variable)
        if coupled and decays(variable):
            gradient = tf.cast(gradient, variable.dtype) + tf.cast(coupled, variable.dtype) * variable
        type(driven).update_step(driven, gradient, variable, learning_rate)

    # Written past __setattr__: what Keras tracks, it saves.
    vars(driven).update({"update_step": update_step, USES_WEIGHT_DECAY: decays_in_keras})
    return optimizer


def has_groups(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `group_parameters` was called on it."""
    return USES_WEIGHT_DECAY in vars(inner(optimizer))


def _factors(
    optimizer: keras.optimizers.Optimizer, model: keras.Model | None, wanted: Mapping[str, float]
) -> dict[Any, float]:
    """The factor of each variable that has one, by the optimizer's own key."""
    if not isinstance(wanted, Mapping):
        raise checks.SettingTypeError(f"lr_factors: got {checks.shown(wanted)}, expected {{layer: factor}}")
    if wanted and model is None:
        raise checks.SettingError(f"lr_factors: got {dict(wanted)}, expected the model whose layers these are")
    if wanted and getattr(optimizer, "adam_weight_decay", optimizer.weight_decay) != optimizer.weight_decay:
        raise checks.SettingError(
            f"lr_factors: Muon decays by weight_decay={optimizer.weight_decay} and "
            f"adam_weight_decay={optimizer.adam_weight_decay}, expected one value for both"
        )
    factors = {}
    for name, value in wanted.items():
        factor = checks.number(f"lr_factors.{name}", value, above=0)
        for layer in _layers(model, name):
            for variable in layer.trainable_variables:
                factors[variable_key(optimizer, variable)] = factor
    return factors


def _layers(model: Any, name: str) -> list[keras.layers.Layer]:
    """The layer of this name, or those whose names match it as files match `norm*`."""
    layers = {layer.name: layer for layer in model.layers if layer.trainable_variables}
    matching = [layers[name]] if name in layers else [layers[each] for each in fnmatch.filter(layers, name)]
    if not matching:
        frozen = any(layer.name == name and layer.variables for layer in model.layers)
        why = "has nothing to train: it is frozen" if frozen else f"is no layer of {model.name} that has weights"
        raise checks.SettingError(f"lr_factors: {name} {why}; expected one of {', '.join(layers)}")
    return matching
