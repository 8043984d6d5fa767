"""Whole training epochs of the same networks by several programs: python -m benchmarks [--full]

Stock Keras, a loop by hand, PyTorch, fastai and sconv train the same network from the same weights on the same images,
each in a process of its own, one at a time, in turn, round after round; beside them the network's convolutions alone.
Writes quick.json, quick.md and quick.png, or full.*, into benchmarks/results/, and prints what misses its target.
A peer that fails, or is not installed, is told of; the rest goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import harness, outcome
from benchmarks.networks import NETWORKS, PRECISIONS
from benchmarks.worker import PeerError, Task, Worker
from sconv.plots.figures import save


@dataclass(frozen=True)
class Peer:
    """A module of benchmarks.peers, the package that it needs, and whether a quick run has it."""

    module: str
    needs: str = "tensorflow"
    quick: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


PEERS = {
    outcome.LIMIT: Peer("convolutions", quick=True),
    outcome.KERAS: Peer("keras_fit", quick=True),
    outcome.LOOP: Peer("tf_function"),
    "PyTorch": Peer("pytorch", "torch", quick=True),
    "PyTorch, compiled": Peer("pytorch", "torch", options={"compiled": True}),
    "fastai": Peer("fastai", "fastai"),
    outcome.SCONV: Peer("sconv_runner", quick=True),
    outcome.SCHEDULED: Peer("sconv_runner", options={"way": "scheduled"}),
    outcome.CONSTANT: Peer("sconv_runner", options={"way": "constant"}),
}
# What the limit tells of itself.
_OF_LIMIT = ("parameters", "seconds", "gflop", "product_gflops")
# Seconds of an epoch, and its updates at least and at most.
SECONDS, FEWEST, MOST = {"quick": 1.5, "full": 2.5}, 4, 2000


def main() -> None:
    """Measure, print a table and what is missed, write the files."""
    arguments = _arguments()
    mode = "full" if arguments.full else "quick"
    rounds = arguments.rounds or {"quick": 3, "full": 7}[mode]
    console = Console(highlight=False, soft_wrap=True)
    absent = [name for name in _chosen(arguments.peers, PEERS, mode) if not _installed(PEERS[name].needs)]
    for name in absent:
        console.print(f"{name}: not installed (pip install 'sconv[bench]'), left out")
    cells = []
    with tempfile.TemporaryDirectory() as folder, _Workers() as workers:
        for network in _chosen(arguments.networks, NETWORKS, mode):
            for precision in arguments.precisions:
                names = [name for name in _chosen(arguments.peers, PEERS, mode) if name not in absent]
                task = Task(
                    network, precision, arguments.batch or NETWORKS[network].batch, arguments.steps or 0, rounds + 1,
                    arguments.threads, f"{folder}/weights.npz", folder,
                )  # fmt: skip
                cells.append(measure(task, names, workers, arguments.seconds or SECONDS[mode]))
                console.print(_line(cells[-1]))
    missed = outcome.missed(cells)
    machine = {"threads": arguments.threads, **harness.processor()}
    text = outcome.markdown(cells, missed, {"cores": harness.cores(), **machine})
    console.print(f"\n{text}", markup=False)
    harness.write(mode, rounds, machine, arguments.out, absent=absent, cells=cells, missed=missed)
    (arguments.out / f"{mode}.md").write_text(text)
    save(outcome.picture(cells), arguments.out / f"{mode}.png")


def _arguments() -> argparse.Namespace:
    parser = harness.arguments(__doc__, rounds=0)
    parser.add_argument("--full", action="store_true", help="every network and peer, in hours")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--seconds", type=float, help="of an epoch")
    parser.add_argument("--steps", type=int, help="of an epoch, in place of seconds")
    parser.add_argument("--batch", type=int, help="in place of each network's own")
    parser.add_argument("--threads", type=int, default=harness.cores())
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    return parser.parse_args()


def _chosen(asked: Sequence[str] | None, among: Any, mode: str) -> list[str]:
    return list(asked) if asked else [name for name, one in among.items() if mode == "full" or one.quick]


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class _Workers:
    """A process for each peer, kept from cell to cell until it fails."""

    def __init__(self) -> None:
        self._running: dict[str, Worker] = {}

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.end(name)

    def of(self, name: str) -> Worker:
        if name not in self._running:
            self._running[name] = Worker(PEERS[name].module)
        return self._running[name]

    def end(self, name: str) -> None:
        if name in self._running:
            self._running.pop(name).close()


def measure(task: Task, names: Sequence[str], workers: _Workers, seconds: float) -> dict[str, Any]:
    """One cell: each peer's images/s and ratio, first losses, and what went wrong. `task.steps` of 0 is found."""
    errors: dict[str, str] = {}
    taken: dict[str, list[dict[str, Any]]] = {}

    def begin(name: str, task: Task) -> dict[str, Any] | None:
        own = dataclasses.replace(task, directory=tempfile.mkdtemp(dir=task.directory))
        return ask(name, functools.partial(workers.of(name).begin, own, **PEERS[name].options))

    def ask(name: str, question: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        if name in errors:
            return None
        try:
            return question()
        except PeerError as error:
            errors[name] = str(error)
            workers.end(name)
            return None

    def epoch(name: str) -> tuple[float, float]:
        if (answer := ask(name, functools.partial(workers.of(name).epoch, steps=task.steps))) is None:
            return np.nan, np.nan
        taken.setdefault(name, []).append(answer)
        return answer["seconds"], answer["processor"]

    # It writes the weights that all begin with, and says how long a step takes at least.
    limit = begin(outcome.LIMIT, dataclasses.replace(task, steps=1)) or dict.fromkeys(_OF_LIMIT)
    step = 1.3 * (limit["seconds"] or 0.0) + 5e-4
    task = dataclasses.replace(task, steps=task.steps or int(np.clip(seconds / step, FEWEST, MOST)))
    ways = {}
    for name in [name for name in names if limit["parameters"]]:
        told = limit if name == outcome.LIMIT else begin(name, task)
        if told and told["parameters"] != limit["parameters"]:
            errors[name] = f"{told['parameters']:,} parameters, Keras's has {limit['parameters']:,}"
            workers.end(name)
        elif told and (name != outcome.LIMIT or limit["seconds"]):
            ways[name] = functools.partial(epoch, name)
    if outcome.LIMIT not in ways:
        workers.end(outcome.LIMIT)  # which waits for a word that never comes
    found = harness.alternate(ways, task.epochs - 1, time=lambda way: way())
    done = {name: times for name, times in found.items() if name not in errors}
    return {
        "network": task.network,
        "precision": task.precision,
        "batch": task.batch,
        "steps": task.steps,
        **{name: limit[name] for name in _OF_LIMIT if name != "seconds"},
        "peers": outcome.compared(done, task.steps * task.batch),
        "costs": outcome.costs(done),
        "losses": {name: round(taken[name][0]["loss"], 4) for name in done if name != outcome.LIMIT},
        "errors": errors,
    }


def _line(cell: dict[str, Any]) -> str:
    """What came of one cell, while the others are waited for."""
    speeds = (f"{name} {row['images_per_second']:,.0f}" for name, row in cell["peers"].items())
    return f"{outcome.told(cell):<22} {', '.join([*speeds, *(f'{name} failed' for name in cell['errors'])])}"


if __name__ == "__main__":
    main()
