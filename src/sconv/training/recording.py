"""What a run writes down about its training: each update's own loss, the epochs, the seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sconv import checks
from sconv.training.attach import Attachment
from sconv.training.trace import Trace

WriteSteps = Callable[[int, np.ndarray, "np.ndarray | None", np.ndarray], None]


class Diverged(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A loss that is not finite, or `what` else: the update it was seen on (counted from 0), and what drove that."""

    status = "diverged"

    def __init__(self, step: int, learning_rate: float, momentum: float | None, what: str = "the loss is not finite"):
        self.step, self.learning_rate, self.momentum = step, learning_rate, momentum
        held = "" if momentum is None else f", momentum {momentum:.4g}"
        lower = "lr_max" if momentum is None else "lr_max, or the momentum"
        super().__init__(f"{what} at step {step} (learning rate {learning_rate:.4g}{held}); lower {lower}")


class StepRecorder:
    """Hands on every update's own loss, with the learning rate and momentum it was made with.

    `write(first, rates, momenta, losses)` gets consecutive rows, first is counted from 0. The losses are fetched
    every few seconds; learning rate and momentum are the table's. Raises `Diverged` within one execution of a loss
    that is not finite.
    """

    def __init__(self, attachment: Attachment, trace: Trace, write: WriteSteps | None, every_seconds: float):
        self._attachment, self._trace = attachment, trace
        self._write, self._every_seconds = write, every_seconds
        self._written, self._flushed = attachment.position, time.monotonic()

    def executed(self, logs: Mapping[str, Any]) -> None:
        """After each execution of steps, with what it told; SettingError where that is no loss."""
        if self._write is not None and not self._trace.told:
            raise checks.SettingError(
                f"train_step: got logs of {', '.join(logs) or 'nothing'}, expected a loss among them, or a step that "
                "calls compute_loss: without, there is nothing to record"
            )
        if not math.isfinite(logs.get("loss", 0.0)):
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
        if len(losses) and self._write is not None:
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
