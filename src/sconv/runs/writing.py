"""Writing a run directory."""

from __future__ import annotations

import contextlib
import csv
import os
import platform
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sconv import checks
from sconv.runs import cutting, dashboard
from sconv.runs.files import read_facts, short, write_facts
from sconv.runs.reading import EPOCH_COLUMNS, STEP_COLUMNS

# Of a summary what says how a run ended, and is no longer so when it goes on.
_OF_AN_END = frozenset({"error", "diverged"})


def now() -> str:
    """The time as summaries have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


class RunWriter:
    """Writes one run directory, which `claim` has found free, while the run goes on; a context manager.

    One that is `resumed` has its summary taken up; `restore` cuts its files back to what `state` told a checkpoint.
    An exception that leaves the context becomes the summary's status: failed, interrupted (Ctrl-C), or the
    exception's own `status`.
    """

    def __init__(self, directory: Path, resumed: bool = False):
        self.directory, self.resumed = directory, resumed
        self.summary: dict[str, Any] = {}
        self._events: Any = None
        self._began, self._before = time.perf_counter(), 0.0

    def __enter__(self) -> RunWriter:
        self.directory.mkdir(parents=True, exist_ok=True)
        process = {"host": platform.node(), "pid": os.getpid()}
        if self.resumed:
            before = read_facts(self.directory, "summary.json") or {}
            self.summary = {name: value for name, value in before.items() if name not in _OF_AN_END}
            self.record(status="running", process=process)
            return self
        self.record(status="running", started=now(), process=process)
        for name, columns in (("steps.csv", STEP_COLUMNS), ("epochs.csv", EPOCH_COLUMNS)):
            with open(self.directory / name, "w", newline="") as file:
                csv.writer(file).writerow(columns)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self._close()
            self.record(status="finished")
            return
        status = "interrupted"
        if not isinstance(error, KeyboardInterrupt):
            told = checks.user_error(error) or error
            status = getattr(error, "status", "failed")
            self.summary["error"] = f"{type(told).__name__}: {told}".splitlines()[0]
        # On a full disk these fail too; what is told is the first error.
        with contextlib.suppress(Exception):
            self._close()
        with contextlib.suppress(OSError):
            self.record(status=status)

    @property
    def seconds(self) -> float:
        """How long the run has taken, in all processes that carried it out."""
        return self._before + time.perf_counter() - self._began

    def state(self) -> dict[str, Any]:
        """How much of each file is written, and how long it took; all of it is on the disk."""
        self.flush()
        return {"lengths": cutting.lengths(self.directory), "seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after what was written when `state` was told: what came later is taken off."""
        self._close()
        cutting.cut(self.directory, state["lengths"])
        if self.resumed and not self._before:  # else this very process took them
            self._before = state["seconds"]

    def record(self, **fields: Any) -> None:
        """Add to summary.json; it is replaced in one move, never half-written."""
        self.summary.update(fields)
        self.facts("summary.json", self.summary)

    def steps(self, first: int, rates: np.ndarray, momenta: np.ndarray | None, losses: np.ndarray) -> None:
        """Add the updates from number `first` on: learning rate, momentum (None: left alone) and loss of each."""
        momentum_cells = [""] * len(rates) if momenta is None else [short(value) for value in momenta]
        with open(self.directory / "steps.csv", "a", newline="") as file:
            rows = zip(rates, momentum_cells, losses, strict=True)
            csv.writer(file).writerows(
                (first + number, short(rate), momentum, short(loss))
                for number, (rate, momentum, loss) in enumerate(rows)
            )
        tags = {"learning_rate": rates, "momentum": momenta, "loss": losses}
        series = {tag: values for tag, values in tags.items() if values is not None}
        now = time.time()
        for number in range(len(rates)):
            self._scalars(first + number, {tag: values[number] for tag, values in series.items()}, now)

    def epoch(
        self, epoch: int, step: int, seconds: float, metrics: Mapping[str, float], monitored: str = "test"
    ) -> None:
        """Add one finished epoch (counted from 1) that ended after `step` updates; val_ metrics are of `monitored`."""
        values = {"epoch": epoch, "step": step, "seconds": round(seconds, 3), **metrics}
        with open(self.directory / "epochs.csv", "a", newline="") as file:
            csv.writer(file).writerow([short(values.get(column, "")) for column in EPOCH_COLUMNS])
        splits = {metric: monitored if metric.startswith("val_") else "train" for metric in metrics}
        tagged = {f"epoch_{name.removeprefix('val_')}/{splits[name]}": value for name, value in metrics.items()}
        self._scalars(epoch, tagged, time.time())
        self.flush()

    def test(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the numbers on a test split that was not monitored, evaluated after so many epochs."""
        self.record(test=metrics)
        self._scalars(epoch, {f"epoch_{name}/test": value for name, value in metrics.items()}, time.time())

    def table(self, name: str, columns: Mapping[str, Iterable[Any]]) -> None:
        """Write columns of equal length as a CSV file."""
        with open(self.directory / name, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([short(cell) for cell in row] for row in zip(*columns.values(), strict=True))

    def facts(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a mapping as a JSON file, in one move."""
        write_facts(self.directory / name, values)

    def picture(self, name: str, png: bytes) -> None:
        """Write a PNG image as `name`.png and show it in TensorBoard under that name."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        (self.directory / f"{name}.png").write_bytes(png)
        width, height = struct.unpack(">II", png[16:24])  # of the PNG's first chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer().add_event(Event(wall_time=time.time(), step=0, summary=summary))

    def hparams(self, knobs: Mapping[str, Any], monitored: str = "test") -> None:
        """Enter the run into TensorBoard's HParams tab, with what it reaches on the test and the monitored split."""
        for summary in dashboard.beginning(knobs, monitored):
            self._summary_event(summary)

    def hparams_end(self, succeeded: bool) -> None:
        """Tell the HParams tab how the run ended."""
        self._summary_event(dashboard.ending(succeeded))

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def flush(self) -> None:
        """Let a TensorBoard that is watching see what was written so far."""
        if self._events is not None:
            self._events.flush()

    def _scalars(self, step: int, values: Mapping[str, float], now: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        cells = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]
        # One event for all values of a step: the writer costs 20 us an event, tf.summary 1,100 us for three.
        self._writer().add_event(Event(wall_time=now, step=step, summary=Summary(value=cells)))

    def _summary_event(self, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        # Where TensorFlow is installed, the HParams plugin builds TensorFlow's class of the same message.
        event = Event(wall_time=time.time(), summary=Summary.FromString(summary.SerializeToString()))
        self._writer().add_event(event)

    def _writer(self) -> Any:
        """One for all: each folder with events is an entry in TensorBoard's list of runs, with a colour of its own."""
        if self._events is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            before = cutting.events(self.directory)
            self._events = EventFileWriter(str(self.directory), max_queue_size=1000)
            cutting.put_last(self.directory, before)
        return self._events
