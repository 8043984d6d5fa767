"""Everything that looks on while a model is fitted."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras

from sconv import runs
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.runner.plan import Plan
from sconv.runner.stops import Request
from sconv.runner.tasks.giving_up import GiveUp
from sconv.runner.tasks.progress_bar import ProgressBar
from sconv.training.attach import inner
from sconv.training.callbacks import ScheduleCallback
from sconv.training.checkpoint import Checkpoint
from sconv.training.final_statistics import FinalStatistics
from sconv.training.inputs import follow_epochs
from sconv.training.model_contract import chance
from sconv.training.replicas import STOP, agreed

# Seconds that an evaluation gets to end when a signal has come: Docker kills after 10.
_PATIENCE = 4.0


class CutShort(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A fit that ended by itself before all updates that were planned."""

    status = "failed"

    def __init__(self, made: int, planned: int):
        super().__init__(f"training ended after {made} of {planned} updates")


class TrainingObservers:
    """The callbacks of a run's fit, and what they have seen; `driver` puts the schedule on and records every update.

    `keeper` writes the checkpoints, if any; `request` is how a signal asks for one, and for the end.
    """

    def __init__(
        self,
        run: runs.RunWriter,
        planned: Plan,
        model: keras.Model,
        stream: TrainingStream,
        keeper: Checkpoint | None,
        request: Request,
        update_bn: Any,
        in_sweep: bool = False,
    ):
        self._run, self._steps, self._model, self._keeper = run, planned.steps, model, keeper
        self._monitored = runs.monitored(planned.dataset.validation)
        self._epochs = list[dict[str, float]]()
        self.driver = ScheduleCallback(planned.schedule, planned.steps, run.steps)
        self._timer = StepTimer()
        self._bar = ProgressBar(self.driver, lambda: self._timer.training, self._monitored, brief=in_sweep)
        epochs = keras.callbacks.LambdaCallback(on_epoch_end=self._epoch_ended)
        # What is evaluated is what is saved: `fit` ends with the averaged weights.
        averaged = [keras.callbacks.SwapEMAWeights()] if inner(model.optimizer).use_ema else []
        watching = [follow_epochs(stream), epochs, self.driver, self._timer, self._bar, *averaged]
        self._statistics = FinalStatistics(stream, update_bn)
        giving_up = GiveUp(self.driver, stream.whole, chance(planned.dataset, model))
        ending = [giving_up, StopOnRequest(request, keeper), self._statistics]
        # The keeper counts a batch before anybody asks it for a checkpoint of it.
        self.callbacks = [*([keeper] if keeper else []), *watching, *ending]
        if keeper is not None:
            keeper.parts.update(run=run, epochs=self, timer=self._timer)

    def state(self) -> dict[str, Any]:
        """The epochs so far, and what their checkpoints took."""
        return {"epochs": self._epochs, "writing": self._keeper.seconds if self._keeper else 0.0}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after these epochs."""
        self._epochs = list(state["epochs"])
        if self._keeper is not None:
            self._keeper.seconds = max(self._keeper.seconds, state["writing"])

    def _epoch_ended(self, epoch: int, logs: dict[str, float]) -> None:
        for name in ("learning_rate", "momentum"):
            logs.pop(name, None)  # which steps.csv has for every update
        self._epochs.append({"epoch": epoch + 1, **logs})
        self._run.epoch(epoch + 1, self._updates, self._timer.training, logs, self._monitored)

    @property
    def _updates(self) -> int:
        return self.driver.attachment.position if self.driver.attachment else 0

    def check_complete(self) -> None:
        """Raise CutShort unless all updates were made; scaling of the loss skips some, which the summary tells."""
        skipped = self._steps - self._updates
        if isinstance(self._model.optimizer, keras.optimizers.LossScaleOptimizer) and 0 < skipped < self._steps:
            self._run.record(skipped_updates=skipped)
        elif skipped:
            raise CutShort(self._updates, self._steps)

    def record_outcome(self) -> None:
        """Put what was reached into the summary."""
        self._bar.stop()
        timer = self._timer
        seconds = {"training": timer.training, "evaluation": timer.evaluation, "compile": timer.compiling}
        if self._keeper is not None:
            seconds["checkpoints"] = self._keeper.seconds
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        outcome = _outcome(self._epochs, self._monitored)
        self._run.record(steps=self._updates, seconds=rounded, batch_statistics=self._statistics.outcome, **outcome)
        self._run.hparams_end(succeeded=self._updates == self._steps)


class StopOnRequest(keras.callbacks.Callback):
    """Ends a fit that a signal asks to end, with a checkpoint of where it is; the last of the callbacks.

    An evaluation under way may end if it does so soon: cut short, the epoch goes on from its last checkpoint.
    """

    def __init__(self, request: Request, keeper: Checkpoint | None):
        super().__init__()
        self._request, self._keeper = request, keeper

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if agreed(self.model, STOP, self._request.is_due()):
            self._request.hear()
            if self._keeper is not None:
                self._keeper.save()
            self._request.obey()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._request.is_due(_PATIENCE):
            self._request.obey()


def _outcome(epochs: list[dict[str, float]], monitored: str) -> dict[str, Any]:
    if not epochs:
        return {"final": None, "best": None}
    final, best = epochs[-1], max(epochs, key=lambda row: row.get("val_accuracy", -math.inf))
    if monitored != "test":  # the test split is evaluated once, at the end
        return {"final": final, "best": best}
    return {"final": final, "best": best, "test": {name: final[f"val_{name}"] for name in ("loss", "accuracy")}}


class StepTimer(keras.callbacks.Callback):
    """Seconds spent in training steps, in evaluation, and in tracing and compiling the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.training = self.evaluation = self._first = self._compiled = 0.0
        self._executions = 0

    def state(self) -> dict[str, float]:
        """The seconds so far."""
        return {"training": self.training, "evaluation": self.evaluation, "compiling": self.compiling}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from these seconds."""
        self.training, self.evaluation, self._compiled = state["training"], state["evaluation"], state["compiling"]

    @property
    def compiling(self) -> float:
        """Of this process and of those before it."""
        return self._compiled + self._first

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        passed = time.perf_counter() - self._step_began
        self._executions += 1
        if self._executions == 1:
            self._first = passed
        elif self._executions == 2:
            # What the first execution took beyond the second went into tracing; the rest was training.
            self.training += passed + min(passed, self._first)
            self._first = max(0.0, self._first - passed)
        else:
            self.training += passed

    def on_test_begin(self, logs: Any = None) -> None:
        self._test_began = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:
        self.evaluation += time.perf_counter() - self._test_began
