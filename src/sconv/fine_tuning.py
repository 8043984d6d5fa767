"""From a pretrained network under a new head to one that is trained on new data, in one line."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from sconv import checks, schedules
from sconv.fit import fit_one_cycle
from sconv.schedules import Schedule
from sconv.training.attach import detach, inner
from sconv.training.freezing import body_and_head, flags_kept, freeze, unfreeze
from sconv.training.inputs import check_compiled
from sconv.training.keras_internals import uses_weight_decay
from sconv.training.parameter_groups import group_parameters, has_groups

# What of `fit_one_cycle` is decided here, and by which settings.
_DECIDED = {"lr_max": "base_lr", "schedule": "pct_start, div and momentum", "initial_epoch": "freeze_epochs"}


def fine_tune(
    model: keras.Model,
    data: Any,
    epochs: int,
    freeze_epochs: int = 1,
    base_lr: float | str = checks.AUTO,
    *,
    lr_mult: float = 100.0,
    pct_start: float = 0.3,
    div: float = 5.0,
    momentum: float | Sequence[float] | None = (0.95, 0.85),
    head: str | Sequence[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    **fit: Any,
) -> keras.callbacks.History:
    """Train a compiled model's new head, then all of it, and return one History of both.

    First the head alone for `freeze_epochs`: the body is frozen, its batch normalisation as in evaluation, and the
    learning rate rises to `base_lr`. Then all layers for `epochs`, in a cycle up to `base_lr / 2` (from a `div`-th of
    it, over the first `pct_start`), the body at a `lr_mult`-th of every rate. "auto" runs the range test on what is
    trained first. `momentum` is cycled in both, as a policy does.

    `head` names the layers of the head; by default they are those outside of a nested model (such as one of
    keras.applications), else the last layer with weights. A body that is frozen as a whole is unfrozen for the second
    part; where some of it learns, the rest stays frozen. Each part has an optimizer of its own, of the settings of the
    model's. Afterwards the model is compiled and trainable as it was. `data`, `checkpoint` (a directory) and all else
    are as for `fit_one_cycle`; callbacks see two fits. Raises SettingError. Source: fastai, `Learner.fine_tune`.
    """
    check_compiled(model)
    freeze_epochs, epochs = checks.integer("freeze_epochs", freeze_epochs), checks.integer("epochs", epochs)
    factor = 1 / checks.number("lr_mult", lr_mult, at_least=1)
    if base_lr != checks.AUTO:
        checks.number("base_lr", base_lr, above=0)
    rise, cycle = _policies(pct_start, div, momentum)
    kept = None if checkpoint is None else _directory(checkpoint)
    _check_undecided(fit)
    body = _body(model, head)
    if not epochs + freeze_epochs:
        raise checks.SettingError("epochs: got 0 and freeze_epochs=0, expected at least 1 of one of them")
    parts = []
    if freeze_epochs:
        with _compiled_anew(model):
            freeze(body)
            settings = {**fit, "schedule": rise, "checkpoint": kept and kept / "head"}
            parts.append(fit_one_cycle(model, data, epochs=freeze_epochs, lr_max=base_lr, **settings))
        base_lr = parts[0].lr_max
        # Done, and told.
        fit = {name: value for name, value in fit.items() if name != "range_test"} | {"accelerate": False}
    if epochs:
        with _compiled_anew(model):
            unfreeze(body)
            factors = {layer.name: factor for layer in body if layer.trainable_variables}
            # What decays is the optimizer's affair.
            group_parameters(model.optimizer, model, decay_all=True, lr_factors=factors)
            settings = {**fit, "schedule": cycle, "checkpoint": kept and kept / "all"}
            parts.append(fit_one_cycle(model, data, epochs=epochs, lr_max=base_lr, **settings))
    return _joined(parts, base_lr)


def _policies(pct_start: float, div: float, momentum: Any) -> tuple[Callable[[float], Schedule], ...]:
    """The rise of the head and the cycle of all, each for a base_lr."""
    checks.number("div", div, at_least=1, at_most=1e5)

    def policy(freeze_epochs: int, base_lr: float) -> Schedule:
        return schedules.fine_tune(base_lr, 1, freeze_epochs, momentum, div, pct_start)

    rise, cycle = functools.partial(policy, 1), functools.partial(policy, 0)
    for part in (rise, cycle):
        part(1.0)  # what it refuses, it refuses before anything is trained
    return rise, cycle


def _directory(checkpoint: Any) -> Path:
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise checks.SettingTypeError(f"checkpoint: got {checks.shown(checkpoint)}, expected a directory, for two fits")
    return Path(checkpoint)


def _check_undecided(fit: dict[str, Any]) -> None:
    for name, by in _DECIDED.items():
        if name in fit:
            raise checks.SettingError(f"{name}: got {checks.shown(fit[name])}, expected {by}, which decides it here")


def _body(model: keras.Model, head: str | Sequence[str] | None) -> list[keras.layers.Layer]:
    """The layers to freeze first, where model and optimizer allow that."""
    if has_groups(model.optimizer):
        raise checks.SettingError("optimizer: got one that group_parameters was called on, expected one without groups")
    body, new = body_and_head(model, head)
    if not any(layer.trainable_variables for layer in new):
        frozen = ", ".join(layer.name for layer in new)
        raise checks.SettingError(f"head: got {frozen}, which is frozen, expected layers that learn")
    return body


@contextlib.contextmanager
def _compiled_anew(model: keras.Model) -> Iterator[None]:
    """For as long as it is trained otherwise than it was compiled for: an optimizer that has made no step, of the same
    settings. What was compiled and what was trainable is put back.
    """
    own = model.optimizer
    with model.distribute_strategy.scope():
        anew = type(own).from_config(own.get_config())
    # What no config holds.
    spared = [variable for variable in model.weights if not uses_weight_decay(inner(own), variable)]
    if spared:
        inner(anew).exclude_from_weight_decay(var_list=spared)
    with flags_kept(model):
        _put_on(model, anew)
        try:
            yield
        finally:
            detach(anew)  # of a fit that was cut short
            _put_on(model, own)


def _put_on(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Have the model train with this optimizer, in a step that is traced anew."""
    # As `compile` does, past __setattr__; it would take losses and metrics only as they were before it made its own.
    vars(model).update(optimizer=optimizer, train_function=None)


def _joined(parts: Sequence[keras.callbacks.History], base_lr: float | str) -> keras.callbacks.History:
    """The last History with the epochs of those before it, and what the first found."""
    history = parts[-1]
    logs = [part.history for part in parts]
    history.history = {name: [value for log in logs for value in log[name]] for name in logs[-1]}
    history.epoch = list(range(sum(len(part.epoch) for part in parts)))
    history.lr_max = parts[0].lr_max if base_lr == checks.AUTO else base_lr
    history.range_test = parts[0].range_test
    return history
