"""Keras callbacks: thin adapters that put a schedule on the optimizer and watch what training does."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from sconv import checks, plots
from sconv.schedules import Schedule
from sconv.training import keras_internals
from sconv.training.attach import attach, attached_to, inner, updates
from sconv.training.inputs import check_compiled
from sconv.training.recording import StepRecorder, WriteSteps
from sconv.training.trace import take_up

# Of all updates, that loss scaling may skip and nobody need know: it begins too high and finds its way in a few.
_SKIPPED = 0.03


class ScheduleCallback(keras.callbacks.Callback):
    """Train under any `Schedule`: attached before the first step of a `fit`, taken off after the last.

    `steps` is the number of optimizer updates of the whole run (a float is accepted where it is whole); None takes
    epochs x steps from `fit`. `initial_epoch` begins that far into the schedule. After `fit`, `.lrs` and `.moms` hold
    the values of the updates made; `learning_rate` and `momentum` of the last update of each epoch are in its logs, so
    in History and wherever else logs go. `write(first, rates, momenta, losses)` gets every update's own loss,
    consecutive rows with first counted from 0, at least `every_seconds` and an epoch; `.losses` keeps them, and `fit`
    ends with `Diverged` at one that is not finite, with SettingError where a training step of the model's own tells no
    loss. `record=True` does so without a `write`, for what is told. Keras calls no `on_train_end` after an exception or
    Ctrl-C: the schedule then stays on until the next `fit` with a schedule, `close()`, or
    `sconv.detach(model.optimizer)`.
    """

    def __init__(
        self,
        schedule: Schedule,
        steps: float | None = None,
        write: WriteSteps | None = None,
        every_seconds: float = 5.0,
        record: bool = False,
    ):
        super().__init__()
        if not isinstance(schedule, Schedule):
            got = checks.shown(schedule)
            raise checks.SettingTypeError(f"schedule: got {got}, expected a sconv.schedules.Schedule")
        self.schedule, self.write, self.every_seconds = schedule, write, every_seconds
        self.record = record or write is not None
        self.steps = None if steps is None else checks.integer("steps", steps, at_least=1)
        if self.steps is not None:
            schedule.sample(self.steps)
        self.attachment: Any = None  # an Attachment from the first fit on
        self.lrs: np.ndarray = np.empty(0)
        self.moms: np.ndarray | None = None
        self.losses: np.ndarray = np.empty(0)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(check_compiled(model))  # before a fit of Keras 2 calls what we have not

    def on_train_begin(self, logs: Any = None) -> None:
        self._refuse_a_second()
        steps = self.steps or self._updates(self.params["epochs"])
        self.attachment = attach(self.model.optimizer, self.schedule, steps)
        self.attachment.owner = self
        self._trace = take_up(self.model, self.attachment, recording=self.record)
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
        if self.record:
            self._recorder = StepRecorder(self.attachment, self._trace, self.write, self.every_seconds)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._trace.before_a_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._recorder is not None:
            self._recorder.executed(logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tell_of_a_rival()
        if self._recorder is not None:
            self._recorder.evaluated((logs or {}).get("val_loss", 0.0))

    def on_train_end(self, logs: Any = None) -> None:
        self._recount()
        self._tell_of_a_rival()
        planned, done = len(self.attachment.learning_rates), self.attachment.position
        self.close()
        told = self._of_another_length(planned, done) if done != planned else None
        if told is not None:
            rest = "the final values held for the rest" if done > planned else "the schedule did not reach its end"
            warnings.warn(f"{self.schedule.name}: {told}: {rest}", stacklevel=2)

    def close(self) -> None:
        """Keep and write the values of the updates made, and take the schedule off; of use where a fit is cut short."""
        if self.attachment is None or self.attachment.owner is not self:
            return
        if self._recorder is not None:
            self._recorder.flush()
            self.losses = self._trace.read(slice(self._first, self.attachment.position))
        rows = np.arange(self._first, self.attachment.position).clip(max=len(self.attachment.learning_rates) - 1)
        self.lrs = self.attachment.learning_rates[rows]
        self.moms = None if self.attachment.momenta is None else self.attachment.momenta[rows]
        self.attachment.remove()

    def __getstate__(self) -> dict[str, Any]:
        """What was asked for and what was seen, for a copy; not the model, nor what is on it."""
        return {**vars(self), "attachment": None, "_trace": None, "_recorder": None, "_model": None}

    def at_end_of_epoch(self) -> dict[str, float]:
        """What the last update was made with, for the epoch's logs."""
        self._recount()
        rates, momenta = self.attachment.learning_rates, self.attachment.momenta
        row = min(max(self.attachment.position, 1), len(rates)) - 1
        momentum = {} if momenta is None else {"momentum": float(momenta[row])}
        return {"learning_rate": float(rates[row]), **momentum}

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
        if self.record:
            if state["losses"] is not None:
                self._trace.resume(state["losses"])
            self._recorder = StepRecorder(self.attachment, self._trace, self.write, self.every_seconds)

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a schedule to go on."""
        rates, of = self.attachment.learning_rates, self.schedule
        return {"schedule": of.name, "updates": len(rates), "lr_max": float(rates.max()), "phases": repr(of.phases)}

    def plot(self) -> Any:
        """Draw the learning rate and momentum of the updates made; returns the matplotlib figure."""
        if not len(self.lrs):
            raise checks.SettingError("plot: nothing to draw yet, expected a call after fit")
        return plots.schedule(self.lrs, self.moms, title=self.schedule.name)

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
        return updates(self.model.optimizer, epochs, self.params.get("steps"))

    def _of_another_length(self, planned: int, done: int) -> str | None:
        """Why `fit` made another number of updates than was planned; None where nobody need know."""
        if self.model.stop_training and done < planned:
            by = keras_internals.of_loop("callbacks").callbacks
            names = " and ".join(type(callback).__name__ for callback in by if getattr(callback, "stopped_epoch", 0))
            return f"{names or 'stop_training'} ended the fit after {done} of {planned} updates"
        scaled = isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer) and self.params.get("steps")
        if scaled and done < planned == self._updates(self.params["epochs"]):
            skipped = f"loss scaling skipped {planned - done} of {planned} updates, whose float16 gradients overflowed"
            return skipped if planned - done > _SKIPPED * planned else None
        return f"planned for steps={planned}, but fit made {done} updates"

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
