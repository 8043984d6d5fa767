"""Keras callbacks: thin adapters that put a schedule on the optimizer and watch what training does."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from sconv import checks, plots
from sconv.schedules import Schedule, onecycle_fastai
from sconv.training.attach import attach, attached_to, inner
from sconv.training.recording import StepRecorder, WriteSteps, take_up


class ScheduleCallback(keras.callbacks.Callback):
    """Train under any `Schedule`: attached before the first step of a `fit`, taken off after the last.

    `steps` is the number of optimizer updates of the whole run (a float is accepted where it is whole); None takes
    epochs x steps from `fit`. `initial_epoch` begins that far into the schedule. After `fit`, `.lrs` and `.moms` hold
    the values of the updates made. `write(first, rates, momenta, losses)` gets every update's own loss, consecutive
    rows with first counted from 0, at least `every_seconds` and an epoch; `.losses` keeps them, and `fit` ends with
    `Diverged` at one that is not finite. Keras calls no `on_train_end` after an exception or Ctrl-C: the schedule then
    stays on until the next `fit` with a schedule, `close()`, or `sconv.detach(model.optimizer)`.
    """

    def __init__(
        self,
        schedule: Schedule,
        steps: float | None = None,
        write: WriteSteps | None = None,
        every_seconds: float = 5.0,
    ):
        super().__init__()
        if not isinstance(schedule, Schedule):
            raise checks.SettingTypeError(
                f"schedule: got {checks.shown(schedule)}, expected a sconv.schedules.Schedule"
            )
        self.schedule, self.write, self.every_seconds = schedule, write, every_seconds
        self.steps = None if steps is None else checks.integer("steps", steps, at_least=1)
        if self.steps is not None:
            schedule.sample(self.steps)
        self.attachment: Any = None  # an Attachment from the first fit on
        self.lrs: np.ndarray = np.empty(0)
        self.moms: np.ndarray | None = None
        self.losses: np.ndarray = np.empty(0)

    def on_train_begin(self, logs: Any = None) -> None:
        self._refuse_a_second()
        steps = self.steps or self._updates(self.params["epochs"])
        self.attachment = attach(self.model.optimizer, self.schedule, steps)
        self.attachment.owner = self
        self._trace = take_up(self.model, self.attachment, recording=self.write is not None)
        self._recorder: StepRecorder | None = None
        self._begun, self._first, self._batches = False, 0, 0
        self._own_rate, self._told = self.attachment.own_learning_rate, False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._begun:
            self._recount()
            return
        # The first epoch's number is how fit says `initial_epoch`.
        self._first = self._updates(epoch) if epoch else 0
        self.attachment.begin_at(self._first)
        self._begun = True
        if self.write is not None:
            self._recorder = StepRecorder(self.attachment, self._trace, self.write, self.every_seconds)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._recorder is not None:
            self._recorder.executed((logs or {}).get("loss", 0.0))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tell_of_a_rival()
        if self._recorder is not None:
            self._recorder.evaluated((logs or {}).get("val_loss", 0.0))

    def on_train_end(self, logs: Any = None) -> None:
        self._recount()
        self._tell_of_a_rival()
        planned, done = len(self.attachment.learning_rates), self.attachment.position
        self.close()
        if done != planned:
            what = "the final values held for the rest" if done > planned else "the schedule did not reach its end"
            warnings.warn(
                f"{self.schedule.name}: planned for steps={planned}, but fit made {done} updates: {what}", stacklevel=2
            )

    def close(self) -> None:
        """Keep and write the values of the updates made, and take the schedule off; of use where a fit is cut short."""
        if self.attachment is None or self.attachment.owner is not self:
            return
        if self._recorder is not None:
            self._recorder.flush()
            self.losses = self._trace.read(slice(self._first, self.attachment.position))
        planned = len(self.attachment.learning_rates)
        rows = np.minimum(np.arange(self._first, self.attachment.position), planned - 1)
        self.lrs = self.attachment.learning_rates[rows]
        self.moms = None if self.attachment.momenta is None else self.attachment.momenta[rows]
        self.attachment.remove()

    @property
    def losses_so_far(self) -> Any:
        """The losses of all updates up to now, in a fit that records them."""
        return self._trace.read(slice(0, self.attachment.position))

    def state(self) -> dict[str, Any]:
        """How far the schedule is, and every loss that was recorded, as plain values; what is recorded is written."""
        self._recount()
        if self._recorder is not None:
            self._recorder.flush()
        return {
            "settings": self._settings(),
            "position": self.attachment.position,
            "first": self._first,
            "batches": self._batches,
            # With the one under way: of an update that has only some of its micro-batches.
            "losses": self._trace.read(slice(0, self.attachment.position + 1)) if self._recorder else None,
        }

    def restore(self, state: Mapping[str, Any], source: str, allow: Collection[str] = ()) -> None:
        """Go on from a `state`, in a fit that has begun and counts as it did then; SettingError says what is not."""
        must = {name: value for name, value in self._settings().items() if name not in allow}
        checks.same(must, state["settings"], source)
        self._first, self._batches = state["first"], state["batches"]
        self.attachment.begin_at(state["position"])
        self._own_rate = self.attachment.own_learning_rate
        if self.write is not None:
            if state["losses"] is not None:
                self._trace.resume(state["losses"])
            self._recorder = StepRecorder(self.attachment, self._trace, self.write, self.every_seconds)

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a schedule to go on."""
        rates = self.attachment.learning_rates
        return {
            "schedule": self.schedule.name,
            "updates": len(rates),
            "lr_max": float(rates.max()),
            "phases": repr(self.schedule.phases),
        }

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
            self.attachment.begin_at(self._first + self._batches // self.micro_batches)

    @property
    def micro_batches(self) -> int:
        """Batches to an optimizer update."""
        return inner(self.model.optimizer).gradient_accumulation_steps or 1

    def _updates(self, epochs: int) -> int:
        """Optimizer updates in so many epochs."""
        batches = self.params.get("steps")
        if batches is None:
            raise checks.SettingError(
                "steps: got None and fit does not know how long its data is, expected the number of updates "
                "(epochs x steps per epoch), or steps_per_epoch in fit"
            )
        return epochs * batches // self.micro_batches

    def _refuse_a_second(self) -> None:
        """Refuse a fit that another schedule drives; what an earlier fit left on is no matter."""
        attachment = attached_to(self.model.optimizer)
        other = None if attachment is None else attachment.owner
        # Keras gives one and the same mapping to all callbacks of a fit.
        if other is not None and other is not self and other.params is self.params:
            other.close()
            raise checks.SettingError(
                f"callbacks: got the schedules {other.schedule.name} and {self.schedule.name} in one fit, "
                "expected one: only one can drive the learning rate"
            )

    def _tell_of_a_rival(self) -> None:
        """Warn once where something else has set the optimizer's learning rate."""
        rate = self.attachment.own_learning_rate
        if not self._told and rate != self._own_rate:
            warnings.warn(
                f"learning_rate: something else set it to {rate:.4g} during fit, but {self.schedule.name} drives it; "
                "what was set holds once the schedule is off",
                stacklevel=2,
            )
            self._told = True


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
