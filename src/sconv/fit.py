"""From a compiled model to a trained one in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import keras

from sconv import checks
from sconv.datasets import Split
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.lr_finder.finder import lr_find
from sconv.lr_finder.result import RangeTest
from sconv.schedules import Schedule, onecycle_fastai
from sconv.training import acceleration
from sconv.training.attach import own_momentum
from sconv.training.callbacks import ScheduleCallback
from sconv.training.checkpoint import Checkpoint
from sconv.training.final_statistics import FinalStatistics
from sconv.training.inputs import check_compiled, feed, sizes, streamed

# What of `fit` decides the losses, and so goes to the range test too.
_OF_THE_LOSS = ("batch_size", "class_weight", "sample_weight", "shuffle", "steps_per_epoch")


def fit_one_cycle(
    model: keras.Model,
    data: Any,
    epochs: int = 5,
    lr_max: float | str = "auto",
    validation_data: Any = None,
    schedule: Schedule | Callable[[float], Schedule] | None = None,
    range_test: Mapping[str, Any] | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    accelerate: bool = True,
    update_bn: bool | str = checks.AUTO,
    **fit: Any,
) -> keras.callbacks.History:
    """Train a compiled model under the 1cycle policy; returns Keras's History, with `lr_max` and the `range_test`.

    `data` as for `lr_find`; `validation_data` as for `fit`, or a split of a `Dataset`. `lr_max="auto"` runs the range
    test first, with the momentum that the policy has at its peak. `schedule` is a policy, a function from lr_max to a
    Schedule (`sconv.schedules.onecycle`; default: onecycle_fastai), or a finished Schedule, which brings its own
    lr_max. `range_test` holds settings of `lr_find`, such as {"max_steps": 200}. `checkpoint` is a directory (or a
    `Checkpoint`, for its settings): killed and called again the same way, the training goes on from there to the same
    last bit, and no range test is run again. `accelerate` does what `sconv.accelerate` does, for good; False leaves the
    model as it is. `update_bn` computes the statistics of batch normalisation at the end, by `sconv.update_bn`, before
    the last validation; "auto" does where the cycle is too short for its momentum (`FinalStatistics` has the rule) or
    the optimizer averages weights, and says so in one line. Everything else goes to `fit`.
    """
    check_compiled(model)
    statistics = FinalStatistics(data, update_bn, fit.get("batch_size"), fit.get("steps_per_epoch"))
    if checks.boolean("accelerate", accelerate):
        done = acceleration.accelerate(model)
        # What XLA compiles runs the stock layers.
        if done and not model.jit_compile and fit.get("verbose", "auto"):
            print(done)
    batch_size = fit.get("batch_size")
    keeper = checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    planned, peak, test = _planned(model, data, lr_max, schedule, range_test, keeper, fit)
    stream = streamed(data, batch_size)
    arguments, callbacks = feed(stream, fit.pop("batch_size", None))
    if isinstance(validation_data, Split):
        validation_data = (validation_data.images, validation_data.labels)
    own = fit.pop("callbacks", None) or []
    if keeper is not None:
        keeper.settings.update(sizes(data, batch_size), lr_max=peak)
        keeper.stream = stream if isinstance(stream, TrainingStream) else None
        own = [*own, keeper]
    history = model.fit(
        **{**fit, **arguments},
        epochs=epochs,
        validation_data=validation_data,
        callbacks=[*callbacks, ScheduleCallback(planned), *own, statistics],
    )
    if statistics.outcome and fit.get("verbose", "auto"):
        print(f"batch normalisation: statistics {statistics.outcome}")
    history.lr_max, history.range_test = peak, test
    return history


def _planned(
    model: keras.Model,
    data: Any,
    lr_max: float | str,
    schedule: Schedule | Callable[[float], Schedule] | None,
    range_test: Mapping[str, Any] | None,
    keeper: Checkpoint | None,
    fit: dict[str, Any],
) -> tuple[Schedule, float | None, RangeTest | None]:
    """The schedule to train under, the lr_max that was given or found for it, and the test that found it."""
    policy = onecycle_fastai if schedule is None else schedule
    if isinstance(policy, Schedule):
        if lr_max != checks.AUTO:
            raise checks.SettingError(
                f"lr_max: got {checks.shown(lr_max)} and a finished schedule, expected one of them"
            )
        return policy, None, None
    if lr_max != checks.AUTO:
        peak = checks.lr_max(lr_max)
        return policy(peak), peak, None
    before = None if keeper is None else keeper.find()
    shape = policy(1.0)
    if before is not None:
        peak = before[1]["settings"]["lr_max"]
        return shape.scaled(peak), peak, None
    test = _found(model, data, shape, range_test, fit)
    return shape.scaled(test.suggestion), test.suggestion, test


def _found(
    model: keras.Model, data: Any, shape: Schedule, settings: Mapping[str, Any] | None, fit: dict[str, Any]
) -> RangeTest:
    """The range test for the policy of a peak of 1."""
    of_loss = {name: fit[name] for name in _OF_THE_LOSS if name in fit}
    momentum = shape.peak_momentum if own_momentum(model.optimizer)[1] else None
    found = lr_find(model, data, **{"momentum": momentum, **of_loss, **(settings or {})})
    pick = found.suggestion
    if fit.get("verbose", "auto"):
        print(f"lr_max {pick:.3g} ({found.rule})")
    return found
