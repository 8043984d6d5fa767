"""Kills a training process at random moments and resumes it each time: python tests/faults.py [kills] [seed]

What it ends with must be what an undisturbed run ends with: weights, tables and curves. A kill comes while the process
starts, while it trains, or while it writes a checkpoint, each after a time that is drawn.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = [
    *("dataset=synthetic", "dataset.shape=[6,6,1]", "dataset.classes=4", "dataset.train_size=800"),
    *("dataset.test_size=40", "dataset.validation=0.25", "model=mlp", "model.hidden=[64]", "model.dropout=0.2"),
    *("augment=standard", "augment.padding=1", "batch_size=8", "lr_max=0.05", "device=cpu", "steps_per_execution=1"),
]
OFTEN = "checkpoint.every=[5steps,1epoch]"
MOMENTS = ("training", "checkpoint", "start")  # in turn
PATIENCE = 600  # seconds


def sconv(*arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sconv", *arguments]
    with open(folder / "said.log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def wait_for(moment: str, run: Path, process: subprocess.Popen[bytes], dice: random.Random) -> bool:
    """Wait until it is time to kill; False where the process ended before."""
    if moment == "start":
        return waits(process, lambda: False, until=time.monotonic() + dice.uniform(0, 4))
    began = (run / "steps.csv").stat().st_mtime_ns if (run / "steps.csv").exists() else 0
    there = waits(process, lambda: (run / "steps.csv").exists() and (run / "steps.csv").stat().st_mtime_ns > began)
    there = there and waits(process, lambda: False, until=time.monotonic() + dice.uniform(0, 1))
    if there and moment == "checkpoint":
        return waits(process, lambda: any((run / "checkpoints").glob(".*.tmp")), pause=0.0)
    return there


def waits(process, arrived, until: float = float("inf"), pause: float = 0.005) -> bool:
    """Whether the process was still there when something arrived, or when the time was over."""
    patience = time.monotonic() + PATIENCE
    while process.poll() is None:
        if arrived() or time.monotonic() >= until:
            return True
        assert time.monotonic() < patience, "nothing happens"
        time.sleep(pause)
    return False


def rows(run: Path) -> int:
    """How many updates are in a run's table."""
    return max((run / "steps.csv").read_bytes().count(b"\n") - 1, 0) if (run / "steps.csv").exists() else 0


def disturbed(folder: Path, name: str, kills: int, arguments: list[str], dice: random.Random, told: list) -> int:
    """Carry out a run to its end, killed again and again, at most so often; returns how often it was."""
    run, done = folder / name, 0
    while True:
        again = (run / ".hydra").exists()  # else killed before the directory was its own: the same command once more
        beginning = [f"resume={name}"] if again else [*arguments, OFTEN, f"hydra.run.dir={name}"]
        process = sconv(*beginning, folder=folder)
        moment = MOMENTS[len(told) % len(MOMENTS)]
        if done == kills or not wait_for(moment, run, process, dice):
            code = process.wait(PATIENCE)
            assert code == 0, (folder / "said.log").read_text()[-2000:]
            return done
        process.send_signal(signal.SIGKILL)
        process.wait()
        done += 1
        told.append((moment, rows(run)))


def main(kills: int = 50, seed: int = 0, epochs: int = 12) -> None:
    """Kill so often; AssertionError where anything that a run left is not what an undisturbed one leaves."""
    from test_resume import Left

    began, dice, told = time.monotonic(), random.Random(seed), []
    arguments = [*RUN, f"epochs={epochs}"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        assert sconv(*arguments, "hydra.run.dir=whole", folder=folder).wait(PATIENCE) == 0
        whole, runs = Left(folder / "whole"), 0
        while len(told) < kills:
            disturbed(folder, f"cut{runs}", kills - len(told), arguments, dice, told)
            run = folder / f"cut{runs}"
            Left(run).check_equals(whole)
            assert len(os.listdir(run / "checkpoints")) == 1
            assert not [path.name for path in run.iterdir() if path.name.startswith(".") and path.name != ".hydra"]
            runs += 1
    moments = collections.Counter(moment for moment, _ in told)
    print(
        f"{len(told)} kills of {runs} runs of {whole.summary['steps']:,} updates: "
        + ", ".join(f"{moments[moment]} at the {moment}" for moment in MOMENTS)
        + f"; every run equals the undisturbed one; {time.monotonic() - began:.0f} s, seed {seed}"
    )


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "runner")]
    main(*map(int, sys.argv[1:]))
