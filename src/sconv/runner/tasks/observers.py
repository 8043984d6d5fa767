"""Everything that looks on while a model is fitted."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from sconv import runs
from sconv.schedules import Schedule


class Watch:
    """Everything that looks on while a model is fitted, and what it has seen."""

    def __init__(self, run: runs.RunWriter, schedule: Schedule, steps: int, model: Any, stream: Any, monitored: str):
        import keras

        from sconv.runner.tasks.observers import Clock
        from sconv.runner.tasks.progress_bar import ProgressBar
        from sconv.training.attach import inner
        from sconv.training.callbacks import ScheduleCallback
        from sconv.training.inputs import follow_epochs

        self.run, self.steps, self.monitored = run, steps, monitored
        self.epochs = list[dict[str, float]]()
        self.driver, self.clock = ScheduleCallback(schedule, steps, run.steps), Clock()
        self.bar = ProgressBar(monitored=monitored)
        epochs = keras.callbacks.LambdaCallback(on_epoch_end=self._epoch_ended)
        # What is evaluated is what is saved: `fit` ends with the averaged weights.
        averaged = [keras.callbacks.SwapEMAWeights()] if inner(model.optimizer).use_ema else []
        self.callbacks = [follow_epochs(stream), epochs, self.driver, self.clock, self.bar, *averaged]

    def _epoch_ended(self, epoch: int, logs: dict[str, float]) -> None:
        self.epochs.append({"epoch": epoch + 1, **logs})
        self.run.epoch(epoch + 1, self.driver.attachment.position, self.clock.training, logs, self.monitored)

    def check_complete(self) -> None:
        """Raise CutShort unless all updates were made; under loss scaling some are skipped by design."""
        import keras

        from sconv.runner.tasks.observers import CutShort

        made = self.driver.attachment.position
        scales = isinstance(self.driver.model.optimizer, keras.optimizers.LossScaleOptimizer)
        if made != self.steps and not (scales and 0 < made < self.steps):
            raise CutShort(made, self.steps)

    def record_outcome(self) -> None:
        """Put what was reached into the summary."""
        self.bar.stop()
        done = self.driver.attachment.position if self.driver.attachment else 0
        clock = self.clock
        seconds = {"training": clock.training, "evaluation": clock.evaluation, "compile": clock.compiling}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        self.run.record(steps=done, seconds=rounded, **_outcome(self.epochs, self.monitored))
        self.run.hparams_end(succeeded=done == self.steps)


def _outcome(epochs: list[dict[str, float]], monitored: str) -> dict[str, Any]:
    if not epochs:
        return {"final": None, "best": None}
    final, best = epochs[-1], max(epochs, key=lambda row: row.get("val_accuracy", -math.inf))
    if monitored != "test":  # the test split is evaluated once, at the end
        return {"final": final, "best": best}
    return {"final": final, "best": best, "test": {name: final[f"val_{name}"] for name in ("loss", "accuracy")}}


class CutShort(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A fit that ended by itself before all updates that were planned."""

    status = "failed"

    def __init__(self, made: int, planned: int):
        super().__init__(f"training ended after {made} of {planned} updates")


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
