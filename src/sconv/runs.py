"""What a run directory holds: written here, read here, nowhere else.

summary.json   status, metrics, steps, seconds, seed, versions, device, the resolved schedule
epochs.csv     one row an epoch
steps.csv      one row an optimizer update
train/ validation/ and the directory itself: TensorBoard events
model.keras    the trained model
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sconv import checks

STATUSES = ("running", "finished", "diverged", "interrupted", "failed")
STEP_COLUMNS = ("step", "learning_rate", "momentum", "loss")
EPOCH_COLUMNS = ("epoch", "step", "seconds", "loss", "accuracy", "val_loss", "val_accuracy")


class RunWriter:
    """Writes one run directory while the run goes on; a context manager.

    An exception that leaves the context becomes the summary's status: failed, interrupted (Ctrl-C), or the
    exception's own `status`.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.summary: dict[str, Any] = {"status": "running"}
        self._events: dict[str, Any] = {}

    def __enter__(self) -> RunWriter:
        self.directory.mkdir(parents=True, exist_ok=True)
        for events in self.directory.rglob("events.out.tfevents.*"):
            events.unlink()  # of an earlier try at the same job of a sweep
        self.record(started=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
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

    def record(self, **fields: Any) -> None:
        """Add to summary.json; it is replaced in one move, never half-written."""
        self.summary.update(fields)
        temporary = self.directory / ".summary.json.tmp"
        temporary.write_text(json.dumps(self.summary, indent=2, default=_plain) + "\n")
        os.replace(temporary, self.directory / "summary.json")

    def steps(self, first: int, rates: np.ndarray, momenta: np.ndarray | None, losses: np.ndarray) -> None:
        """Add the updates from number `first` on: learning rate, momentum (None: left alone) and loss of each."""
        momentum_cells = [""] * len(rates) if momenta is None else [_short(value) for value in momenta]
        with open(self.directory / "steps.csv", "a", newline="") as file:
            rows = zip(rates, momentum_cells, losses, strict=True)
            csv.writer(file).writerows(
                (first + number, _short(rate), momentum, _short(loss))
                for number, (rate, momentum, loss) in enumerate(rows)
            )
        tags = {"learning_rate": rates, "momentum": momenta, "loss": losses}
        series = {tag: values for tag, values in tags.items() if values is not None}
        now = time.time()
        for number in range(len(rates)):
            self._scalars("train", first + number, {tag: values[number] for tag, values in series.items()}, now)

    def epoch(self, epoch: int, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Add one finished epoch (counted from 1) that ended after `step` updates."""
        values = {"epoch": epoch, "step": step, "seconds": round(seconds, 3), **metrics}
        with open(self.directory / "epochs.csv", "a", newline="") as file:
            csv.writer(file).writerow([_short(values.get(column, "")) for column in EPOCH_COLUMNS])
        for name, prefix in (("train", ""), ("validation", "val_")):
            kept = {
                f"epoch_{metric.removeprefix('val_')}": value
                for metric, value in metrics.items()
                if metric.startswith("val_") == bool(prefix)
            }
            self._scalars(name, epoch, kept, time.time())
            self._writer(name).flush()

    def hparams(self, knobs: Mapping[str, Any]) -> None:
        """Enter the run into TensorBoard's HParams tab."""
        from tensorboard.plugins.hparams import api as hp
        from tensorboard.plugins.hparams import summary as hparams

        cells = {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in knobs.items()}
        metrics = [
            hp.Metric("epoch_accuracy", group="validation", display_name="test accuracy"),
            hp.Metric("epoch_loss", group="validation", display_name="test loss"),
        ]
        experiment = hp.hparams_config_pb(hparams=[hp.HParam(name) for name in cells], metrics=metrics)
        self._summary_event(experiment)
        self._summary_event(hparams.session_start_pb(cells))

    def hparams_end(self, succeeded: bool) -> None:
        """Tell the HParams tab how the run ended."""
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams import summary as hparams

        status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
        self._summary_event(hparams.session_end_pb(status))

    def _close(self) -> None:
        for writer in self._events.values():
            writer.close()

    def flush(self) -> None:
        """Let a TensorBoard that is watching see what was written so far."""
        for writer in self._events.values():
            writer.flush()

    def _scalars(self, name: str, step: int, values: Mapping[str, float], now: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        cells = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]
        # One event for all values of a step: the writer costs 20 us an event, tf.summary 1,100 us for three.
        self._writer(name).add_event(Event(wall_time=now, step=step, summary=Summary(value=cells)))

    def _summary_event(self, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        # Where TensorFlow is installed, the HParams plugin builds TensorFlow's class of the same message.
        event = Event(wall_time=time.time(), summary=Summary.FromString(summary.SerializeToString()))
        self._writer("").add_event(event)

    def _writer(self, name: str) -> Any:
        if name not in self._events:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._events[name] = EventFileWriter(str(self.directory / name), max_queue_size=1000)
        return self._events[name]


def read_summary(directory: Path) -> dict[str, Any]:
    """The summary of a run directory."""
    return json.loads((directory / "summary.json").read_text())


def find(root: Path) -> list[Path]:
    """The run directories at or below `root`, in the order of their names."""
    return sorted(path.parent for path in root.rglob("summary.json"))


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    import platform

    names = ("sconv", "tensorflow", "keras", "numpy", "hydra-core")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def git_commit() -> str | None:
    """The commit checked out in the working directory, with '+' where files differ from it; None outside git."""
    try:
        described = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _short(value: Any) -> Any:
    """Nine digits: enough to give a float32 back exactly."""
    return f"{value:.9g}" if isinstance(value, (float, np.floating)) else value


def _plain(value: Any) -> Any:
    """NumPy's numbers as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"cannot write {type(value).__name__} to summary.json")
