"""What oneDNN gives where TensorFlow leaves it off by itself: python -m benchmarks.onednn [NETWORK ...]

The runner trains each network with `TF_ENABLE_ONEDNN_OPTS` at 0 and at 1, in processes that take turns epoch by epoch;
prints the time without it as a ratio to that with it. On a processor with AVX512_VNNI, where it is on anyway, too.
Writes benchmarks/results/onednn.json.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.networks import NETWORKS
from benchmarks.worker import Task, Worker

# Updates of an epoch: about a second.
USUAL = {"MLP": 400, "LeNet-5": 60, "cnn3": 8, "ResNet-20": 6}
WAYS = {"without": "0", "with": "1"}


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = harness.arguments(__doc__, rounds=8)
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], metavar="NETWORK", help=", ".join(NETWORKS))
    arguments = parser.parse_args()
    found = {}
    for network in arguments.networks or USUAL:
        found[network] = measured(network, USUAL.get(network, 4), arguments.rounds)
        harness.show("network", harness.rounded({network: found[network]}))
    harness.write("onednn", arguments.rounds, harness.processor(), networks=harness.rounded(found))


def measured(network: str, steps: int, rounds: int) -> dict[str, Any]:
    """Images per second either way, and the spread of the ratios within rounds."""
    batch = NETWORKS[network].batch
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ended:
        task = Task(network, "float32", batch, 1, rounds + 1, harness.cores(), f"{folder}/weights.npz", folder)
        limit = Worker("convolutions")  # writes the weights that both begin with
        ended.callback(limit.close)
        limit.begin(task)
        limit.close()
        workers = {}
        for way, value in WAYS.items():
            workers[way] = Worker("sconv_runner", TF_ENABLE_ONEDNN_OPTS=value)
            ended.callback(workers[way].close)
            workers[way].begin(dataclasses.replace(task, steps=steps, directory=tempfile.mkdtemp(dir=folder)))

        def epoch(way: str) -> tuple[float, float]:
            answer = workers[way].epoch(steps=steps)
            return answer["seconds"], answer["processor"]

        times = harness.alternate({way: functools.partial(epoch, way) for way in WAYS}, rounds, time=lambda way: way())
    clock = {way: each[:, 0] for way, each in times.items()}
    speeds = {way: float(steps * batch / np.median(each)) for way, each in clock.items()}
    return {**speeds, **harness.spread(clock["without"] / clock["with"])}


if __name__ == "__main__":
    main()
