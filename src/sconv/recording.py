"""What a run writes down about its training: each update's own loss, the epochs, the seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import keras_internals
from sconv.optimizers import Attachment

WriteSteps = Callable[[int, np.ndarray, "np.ndarray | None", np.ndarray], None]


class Diverged(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A loss that is not finite: the update it was seen on (counted from 0), and what drove that update."""

    status = "diverged"

    def __init__(self, step: int, learning_rate: float, momentum: float | None):
        self.step, self.learning_rate, self.momentum = step, learning_rate, momentum
        held = "" if momentum is None else f", momentum {momentum:.4g}"
        super().__init__(f"the loss is not finite at step {step} (learning rate {learning_rate:.4g}{held})")


class UpdateLosses:
    """Every optimizer update's own loss, written into a variable inside the compiled step.

    What Keras shows in a callback's logs is the mean since the epoch began. Under gradient accumulation a loss is the
    mean over the update's own micro-batches.
    """

    def __init__(self, attachment: Attachment):
        self._attachment = attachment
        with tf.init_scope():
            # One variable for good, of any length: a trace that is taken up again writes into the one it knows.
            self._losses = tf.Variable(np.zeros(1, np.float32), shape=(None,), trainable=False)

    def hook(self, model: keras.Model) -> None:
        """Have the model's next trace record, with room for the losses of the whole schedule."""
        # One slot more than updates, for all that comes after the last.
        self._losses.assign(tf.zeros(len(self._attachment.learning_rates) + 1))
        self._model, self._before = model, vars(model).get("compute_loss")
        self._own_compute_loss = model.compute_loss
        # Past __setattr__, like everything that must not be tracked and saved.
        vars(model)["compute_loss"] = self._compute_loss

    def unhook(self) -> None:
        """Give the model back its own way to compute the loss."""
        vars(self._model).pop("compute_loss", None)
        if self._before is not None:
            vars(self._model)["compute_loss"] = self._before

    def read(self, first: int, stop: int) -> np.ndarray:
        """The losses of the updates from number `first` up to `stop`."""
        return self._losses[first:stop].numpy()

    @tf.autograph.experimental.do_not_convert
    def _compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._own_compute_loss(*args, **kwargs)
        if kwargs.get("training") is False:
            return loss  # of an evaluation, which may come in the middle of an update's micro-batches
        attachment = self._attachment
        parts = attachment.optimizer.gradient_accumulation_steps or 1
        slot = tf.minimum(attachment.position_tensor(), tf.size(self._losses, out_type=tf.int64) - 1)
        share = tf.cast(loss, tf.float32) / parts
        if parts > 1:
            counter = tf.convert_to_tensor(keras_internals.batches_seen(attachment.optimizer))
            share += tf.where(counter % parts == 0, 0.0, tf.gather(self._losses, slot))
        self._losses.scatter_nd_update([[slot]], [share])
        return loss


class StepRecorder:
    """Hands on every update's own loss, with the learning rate and momentum it was made with.

    `write(first, rates, momenta, losses)` gets consecutive rows, first is counted from 0. The losses are fetched
    every few seconds; learning rate and momentum are the table's. Raises `Diverged` within one execution of a loss
    that is not finite.
    """

    def __init__(self, attachment: Attachment, losses: UpdateLosses, write: WriteSteps, every_seconds: float):
        self._attachment, self._losses = attachment, losses
        self._write, self._every_seconds = write, every_seconds
        self._written, self._flushed = attachment.position, time.monotonic()

    def executed(self, loss: float) -> None:
        """After each execution of steps, with the loss that Keras shows."""
        if not math.isfinite(loss):
            self._diverged()
        if time.monotonic() - self._flushed >= self._every_seconds:
            self.flush()

    def evaluated(self, loss: float) -> None:
        """After each epoch, with the loss of its evaluation."""
        self.flush()
        if not math.isfinite(loss):
            self._diverged()

    def flush(self) -> np.ndarray:
        """Write the rows that are new; returns their losses."""
        attachment = self._attachment
        rows = slice(self._written, min(attachment.position, len(attachment.learning_rates)))
        losses = self._losses.read(rows.start, rows.stop)
        momenta = None if attachment.momenta is None else attachment.momenta[rows]
        if len(losses):
            self._write(rows.start, attachment.learning_rates[rows], momenta, losses)
        self._written, self._flushed = rows.stop, time.monotonic()
        return losses

    def _diverged(self) -> None:
        first = self._written
        bad = np.flatnonzero(~np.isfinite(self.flush()))
        step = first + int(bad[0]) if len(bad) else self._written - 1
        momenta = self._attachment.momenta
        momentum = None if momenta is None else float(momenta[step])
        raise Diverged(step, float(self._attachment.learning_rates[step]), momentum)


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
