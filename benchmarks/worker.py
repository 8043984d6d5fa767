"""A peer in a process of its own, which trains an epoch when it is told to, and otherwise waits.

TensorFlow and PyTorch in one process would fight over its threads. What is said over the pipe is JSON, a line each:
a task, then "go" for every epoch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.networks import CLASSES, NETWORKS

# Seconds for one answer: far more than the longest compilation takes.
PATIENCE = 1800.0


@dataclass(frozen=True)
class Task:
    """What each peer trains: `epochs` of `steps` on synthetic images, from the weights in the file `weights`."""

    network: str
    precision: str
    batch: int
    steps: int
    epochs: int
    threads: int
    weights: str
    directory: str

    @property
    def lr_max(self) -> float:
        """The peak of the cycle that all train under."""
        return NETWORKS[self.network].lr_max


class PeerError(RuntimeError):
    """What a peer could not do, in one line."""


class Worker:
    """The near end: a process that is `python -m benchmarks.worker MODULE`, one task after another."""

    def __init__(self, module: str, **environment: str):
        self.module = module
        # What libraries print would fill a pipe that nobody reads.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "benchmarks.worker", module]
        pipe = subprocess.PIPE
        own = {**os.environ, **environment}
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, env=own)

    def begin(self, task: Task, **options: Any) -> dict[str, Any]:
        """Have the task prepared; returns what the peer tells of itself. Raises PeerError."""
        return self._ask({"task": dataclasses.asdict(task), "options": options})

    def epoch(self, **told: Any) -> dict[str, Any]:
        """Have an epoch trained; returns its seconds on the clock and of the processor, and the mean loss."""
        return self._ask({"go": True, **told})

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(BrokenPipeError):
                end.close()  # type: ignore[union-attr]

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise PeerError(f"no answer within {PATIENCE:.0f} s")
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise PeerError(f"ended with code {self._process.wait()}: {' '.join(last)}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer


class Turns:
    """The far end: what a peer calls between its epochs, so that only one process works at a time."""

    def __init__(self, answers: IO[bytes]):
        self._answers = answers

    def ready(self, parameters: int, **told: Any) -> None:
        """All is built but for what the first epoch compiles."""
        self.answer({"parameters": int(parameters), **told})

    def begin(self) -> dict[str, Any]:
        """Wait for the word; returns it. The clock runs from here."""
        told = json.loads(sys.stdin.readline() or "null")
        if told is None:
            sys.exit()
        self._began, self._worked = time.perf_counter(), time.process_time()
        return told

    def end(self, loss: float | None = None) -> None:
        """The epoch is over; `loss` is its mean over the batches."""
        seconds, worked = time.perf_counter() - self._began, time.process_time() - self._worked
        loss = None if loss is None else float(loss)
        self.answer({"seconds": seconds, "processor": worked, "loss": loss})

    def answer(self, told: dict[str, Any]) -> None:
        self._answers.write(json.dumps(told).encode() + b"\n")
        self._answers.flush()


def images_and_labels(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """What is trained on: uint8 images [batch * steps, ...] and labels, the same for every peer."""
    from sconv.datasets import synthetic

    shape = NETWORKS[task.network].shape
    split = synthetic.load(shape, CLASSES, max(task.batch * task.steps, CLASSES), test_size=CLASSES).train
    return split.images, split.labels


def main() -> None:
    """Serve the tasks that come over the pipe, by `train(task, turns, **options)` of the peer's module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    turns = Turns(answers)
    for line in sys.stdin:
        message = json.loads(line)
        try:
            peer = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
            Path(message["task"]["directory"]).mkdir(parents=True, exist_ok=True)
            peer.train(Task(**message["task"]), turns, **message["options"])
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            turns.answer({"error": told[:300]})


if __name__ == "__main__":
    main()
