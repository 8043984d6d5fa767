"""Keras callbacks: thin adapters that put a schedule on the optimizer and watch what training does."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from sconv import checks, plots
from sconv.optimizers import attach, detach, inner
from sconv.schedules import Schedule, onecycle_fastai

_RIVALS = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


class ScheduleCallback(keras.callbacks.Callback):
    """Train under any `Schedule`: attached before the first step of a `fit`, taken off after the last.

    `steps` is the number of optimizer updates of the whole run (a float is accepted where it is whole); None takes
    epochs x steps from `fit`. `initial_epoch` begins that far into the schedule. After `fit`, `.lrs` and `.moms` hold
    the values of the updates made. Keras calls no `on_train_end` after an exception or Ctrl-C: the schedule then stays
    on until the next `fit` with a schedule, or `sconv.detach(model.optimizer)`.
    """

    def __init__(self, schedule: Schedule, steps: float | None = None):
        super().__init__()
        if not isinstance(schedule, Schedule):
            raise checks.SettingTypeError(
                f"schedule: got {checks.shown(schedule)}, expected a sconv.schedules.Schedule"
            )
        self.schedule = schedule
        self.steps = None if steps is None else checks.integer("steps", steps, at_least=1)
        if self.steps is not None:
            schedule.sample(self.steps)
        self.lrs: np.ndarray = np.empty(0)
        self.moms: np.ndarray | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        _refuse_rivals(self)
        self.attachment = attach(self.model.optimizer, self.schedule, self.steps or self._steps_of_fit())
        self._begun, self._first, self._batches = False, 0, 0
        _swap_traces(self.model, self.attachment)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._begun:
            self._recount()
            return
        # The first epoch's number is how fit says `initial_epoch`.
        self._first = self._updates(epoch) if epoch else 0
        self.attachment.begin_at(self._first)
        self._begun = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1

    def on_train_end(self, logs: Any = None) -> None:
        self._recount()
        planned, done = len(self.attachment.learning_rates), self.attachment.position
        self._finish(done)
        if done != planned:
            what = "the final values held for the rest" if done > planned else "the schedule did not reach its end"
            warnings.warn(
                f"{self.schedule.name}: planned for steps={planned}, but fit made {done} updates: {what}", stacklevel=2
            )

    def _finish(self, done: int) -> None:
        """Keep the values of the updates made, and take the schedule off."""
        planned = len(self.attachment.learning_rates)
        rows = np.minimum(np.arange(self._first, done), planned - 1)
        self.lrs = self.attachment.learning_rates[rows]
        self.moms = None if self.attachment.momenta is None else self.attachment.momenta[rows]
        detach(self.model.optimizer)

    def plot(self) -> Any:
        """Draw the learning rate and momentum of the updates made; returns the matplotlib figure."""
        if not len(self.lrs):
            raise checks.SettingError("plot: nothing to draw yet, expected a call after fit")
        import matplotlib.pyplot as plt  # which a notebook shows by itself

        figure = plt.figure(figsize=(7, 5))
        return plots.schedule(self.lrs, self.moms, title=self.schedule.name, figure=figure)

    def _recount(self) -> None:
        """Put right what Keras overcounts: where data ends unannounced, it raises the counter once too often."""
        if self.params.get("steps") is None and self.model.steps_per_execution == 1:
            self.attachment.begin_at(self._first + self._batches // self._micro_batches())

    def _micro_batches(self) -> int:
        return inner(self.model.optimizer).gradient_accumulation_steps or 1

    def _steps_of_fit(self) -> int:
        return self._updates(self.params["epochs"])

    def _updates(self, epochs: int) -> int:
        """Optimizer updates in so many epochs."""
        batches = self.params.get("steps")
        if batches is None:
            raise checks.SettingError(
                "steps: got None and fit does not know how long its data is, expected the number of updates "
                "(epochs x steps per epoch), or steps_per_epoch in fit"
            )
        return epochs * batches // self._micro_batches()


class OneCycleScheduler(ScheduleCallback):
    """The 1cycle policy in two cosine phases, for `model.fit(..., callbacks=[OneCycleScheduler(lr_max, steps)])`.

    Up from `lr_max / div_factor` to `lr_max` over `phase_1_pct` of training while momentum falls from `mom_max` to
    `mom_min`, then down to `lr_max / (div_factor * 1e4)` and back. See `ScheduleCallback` for `steps`. Source: van
    Wyk, "Super-convergence with the 1cycle policy" (2019), after fastai v1.
    """

    def __init__(
        self,
        lr_max: float,
        steps: float | None = None,
        mom_min: float = 0.85,
        mom_max: float = 0.95,
        phase_1_pct: float = 0.3,
        div_factor: float = 25.0,
    ):
        checks.number("phase_1_pct", phase_1_pct, above=0, below=1)
        low = checks.number("mom_min", mom_min, at_least=0, below=1)
        high = checks.number("mom_max", mom_max, at_least=low, below=1)
        policy = onecycle_fastai(lr_max, (high, low), div_factor, pct_start=phase_1_pct)
        super().__init__(policy, steps)


@dataclass(frozen=True, eq=False)
class _Identity:
    """Holds a thing, equal only to a holder of the very same thing."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.thing is other.thing


def _swap_traces(model: keras.Model, attachment: Any) -> None:
    """Give the model a train function of its own while the schedule is on, and its plain one back afterwards.

    A function traced with the schedule would train a later plain fit wrongly, and the other way round. Both are
    kept, so that neither kind of fit traces again as long as nothing it was traced from has changed.
    """
    origin = (
        _Identity(model._compile_config),  # a new one at every compile
        model.steps_per_execution,
        model.jit_compile,
        model.run_eagerly,
        vars(model).get("compute_loss"),  # put there by a recorder
        attachment.momentum_name,
    )
    plain = model.train_function
    kept_origin, kept = attachment.trace or ((), None)
    model.train_function = kept if kept_origin == origin else None
    model.make_train_function()

    def give_back() -> None:
        if origin[0] != _Identity(model._compile_config):
            model.train_function = None  # compiled anew since, after a fit that was cut short
            return
        attachment.trace = (origin, model.train_function)
        model.train_function = plain

    attachment.on_remove = give_back


def _refuse_rivals(callback: ScheduleCallback) -> None:
    """Refuse a fit in which something else sets the learning rate too."""
    for other in _siblings(callback):
        if other is not callback and isinstance(other, (*_RIVALS, ScheduleCallback)):
            raise checks.SettingError(
                f"callbacks: got {type(callback).__name__} and {type(other).__name__}, "
                "expected one of them: only one can drive the learning rate"
            )


def _siblings(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """All callbacks of the running fit: Keras tells none of them, so ask the list that is calling this one."""
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return list(caller.callbacks)
        frame = frame.f_back
    return [callback]
