"""A fit that goes on where it was killed, to the same last bit."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from sconv import checks
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.training import checkpoint_file, fit_state, keras_building, keras_data, keras_internals, replicas, snapshot
from sconv.training.checkpoint_file import Position
from sconv.training.intervals import intervals


class Part(Protocol):
    """What else goes into a checkpoint: a state of plain values and arrays, asked for and put back."""

    def state(self) -> Mapping[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Checkpoint(keras.callbacks.Callback):
    """Write all that a `fit` changes into `directory`, and go on from there when the same fit is started again.

    `every` is one interval or several, in epochs, steps (batches) or time: "1epoch", "20steps", "30s", "5min", "2h".
    Written is between two executions, never in a step; the last `keep` stay, and the end of the best epoch (lowest
    `val_loss`, else `loss`). A fit that finds a checkpoint goes on at its batch with the same numbers as one that was
    never interrupted: weights, optimizer, metrics, schedule, losses, random numbers, History. One that finds a finished
    fit trains nothing. Raises SettingError where the fit is another one, in its epochs, schedule, model or `settings`.

    Data goes on in mid-epoch where it can be had again: NumPy arrays (shuffled: after `keras.utils.set_random_seed`)
    and the `stream` that is given; other data is said to, and goes on at the last epoch. `parts` are kept with the
    rest; what other callbacks remember is not. Interrupted and not killed, `save()` keeps the last batch. `allow` names
    what may be another than it was, and is then as it is now: "epochs", also of a finished fit, or "lr_max".
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        every: str | Sequence[str] = ("1epoch", "5min"),
        keep: int = 2,
        *,
        stream: TrainingStream | None = None,
        settings: Mapping[str, Any] | None = None,
        parts: Mapping[str, Part] | None = None,
        allow: Collection[str] = (),
    ):
        super().__init__()
        self.directory, self.every = Path(directory), intervals("every", every)
        self.keep = checks.integer("keep", keep, at_least=1)
        self.stream, self.settings, self.parts = stream, dict(settings or {}), dict(parts or {})
        self.allow = frozenset(checks.choice("allow", each, fit_state.ALLOWED) for each in allow)
        self.seconds = 0.0  # that writing took
        self._found: tuple[Path, dict[str, Any]] | None = None

    def find(self) -> tuple[Path, dict[str, Any]] | None:
        """The checkpoint that the next fit goes on from; None where it begins anew."""
        if self._found is None:
            self._found = checkpoint_file.newest(self.directory, fit_state.check)
        return self._found

    def on_train_begin(self, logs: Any = None) -> None:
        self._iterator = keras_internals.epoch_iterator()
        if self._iterator is None:
            raise checks.SettingError("Checkpoint: got a training loop of its own, expected Keras's `fit`")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._settings = json.loads(json.dumps({**self.settings, **fit_state.settings(self.model, self.params)}))
        self._position = Position(0, 0)
        self._best: dict[str, Any] = {"score": math.inf, "file": None}
        self._since, self._saved_at = 0, time.monotonic()
        self._ended: Any = None
        self._trained: list[Any] = []
        self._resumed, self._found, self._finished = self.find(), None, False
        self._rewinds = self.stream is not None or keras_data.repeats_itself(self._iterator)
        if not self._rewinds:
            warnings.warn(_NO_REWIND, stacklevel=2)
        if self._resumed is not None:
            with checkpoint_file.understood(self._resumed[0]):
                self._prepare(*self._resumed)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        keras_internals.begin_fit_at(self.model, None)
        batch, data = (0 if self._resumed is None else self._position.batch), None
        self._position = Position(epoch, batch)
        if batch and self.stream is not None and keras_data.dataset_of(self._iterator) is self.stream.batches:
            data = self.stream.rest(batch)
        keras_internals.watch_epoch(self.model, self._iterator, batch, self._begin_epoch, self._between, data)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        done = min(batch + 1, self.params.get("steps") or batch + 1)
        self._since += done - self._position.batch
        self._position, self._loss = Position(self._position.epoch, done), (logs or {}).get("loss", 0.0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = float((logs or {}).get("val_loss", (logs or {}).get("loss", 0.0)))
        # What the schedule knows now: at the end of training it may be off before we are asked.
        self._ended = (
            {"score": score, "schedule": fit_state.schedule_state(self.model)} if math.isfinite(score) else None
        )
        self._position = Position(epoch + 1, 0)
        if epoch + 1 == self.params["epochs"]:
            self._trained = fit_state.values(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        keras_internals.begin_fit_at(self.model, None)
        if self._finished:
            self._put_back()
        elif self._ended is not None:
            self._finished = True
            self._end_of_epoch()
        self._resumed = None

    def save(self) -> None:
        """Write a checkpoint now: between two executions, in `on_train_batch_end` of a callback that comes after."""
        self._write(fit_state.schedule_state(self.model))

    def _begin_epoch(self) -> None:
        """After all callbacks have begun the epoch, and before any sees its first step."""
        if self._resumed is not None:
            self._put_back()
        elif self._ended is not None and self._due(self._position.epoch):
            self._end_of_epoch()

    def _between(self) -> None:
        """After all callbacks have seen an execution, and before any sees the next."""
        in_mid_epoch = self._rewinds and self._position.batch != self.params.get("steps")
        if in_mid_epoch and self._due() and math.isfinite(self._loss):
            self.save()

    def _end_of_epoch(self) -> None:
        """Write one that all callbacks of the epoch have gone before, and that may be the best."""
        if self._ended["score"] < self._best["score"]:
            self._best = {"score": self._ended["score"], "file": self._position.file_name}
        self._write(self._ended["schedule"])

    def _write(self, schedule: Any) -> None:
        began = time.perf_counter()
        state = {
            "finished": self._finished,
            "position": self._position,
            "settings": self._settings,
            "best": self._best,
            "parts": {name: part.state() for name, part in self.parts.items()},
            **fit_state.take(self.model, schedule, self._trained),
        }
        checkpoint_file.save(self.directory / self._position.file_name, state)
        checkpoint_file.prune(self.directory, self._position, self.keep, self._best["file"])
        self._since, self._saved_at = 0, time.monotonic()
        replicas.agreed(self.model, replicas.CHECKPOINT, False)
        self.seconds += time.perf_counter() - began

    def _due(self, epochs: int | None = None) -> bool:
        seconds = time.monotonic() - self._saved_at
        by_clock = any(interval.is_over(None, 0, seconds) for interval in self.every)
        agreed = replicas.agreed(self.model, replicas.CHECKPOINT, by_clock)  # asked where false too
        return agreed or any(interval.is_over(epochs, self._since, 0.0) for interval in self.every)

    def _prepare(self, path: Path, state: dict[str, Any]) -> None:
        """Have the fit begin where the checkpoint was written, or refuse."""
        must = {name: value for name, value in self._settings.items() if name not in self.allow}
        checks.same(must, state["settings"], f"{path}; another directory begins anew")
        keras_building.build_all(self.model, keras_data.dataset_of(self._iterator).element_spec)
        snapshot.check_variables(self.model, state["variables"])
        self._position, self._best = Position(*state["position"]), state["best"]
        self._finished = state["finished"] and self._position.epoch >= self.params["epochs"]
        if self._finished:
            self._put_back()
            self._say(f"this fit is finished: nothing to do ({path})")
            keras_internals.begin_fit_at(self.model, self.params["epochs"])
        else:
            self._say(f"going on at epoch {self._position.epoch + 1}, batch {self._position.batch + 1} ({path})")
            keras_internals.begin_fit_at(self.model, self._position.epoch)

    def _put_back(self) -> None:
        """Restore everything; before the first step, after all other callbacks have begun."""
        assert self._resumed is not None
        path, _ = self._resumed
        with checkpoint_file.understood(path):
            self._restore(*self._resumed)
        if not self._finished:
            self._resumed = None

    def _restore(self, path: Path, state: dict[str, Any]) -> None:
        source = f"{path}; another directory begins anew"
        fit_state.put_back(self.model, state, source, self._finished, self.allow)
        if not self._finished and self._position.batch == 0:
            self.model.reset_metrics()  # that of a fit's end holds those of its last evaluation
        for name, part in self.parts.items():
            part.restore(state["parts"][name])

    def _say(self, what: str) -> None:
        if self.params.get("verbose"):
            print(f"checkpoint: {what}")


_NO_REWIND = (
    "Checkpoint: this data cannot be begun in mid-epoch, so checkpoints are written at the end of an epoch alone, and "
    "the order of what follows may be another; arrays can after keras.utils.set_random_seed(...), and sconv's own data"
)


def restore(model: keras.Model, path: str | os.PathLike[str]) -> Position:
    """Put the model, its optimizer, metrics and all random numbers into the state of a checkpoint.

    For a training loop of your own; the model must have made a step or be built with its metrics. Returns how far the
    training was. Raises DataError for a damaged file, SettingError for one of another model.
    """
    state = checkpoint_file.load(Path(path), fit_state.check)
    with checkpoint_file.understood(Path(path)):
        snapshot.restore(model, state["variables"])
    return Position(*state["position"])
