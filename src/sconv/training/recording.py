"""What a run writes down about its training: each update's own loss, the epochs, the seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv.training import keras_internals
from sconv.training.acceleration import fused_layers
from sconv.training.attach import Attachment

WriteSteps = Callable[[int, np.ndarray, "np.ndarray | None", np.ndarray], None]


class Diverged(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A loss that is not finite, or `what` else: the update it was seen on (counted from 0), and what drove that."""

    status = "diverged"

    def __init__(self, step: int, learning_rate: float, momentum: float | None, what: str = "the loss is not finite"):
        self.step, self.learning_rate, self.momentum = step, learning_rate, momentum
        held = "" if momentum is None else f", momentum {momentum:.4g}"
        lower = "lr_max" if momentum is None else "lr_max, or the momentum"
        super().__init__(f"{what} at step {step} (learning rate {learning_rate:.4g}{held}); lower {lower}")


class Trace:
    """A train function for fits with a schedule, which stands in for the model's plain one while they run.

    What is traced with a schedule would train a plain fit wrongly, and the other way round. One that records writes
    every update's own loss into a variable: Keras's logs have the mean since the epoch began. Under gradient
    accumulation a loss is the mean over the update's own micro-batches.
    """

    def __init__(self, model: keras.Model, attachment: Attachment, recording: bool):
        self._model, self._attachment, self._records = model, attachment, recording
        self._plain, model.train_function = model.train_function, None
        self._fused = fused_layers(model)
        model.make_train_function()
        self._own = model.train_function
        with tf.init_scope():
            # Of any length, so that a later fit of another length finds it still valid.
            self._losses = tf.Variable(np.zeros(1, np.float32), shape=(None,), trainable=False)

    def serves(self, model: keras.Model, recording: bool) -> bool:
        """Whether it is of the model as it is compiled and computed now, and records where that is asked."""
        as_compiled = self._plain is model.train_function
        # Of a part of the model, or of layers it shares, `accelerate` leaves the model's own functions as they are.
        as_computed = self._fused == fused_layers(model)
        return as_compiled and as_computed and (self._records or not recording)

    def put_on(self) -> None:
        """Have the model train in it, and where it records, with room for the losses of the whole schedule."""
        model = self._model
        model.train_function = self._own
        if self._records:
            # One slot more than updates, for all that comes after the last.
            self._losses.assign(tf.zeros(len(self._attachment.learning_rates) + 1))
            self._own_compute_loss = model.compute_loss
            self._before = {name: own for name, own in vars(model).items() if name == "compute_loss"}
            # Past __setattr__, like everything that must not be tracked and saved.
            vars(model)["compute_loss"] = self._compute_loss

    def give_back(self) -> None:
        """Leave the model as it was; one that was compiled anew since has another plain function by itself."""
        if self._model.train_function is self._own:
            self._model.train_function = self._plain
        if vars(self._model).get("compute_loss") == self._compute_loss:
            vars(self._model).pop("compute_loss")
            vars(self._model).update(self._before)

    def read(self, rows: slice) -> np.ndarray:
        """The losses of these updates."""
        return self._losses[rows].numpy()

    def resume(self, losses: np.ndarray) -> None:
        """Go on after these losses, as `read` gave them from the first on."""
        room = len(self._attachment.learning_rates) + 1 - len(losses)
        self._losses.assign(np.concatenate([losses, np.zeros(max(room, 0), np.float32)]))

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


def take_up(model: keras.Model, attachment: Attachment, recording: bool) -> Trace:
    """Have the model train in the trace of an earlier fit with a schedule, or in a new one where none serves.

    All share one, whatever their schedule and length; one that records serves those that record nothing.
    """
    if attachment.trace is None or not attachment.trace.serves(model, recording):
        attachment.trace = Trace(model, attachment, recording)
    attachment.trace.put_on()
    return attachment.trace


class StepRecorder:
    """Hands on every update's own loss, with the learning rate and momentum it was made with.

    `write(first, rates, momenta, losses)` gets consecutive rows, first is counted from 0. The losses are fetched
    every few seconds; learning rate and momentum are the table's. Raises `Diverged` within one execution of a loss
    that is not finite.
    """

    def __init__(self, attachment: Attachment, trace: Trace, write: WriteSteps, every_seconds: float):
        self._attachment, self._trace = attachment, trace
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
        losses = self._trace.read(rows)
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
