"""The learning-rate range test: a rising schedule, a stop rule, and a reading of the losses."""

from __future__ import annotations

import contextlib
import inspect
import math
import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.lr_finder.result import RangeTest, RangeTestSettings, analyse
from sconv.lr_finder.smoothing import stop_at
from sconv.training.attach import inner
from sconv.training.callbacks import ScheduleCallback
from sconv.training.inputs import callbacks_of, check_compiled, check_names, feed, make_weights
from sconv.training.recording import Diverged
from sconv.training.snapshot import Snapshot

# Under float16 an update that overflows is skipped, and the scale of the loss halved: so often it is no accident.
_SKIPPED_IN_A_ROW = 30
# A test has as many epochs as it needs, and evaluates nothing.
_NOT_OF_A_TEST = ("epochs", "initial_epoch", *(f"validation_{of}" for of in ("data", "split", "steps", "freq")))


class LRFinder(keras.callbacks.Callback):
    """Run the learning-rate range test in `model.fit(x, y, epochs=..., callbacks=[LRFinder()])`.

    The lr rises from `start_lr` to `end_lr` over `max_steps` updates, exponentially or (`anneal="linear"`) linearly;
    `momentum` is held at a number, None leaves the optimizer's own. It stops the fit at a loss that is not finite or
    whose average (`smoothing` of the old, the rest of the new, corrected for its start) exceeds `stop_factor` times
    the best, beyond the noise of the batches, else after `max_steps`: give `fit` epochs enough. Then weights,
    optimizer, metrics and random numbers are put back as they were, and `.result`, `.plot()` and `.suggest()` tell the
    outcome; `.losses` has that of each update so far. Source: Smith, "Cyclical learning rates" (arXiv 1506.01186),
    section 3.3.
    """

    __signature__ = inspect.signature(RangeTestSettings)  # for those who ask what it takes

    def __init__(self, *args: Any, **settings: Any):
        super().__init__()
        self.settings = RangeTestSettings(*args, **settings)
        self._driver = ScheduleCallback(self.settings.schedule, self.settings.max_steps, self._note, every_seconds=0)
        self.result: RangeTest | None = None
        self.losses: list[float] = []

    def suggest(self) -> float:
        """The lr of the chosen rule; SettingError before `fit`, and where the curve allows none."""
        return self._outcome().suggestion

    def plot(self) -> Any:
        """Draw the losses over lr with every suggestion; returns the matplotlib figure."""
        return self._outcome().plot()

    def set_params(self, params: Any) -> None:
        super().set_params(params)
        self._driver.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._driver.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        make_weights(self.model)
        self.snapshot = Snapshot(self.model)
        self.result = None
        self.losses = []
        self._skipped = 0
        self._driver.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._driver.on_epoch_begin(0)  # whatever the epoch, a test begins at its start

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        before, most = len(self.losses), self.settings.max_steps
        ended = True
        with contextlib.suppress(Diverged):
            self._driver.on_train_batch_end(batch, logs)
            self._skipped = self._skipped + 1 if len(self.losses) == before else 0
            ended = self._skipped > _SKIPPED_IN_A_ROW * self._driver.micro_batches
        if ended and len(self.losses) < most and np.isfinite(self.losses).all():
            self.losses.append(math.inf)  # of an update that was skipped, or not yet whole
        stop = stop_at(self.losses, self.settings.smoothing, self.settings.stop_factor, since=before)
        if len(self.losses) >= most or stop is not None:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._driver.on_epoch_end(epoch)  # without its logs: what an evaluation says is not asked

    def on_train_end(self, logs: Any = None) -> None:
        losses, stopped = self.losses, self.model.stop_training
        self.undo()
        if not losses:
            return  # epochs=0
        self.model.stop_training = False  # as `fit` found it
        rates = self._driver.attachment.learning_rates
        self.result = analyse(rates[: len(losses)], losses, self.settings, float(rates[-1]))
        if not stopped:
            expected = f"expected max_steps={self.settings.max_steps}; give it more epochs"
            warnings.warn(f"lr_find: got {len(losses)} updates, {expected}", stacklevel=2)

    def undo(self) -> None:
        """Put everything back; needed only where a `fit` was cut short by an exception or Ctrl-C."""
        self._driver.close()
        self.snapshot.put_back()

    def __getstate__(self) -> dict[str, Any]:
        """What was asked for and the outcome, for a copy; not the model, nor what it was before."""
        return {**{name: value for name, value in vars(self).items() if name != "snapshot"}, "_model": None}

    def _note(self, first: int, rates: np.ndarray, momenta: np.ndarray | None, losses: np.ndarray) -> None:
        self.losses += losses.tolist()

    def _outcome(self) -> RangeTest:
        if self.result is None:
            raise checks.SettingError("LRFinder: no range test yet, expected a call after fit")
        return self.result


def lr_find(model: keras.Model, x: Any, y: Any = None, **options: Any) -> RangeTest:
    """Find the learning rate to train a compiled model with, and leave the model as it was.

    `x` and `y` are data in any form that `fit` takes, `(x, y)` or `(x, y, sample_weight)` in one, or sconv's own
    `Dataset`; it repeats until the test has its `max_steps` optimizer updates. `options` are the settings of
    `LRFinder`, such as `max_steps=200`, and what else `fit` takes (`batch_size`, `class_weight`, `steps_per_epoch`).
    See `RangeTest` for the result. Weights, optimizer, metrics and random numbers are put back to the last bit, and the
    order of the data with them; a generator, or a `tf.data.Dataset` that reshuffles as it is iterated, has moved on and
    cannot be rewound. Raises SettingError for settings and data that allow no test; warns where the loss never
    diverged.
    """
    check_compiled(model)
    settings = [field.name for field in fields(RangeTestSettings)]
    check_names(options, settings, reserved=_NOT_OF_A_TEST)
    finder = LRFinder(**{name: options.pop(name) for name in settings if name in options})
    return find(finder, model, x, y, **options)


def find(finder: LRFinder, model: keras.Model, x: Any, y: Any = None, **fit: Any) -> RangeTest:
    """Carry out an `lr_find` by a finder that can be watched meanwhile; `fit` is what else `fit` takes."""
    own = callbacks_of(fit.pop("callbacks", None))
    arguments, followers = feed(x, y, **fit)
    if isinstance(x, tf.data.Dataset):
        arguments["x"] = x.repeat()  # Keras loses count where a dataset does not know its length
    with _as_before(model, finder, x):
        # Every epoch makes one update at least, every update takes that many batches.
        epochs = finder.settings.max_steps * (inner(model.optimizer).gradient_accumulation_steps or 1)
        model.fit(**{"verbose": 0, **arguments}, epochs=epochs, callbacks=[*followers, *own, finder])
    result = finder.result
    assert result is not None
    if result.note:
        warnings.warn(result.note, stacklevel=3)
    return result


@contextlib.contextmanager
def _as_before(model: keras.Model, finder: LRFinder, data: Any) -> Iterator[None]:
    """What `fit` writes on the model and where the data stands are put back, and an interrupted test is undone."""
    names = ("history", "stop_training")
    written = {name: vars(model)[name] for name in names if name in vars(model)}
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
        for name in names:
            vars(model).pop(name, None)
        vars(model).update(written)
