"""The learning-rate range test: a rising schedule, a stop rule, and a reading of the losses."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks, readings
from sconv.callbacks import ScheduleCallback
from sconv.datasets.streams import TrainingStream
from sconv.feeding import build, compiled, feed
from sconv.optimizers import detach, inner
from sconv.readings import RangeTest
from sconv.recording import UpdateLosses
from sconv.schedules import range_test
from sconv.smoothing import stop_at
from sconv.snapshots import Snapshot
from sconv.suggestions import MIN_POINTS

# Under float16 an update that overflows is skipped, and the scale of the loss halved: so often it is no accident.
_SKIPPED_IN_A_ROW = 30


class LRFinder(ScheduleCallback):
    """Run the learning-rate range test in `model.fit(x, y, epochs=..., callbacks=[LRFinder()])`.

    The lr rises from `start_lr` to `end_lr` over `max_steps` updates, exponentially or (`anneal="linear"`) linearly;
    `momentum` is held at a number, None leaves the optimizer's own. It stops the fit at a loss that is not finite or
    whose average (`smoothing` of the old, the rest of the new, corrected for its start) exceeds `stop_factor` times
    the best, else after `max_steps`: give `fit` epochs enough. Then weights, optimizer, metrics and random numbers are
    put back as they were, and `.result`, `.plot()` and `.suggest()` tell the outcome. Source: Smith, "Cyclical
    learning rates" (arXiv 1506.01186), section 3.3.
    """

    def __init__(
        self,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        max_steps: int = 1000,
        smoothing: float = 0.9,
        stop_factor: float = 4.0,
        suggestion: str = "smith",
        momentum: float | None = None,
        anneal: str = "exponential",
    ):
        self.max_steps = checks.integer("max_steps", max_steps, at_least=MIN_POINTS)
        super().__init__(range_test(start_lr, end_lr, momentum, anneal), self.max_steps)
        readings.settings(smoothing, stop_factor, suggestion)
        self.smoothing, self.stop_factor, self.suggestion = smoothing, stop_factor, suggestion
        self.result: RangeTest | None = None
        self._losses = UpdateLosses(self)

    def suggest(self) -> float:
        """The lr of the chosen rule; SettingError before `fit`, and where the curve allows none."""
        return self._outcome().suggestion

    def plot(self) -> Any:
        """Draw the losses over lr with every suggestion; returns the matplotlib figure."""
        return self._outcome().plot()

    def on_train_begin(self, logs: Any = None) -> None:
        if not self.model.built:
            raise checks.SettingError(
                f"model: got {self.model.name}, which has no weights yet, expected one that is built "
                "(keras.Input, model.build or a call on a batch): what is made later cannot be put back"
            )
        self.snapshot = Snapshot(self.model)
        self.result = None
        self._losses.hook(self.model)
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if not self._losses.is_open:
            self.attachment.begin_at(0)
            self._losses.open()
            self._position = self._skipped = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        position = self.attachment.position
        self._skipped = self._skipped + 1 if position == self._position else 0
        self._position = position
        if position >= self.max_steps or stop_at(self._read(), self.smoothing, self.stop_factor) is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if not self._losses.is_open:  # epochs=0
            return self.undo()
        losses, rates, stopped = self._read(), self.attachment.learning_rates, self.model.stop_training
        self._first = 0
        self._finish(min(self.attachment.position, self.max_steps))
        self.undo()
        self.model.stop_training = False  # as `fit` found it
        self.result = readings.analyse(
            rates[: len(losses)], losses, self.smoothing, self.stop_factor, self.suggestion, float(rates[-1])
        )
        if not stopped:
            warnings.warn(
                f"lr_find: got {len(losses)} updates, expected max_steps={self.max_steps}; give it more epochs",
                stacklevel=2,
            )

    def undo(self) -> None:
        """Put everything back; needed only where a `fit` was cut short by an exception or Ctrl-C."""
        self._losses.unhook()
        detach(self.model.optimizer)
        self.snapshot.put_back()

    @property
    def _stuck(self) -> bool:
        parts = self.attachment.optimizer.gradient_accumulation_steps or 1
        return self._skipped > _SKIPPED_IN_A_ROW * parts

    def _read(self) -> np.ndarray:
        """The losses so far, with that of a skipped update where it is what ended the test."""
        position = min(self.attachment.position, self.max_steps)
        losses = self._losses.read(0, position + 1)
        if self._stuck:
            losses[position:] = math.inf
        whole = position == self.max_steps or math.isfinite(losses[-1])
        return losses[:position] if whole else losses

    def _outcome(self) -> RangeTest:
        if self.result is None:
            raise checks.SettingError("LRFinder: no range test yet, expected a call after fit")
        return self.result


def lr_find(
    model: keras.Model,
    data: Any,
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    max_steps: int = 1000,
    smoothing: float = 0.9,
    stop_factor: float = 4.0,
    suggestion: str = "smith",
    momentum: float | None = None,
    anneal: str = "exponential",
    batch_size: int | None = None,
    **fit: Any,
) -> RangeTest:
    """Find the learning rate to train a compiled model with, and leave the model as it was.

    `data` is `(x, y)` or `(x, y, sample_weight)` arrays, a batched `tf.data.Dataset`, or sconv's own `Dataset`; it
    repeats until the test has its `max_steps` optimizer updates. `batch_size` (32) goes with arrays and sconv's own;
    what else `fit` takes (`class_weight`, `steps_per_epoch`) passes through. See `LRFinder` for the other settings and
    `RangeTest` for the result. Weights, optimizer, metrics and random numbers are put back to the last bit, and the
    order of the data with them; a `tf.data.Dataset` that reshuffles as it is iterated has moved on and cannot be
    rewound. Raises SettingError for settings and data that allow no test; warns where the loss never diverged.
    """
    finder = LRFinder(start_lr, end_lr, max_steps, smoothing, stop_factor, suggestion, momentum, anneal)
    compiled(model)
    arguments, callbacks = feed(data, batch_size)
    if isinstance(data, tf.data.Dataset):
        arguments["x"] = data.repeat()  # Keras loses count where a dataset does not know its length
    build(model, arguments)
    with _as_before(model, finder, data):
        # Every epoch makes one update at least, every update takes that many batches.
        epochs = max_steps * (inner(model.optimizer).gradient_accumulation_steps or 1)
        model.fit(**{**fit, **arguments}, epochs=epochs, verbose=0, callbacks=[*callbacks, finder])
    result = finder.result
    assert result is not None
    if result.note:
        warnings.warn(result.note, stacklevel=2)
    return result


@contextlib.contextmanager
def _as_before(model: keras.Model, finder: LRFinder, data: Any) -> Iterator[None]:
    """What `fit` writes on the model and where the data stands are put back, and an interrupted test is undone."""
    written = {name: model.__dict__.get(name) for name in ("history", "stop_training")}
    epoch = int(data.epoch) if isinstance(data, TrainingStream) else 0
    try:
        yield
    except BaseException:
        if hasattr(finder, "snapshot"):
            finder.undo()
        raise
    finally:
        if isinstance(data, TrainingStream):
            data.epoch.assign(epoch)
        for name, value in written.items():
            if value is None:
                model.__dict__.pop(name, None)
            else:
                model.__dict__[name] = value
