"""What a run writes down about its training: each update's own loss, the epochs, the seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv.callbacks import ScheduleCallback

WriteSteps = Callable[[int, np.ndarray, "np.ndarray | None", np.ndarray], None]


class Diverged(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A loss that is not finite: the update it was seen on (counted from 0), and what drove that update."""

    status = "diverged"

    def __init__(self, step: int, learning_rate: float, momentum: float | None):
        self.step, self.learning_rate, self.momentum = step, learning_rate, momentum
        held = "" if momentum is None else f", momentum {momentum:.4g}"
        super().__init__(f"the loss is not finite at step {step} (learning rate {learning_rate:.4g}{held})")


class CutShort(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A fit that ended by itself before all updates that were planned."""

    status = "failed"

    def __init__(self, made: int, planned: int):
        super().__init__(f"training ended after {made} of {planned} updates")


class UpdateLosses:
    """Every optimizer update's own loss, written into a variable inside the compiled step.

    What Keras shows in a callback's logs is the mean since the epoch began. Under gradient accumulation a loss is the
    mean over the update's own micro-batches. `hook` before `schedule` goes on, `open` once it is on.
    """

    def __init__(self, schedule: ScheduleCallback):
        self.schedule = schedule
        self.is_open = False
        with tf.init_scope():
            # One variable for good, of any length: a trace that is taken up again writes into the one it knows.
            self._losses = tf.Variable(np.zeros(1, np.float32), shape=(None,), trainable=False)

    def hook(self, model: keras.Model) -> None:
        """Have the model's next trace record."""
        self._model, self.is_open = model, False
        self._before = model.__dict__.get("compute_loss")
        self._own_compute_loss = model.compute_loss
        # Past __setattr__, like everything that must not be tracked and saved.
        model.__dict__["compute_loss"] = self._compute_loss

    def open(self) -> None:
        """Make room for the losses of the whole schedule."""
        # One slot more than updates: evaluation after the last one computes a loss too.
        self._losses.assign(tf.zeros(len(self.schedule.attachment.learning_rates) + 1))
        self.is_open = True

    def unhook(self) -> None:
        """Give the model back its own way to compute the loss."""
        self._model.__dict__.pop("compute_loss", None)
        if self._before is not None:
            self._model.__dict__["compute_loss"] = self._before

    def read(self, first: int, stop: int) -> np.ndarray:
        """The losses of the updates from number `first` up to `stop`."""
        return self._losses[first:stop].numpy()

    @tf.autograph.experimental.do_not_convert
    def _compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._own_compute_loss(*args, **kwargs)
        if kwargs.get("training") is False:
            return loss  # of an evaluation, which may come in the middle of an update's micro-batches
        attachment = self.schedule.attachment
        parts = attachment.optimizer.gradient_accumulation_steps or 1
        slot = tf.minimum(attachment.position_tensor(), tf.size(self._losses, out_type=tf.int64) - 1)
        share = tf.cast(loss, tf.float32) / parts
        if parts > 1:
            counter = tf.convert_to_tensor(attachment.optimizer._iterations)
            share += tf.where(counter % parts == 0, 0.0, tf.gather(self._losses, slot))
        self._losses.scatter_nd_update([[slot]], [share])
        return loss


class StepRecorder(keras.callbacks.Callback):
    """Hand on every update's own loss, with the learning rate and momentum it was made with.

    `write(first, rates, momenta, losses)` gets consecutive rows, first is counted from 0. The losses are fetched
    every few seconds; learning rate and momentum are the table's. Stands before `schedule` in the list of callbacks.
    Raises `Diverged` within one execution of a loss that is not finite.
    """

    def __init__(self, schedule: ScheduleCallback, write: WriteSteps, every_seconds: float = 5.0):
        super().__init__()
        self.schedule, self.write, self.every_seconds = schedule, write, every_seconds
        self._losses = UpdateLosses(schedule)

    def on_train_begin(self, logs: Any = None) -> None:
        self._losses.hook(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._losses.is_open:
            self._losses.open()
            self._written = self.schedule.attachment.position
            self._flushed = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self._diverged()
        if time.monotonic() - self._flushed > self.every_seconds:
            self.flush()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.flush()
        if not math.isfinite((logs or {}).get("val_loss", 0.0)):
            self._diverged()

    def on_train_end(self, logs: Any = None) -> None:
        self._losses.unhook()

    def flush(self) -> np.ndarray:
        """Write the rows that are new; returns their losses."""
        if not self._losses.is_open:
            return np.empty(0)
        attachment = self.schedule.attachment
        rows = slice(self._written, min(attachment.position, len(attachment.learning_rates)))
        losses = self._losses.read(rows.start, rows.stop)
        momenta = None if attachment.momenta is None else attachment.momenta[rows]
        self.write(rows.start, attachment.learning_rates[rows], momenta, losses)
        self._written, self._flushed = rows.stop, time.monotonic()
        return losses

    def losses(self) -> np.ndarray:
        """Every update's own loss so far."""
        return self._losses.read(
            0, min(self.schedule.attachment.position, len(self.schedule.attachment.learning_rates))
        )

    def _diverged(self) -> None:
        first = self._written
        bad = np.flatnonzero(~np.isfinite(self.flush()))
        attachment = self.schedule.attachment
        step = first + int(bad[0]) if len(bad) else self._written - 1
        momentum = None if attachment.momenta is None else float(attachment.momenta[step])
        raise Diverged(step, float(attachment.learning_rates[step]), momentum)


class Clock(keras.callbacks.Callback):
    """Seconds spent in training steps, in evaluation, and in tracing and compiling the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.training = self.evaluation = self.compiling = 0.0
        self._executions = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        passed = time.perf_counter() - self._step_began
        self._executions += 1
        if self._executions == 1:
            self.compiling = passed
        elif self._executions == 2:
            # What the first execution took beyond the second went into tracing; the rest was training.
            self.training += passed + min(passed, self.compiling)
            self.compiling = max(0.0, self.compiling - passed)
        else:
            self.training += passed

    def on_test_begin(self, logs: Any = None) -> None:
        self._test_began = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:
        self.evaluation += time.perf_counter() - self._test_began
