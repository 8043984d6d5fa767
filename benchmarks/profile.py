"""Where the time of a training step goes: python -m benchmarks.profile [NETWORK ...]

Trains each network as the runner does, takes down with TensorFlow's profiler how long every operation took, and sums
by what it is for; beside it the same step's convolutions alone, timed in the same process. Two operations may run side
by side, so the sum can exceed the step. Writes benchmarks/results/profile.json and profile.md.
"""

from __future__ import annotations

import collections
import gc
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import harness
from benchmarks.networks import NETWORKS, PRECISIONS
from benchmarks.peers import convolutions
from benchmarks.peers.sconv_runner import prepared
from benchmarks.worker import Task
from sconv.training.callbacks import ScheduleCallback

USUAL = ("LeNet-5", "cnn3", "ResNet-20", "ResNet-9/32", "DenseNet-40", "MobileNetV2")
STEPS, SMALLEST_SHARE = 10, 0.005
_GRADIENT = {"normalisation": "normalisation, gradient", "ReLU": "ReLU, gradient", "pooling": "pooling, gradient"}
# By the kind of the operation, from the first that fits.
_KINDS = (
    ("filter gradients", r"Conv.*BackpropFilter"),
    ("input gradients", r"Conv.*BackpropInput"),
    ("convolutions, forward", r"Conv2[Dd]"),
    ("normalisation", r"BatchNorm"),
    ("matrix products", r"MatMul"),
    ("pooling", r"Pool"),
    ("ReLU", r"Relu"),
    ("dividing among channels", r"Concat|Split|^Slice|^Pad|StridedSlice"),
    ("input pipeline", r"Iterator|Gather|Shuffle|DecodeRaw"),
    ("assignments", r"^Assign|ReadVariable|Resource"),
    ("casts", r"^Cast$"),
    ("loss", r"Softmax|^Log$|CrossEntropy"),
    ("copies and layouts", r"Transpose|Reshape|Identity|Tile|Mkl"),
    ("sums and means", r"^Sum|Mean|Bias|AddN"),
    ("elementwise", r"Add|Mul|Sub|Div|Square|Sqrt|Neg|Maximum|Minimum|Select|Greater|Less|Equal"),
)
_OPERATION = re.compile(r"^(?P<path>[\w/.\-]+):(?P<kind>_?[A-Z]\w*)$")
# These wait for others, whose time is counted where they are.
_WRAPPERS = re.compile(r"PartitionedCall|While|^If$|^_Arg$|^_Retval$|^Case$")


def category(path: str, kind: str) -> str:
    """What an operation of this name and kind is for."""
    kind = re.sub(r"^_(MklNative|Fused|Mkl)", "", kind)
    if re.match(r"(.*/)?(sgd|adam)[^/]*/", path, re.IGNORECASE):
        return "optimizer"
    for name, pattern in _KINDS:
        if re.search(pattern, kind):
            return _GRADIENT.get(name, name) if "Grad" in kind else name
    return "all else"


def summed(events: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Of (name, milliseconds) of everything that the profiler saw: the operations' by category, the largest first."""
    sums: collections.Counter[str] = collections.Counter()
    for name, milliseconds in events:
        found = _OPERATION.match(name)
        if found and not _WRAPPERS.search(found["kind"]):
            sums[category(found["path"], found["kind"])] += milliseconds
    return dict(sums.most_common())


def measure(network: str, precision: str, steps: int, batch: int | None = None) -> dict[str, Any]:
    """Milliseconds of a step by category, of the step itself, and of its convolutions alone."""
    with tempfile.TemporaryDirectory() as folder:
        task = Task(network, precision, batch or NETWORKS[network].batch, steps, 2, harness.cores(), "", folder)
        _, planned, model, stream = prepared(task)
        watch = Profile(folder)
        callbacks = [ScheduleCallback(planned.schedule, planned.steps), watch]
        model.fit(stream.batches, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
        sums = summed(list(_events(Path(folder))))
    operations, _ = convolutions.operations(model, task.batch)
    alone = 1e3 * convolutions.fastest(convolutions.one_after_another(operations), 3) if operations else 0.0
    del model, operations
    gc.collect()
    parts = {name: round(spent / steps, 3) for name, spent in sums.items()}
    return {
        "network": network,
        "precision": precision,
        "step": round(1e3 * watch.seconds / steps, 3),
        "convolutions_alone": round(alone, 3),
        "parts": parts,
    }


class Profile(keras.callbacks.Callback):
    """Has TensorFlow profile the second epoch; `seconds` is how long it took."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder, self.seconds = folder, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            tf.profiler.experimental.start(self._folder)
            self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.seconds = time.perf_counter() - self._began
            tf.profiler.experimental.stop()


def _events(folder: Path) -> Iterator[tuple[str, float]]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = folder.glob("plugins/profile/*/*.xplane.pb")
    for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
        for line in plane.lines:
            for event in line.events:
                yield plane.event_metadata[event.metadata_id].name, event.duration_ps / 1e9


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column for each network and precision: milliseconds of a step, and what share of all operations they are."""
    totals = [sum(row["parts"].values()) for row in rows]
    names = sorted({name for row in rows for name in row["parts"]}, key=lambda name: -_mean_share(name, rows, totals))
    shown = [name for name in names if _mean_share(name, rows, totals) >= SMALLEST_SHARE]
    head = ["ms a step", *(f"{row['network']}, {_short(row['precision'])}" for row in rows)]
    lines = [head, ["---", *["--:"] * len(rows)]]
    for name in shown:
        spent = [row["parts"].get(name, 0.0) for row in rows]
        lines.append([name, *(f"{ms:.2f} ({ms / total:.0%})" for ms, total in zip(spent, totals, strict=True))])
    rest = [sum(ms for name, ms in row["parts"].items() if name not in shown) for row in rows]
    lines.append(["the rest", *(f"{ms:.2f}" for ms in rest)])
    lines.append(["all operations", *(f"{total:.2f}" for total in totals)])
    lines.append(["the step", *(f"{row['step']:.2f}" for row in rows)])
    lines.append(["its convolutions alone", *(_alone(row) for row in rows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _alone(row: Mapping[str, Any]) -> str:
    return f"{row['convolutions_alone']:.2f} ({row['convolutions_alone'] / row['step']:.0%} of the step)"


def _mean_share(name: str, rows: Sequence[Mapping[str, Any]], totals: Sequence[float]) -> float:
    return float(np.mean([row["parts"].get(name, 0.0) / total for row, total in zip(rows, totals, strict=True)]))


def _short(precision: str) -> str:
    return "bf16" if precision == PRECISIONS[1] else "fp32"


def main() -> None:
    """Measure, print the table, write the files."""
    parser = harness.arguments(__doc__, rounds=1)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, help="in place of each network's own")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    arguments = parser.parse_args()
    rows = []
    for network in arguments.networks or USUAL:
        rows += [measure(network, one, arguments.steps, arguments.batch) for one in arguments.precisions]
    text = markdown(rows)
    print(text)
    harness.write("profile", 1, harness.processor(), arguments.out, rows=rows)
    (arguments.out / "profile.md").write_text(text)


if __name__ == "__main__":
    main()
