"""From a compiled model to a trained one in one line."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from sconv import checks
from sconv.datasets import Dataset, Split
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.lr_finder.finder import LRFinder, lr_find
from sconv.lr_finder.result import RangeTest
from sconv.lr_finder.smoothing import learned, start_of
from sconv.schedules import Schedule, onecycle_fastai
from sconv.training import acceleration
from sconv.training.attach import own_momentum, updates
from sconv.training.callbacks import ScheduleCallback
from sconv.training.checkpoint import Checkpoint
from sconv.training.final_statistics import FinalStatistics
from sconv.training.inputs import (
    batches_per_epoch,
    callbacks_of,
    check_compiled,
    check_names,
    check_validation,
    feed,
    sizes,
    streamed,
)
from sconv.training.recording import Diverged

# What of `fit` decides the losses, and so goes to the range test too.
_OF_THE_LOSS = ("batch_size", "class_weight", "sample_weight", "shuffle", "steps_per_epoch")
# Updates, of whose losses fewer say nothing of what was learned.
_ENOUGH = 50


def fit_one_cycle(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int = 5,
    lr_max: float | str = checks.AUTO,
    validation_data: Any = None,
    schedule: Schedule | Callable[[float], Schedule] | None = None,
    steps: float | None = None,
    range_test: Mapping[str, Any] | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    accelerate: bool = True,
    update_bn: bool | str = checks.AUTO,
    callbacks: Any = None,
    **fit: Any,
) -> keras.callbacks.History:
    """Train a compiled model under the 1cycle policy; returns Keras's History, with `lr_max` and the `range_test`.

    `x`, `y` as for `lr_find`; `validation_data` as for `fit`, or a split of a `Dataset`. `lr_max="auto"` runs the range
    test first, with the momentum that the policy has at its peak. `schedule` is a policy, a function from lr_max to a
    Schedule (`sconv.schedules.onecycle`; default: onecycle_fastai), or a finished Schedule, which brings its own
    lr_max. `steps` is the number of optimizer updates in all, where the data does not know its length. `range_test`
    holds settings of `lr_find`, such as {"max_steps": 200}. `checkpoint` is a directory (or a `Checkpoint`, for its
    settings): killed and called again the same way, the training goes on from there to the same last bit, and no range
    test is run again. `accelerate` does what `sconv.accelerate` does, for good; False leaves the model as it is.
    `update_bn` computes the statistics of batch normalisation at the end, by `sconv.update_bn`, before the last
    validation; "auto" does where the cycle is too short for its momentum (`FinalStatistics` has the rule) or the
    optimizer averages weights, and says so in one line. Everything else goes to `fit`. Raises SettingError, before
    anything is done, for what is not allowed, and `Diverged` at a loss that is not finite; warns where nothing was
    learned.
    """
    check_compiled(model)
    check_names(fit, inspect.signature(fit_one_cycle).parameters)
    policy, find = _policy(schedule, lr_max, range_test)
    keeper = checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    known = sizes(x, fit.get("batch_size"))
    if isinstance(x, Dataset):
        x = streamed(x, fit.pop("batch_size", None))
    if isinstance(validation_data, Split):
        validation_data = (validation_data.images, validation_data.labels)
    arguments, followers = feed(x, y, **fit, epochs=epochs, validation_data=validation_data)
    own = callbacks_of(callbacks)
    statistics = FinalStatistics(x, update_bn, fit.get("batch_size"), fit.get("steps_per_epoch"))
    rates, _ = policy.sample(_check(model, arguments, own, policy, steps))
    _accelerate(model, accelerate, fit.get("verbose", "auto"))
    before = keeper.find() if keeper is not None and find else None
    test = _range_test(model, x, y, policy, range_test, fit) if find and before is None else None
    peak = test.suggestion if test is not None else before[1]["settings"]["lr_max"] if before else float(rates.max())
    if keeper is not None:
        keeper.settings.update(known, lr_max=peak)
        keeper.stream = x if isinstance(x, TrainingStream) else None
        own.append(keeper)
    driver = ScheduleCallback(policy.scaled(peak) if find else policy, steps, record=True)
    try:
        history = model.fit(**arguments, callbacks=[*followers, driver, *own, statistics])
    except Diverged:
        driver.close()
        raise
    _tell_if_nothing_was_learned(driver.losses, peak)
    if statistics.outcome and fit.get("verbose", "auto"):
        print(f"batch normalisation: statistics {statistics.outcome}")
    history.lr_max, history.range_test = peak, test
    return history


def _policy(
    schedule: Schedule | Callable[[float], Schedule] | None, lr_max: float | str, range_test: Mapping[str, Any] | None
) -> tuple[Schedule, bool]:
    """The schedule to train under, and whether it is of a peak of 1 and the right one is yet to be found."""
    policy = onecycle_fastai if schedule is None else schedule
    find = lr_max == checks.AUTO and not isinstance(policy, Schedule)
    if range_test is not None and not find:
        known = "a finished schedule" if isinstance(policy, Schedule) else f"lr_max={checks.shown(lr_max)}"
        raise checks.SettingError(f"range_test: got {checks.shown(range_test)} and {known}, expected one of them")
    if not isinstance(policy, Schedule):
        return policy(1.0 if find else checks.lr_max(lr_max)), find
    if lr_max != checks.AUTO:
        raise checks.SettingError(f"lr_max: got {checks.shown(lr_max)} and a finished schedule, expected one of them")
    return policy, False


def _check(
    model: keras.Model,
    fit: Mapping[str, Any],
    callbacks: list[keras.callbacks.Callback],
    policy: Schedule,
    steps: float | None,
) -> int:
    """Raise an error about what `fit` would take, or refuse only later; returns the optimizer updates there will be."""
    epochs = checks.integer("epochs", fit["epochs"], at_least=1)
    checks.integer("initial_epoch", fit.get("initial_epoch", 0), at_most=epochs - 1)
    check_validation(fit["validation_data"], labelled=fit.get("y") is not None)
    for callback in callbacks:
        if isinstance(callback, (ScheduleCallback, LRFinder)):
            raise checks.SettingError(
                f"callbacks: got {type(callback).__name__} beside {policy.name}, expected none of its kind: "
                "only one can drive the learning rate"
            )
    return updates(model.optimizer, epochs, batches_per_epoch(fit), steps)


def _accelerate(model: keras.Model, wanted: bool, verbose: Any) -> None:
    if checks.boolean("accelerate", wanted):
        done = acceleration.accelerate(model)
        # What XLA compiles runs the stock layers.
        if done and not model.jit_compile and verbose:
            print(done)


def _range_test(
    model: keras.Model, x: Any, y: Any, shape: Schedule, settings: Mapping[str, Any] | None, fit: Mapping[str, Any]
) -> RangeTest:
    """The range test for a policy of a peak of 1."""
    of_loss = {name: fit[name] for name in _OF_THE_LOSS if name in fit}
    momentum = shape.peak_momentum if own_momentum(model.optimizer)[1] else None
    found = lr_find(model, x, y, **{"momentum": momentum, **of_loss, **(settings or {})})
    pick = found.suggestion
    if fit.get("verbose", "auto"):
        print(f"lr_max {pick:.3g} ({found.rule})")
    return found


def _tell_if_nothing_was_learned(losses: np.ndarray, peak: float) -> None:
    if len(losses) >= _ENOUGH and not learned(losses):
        warnings.warn(
            f"fit_one_cycle: the training loss ends where it began ({start_of(losses):.4g}), within its noise: nothing "
            f"was learned, or nothing was left to learn; try another lr_max than {peak:.3g}",
            stacklevel=3,
        )
