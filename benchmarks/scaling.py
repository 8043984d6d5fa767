"""What several workers gain on this machine: python -m benchmarks.scaling

Trains the same network with one, two and three processes of one thread each, in turn, round after round, each process
with 64 images of every batch, and prints the images a second, the share of what so many times one process would do
(efficiency), and how a step's time is made up: what it takes alone, and what sending and waiting add. More processes
than cores share them: their efficiency says so. Writes benchmarks/results/scaling.json, with what the model of
`predicted` says of larger machines. Takes less than four minutes on two idle cores.
"""

from __future__ import annotations

import csv
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import harness

PROCESSES, EACH, STEPS = (1, 2, 3), 64, 40
COMMAND = "epochs=2 model=cnn3 dataset=synthetic dataset.shape=[32,32,3] dataset.test_size=64 steps_per_execution=1"

# The model. Gradients of ResNet-50 in float32, and what one GPU takes for a batch of 256 without the others: 2,500
# images a second, as one of NVIDIA's A100 reaches in half precision.
GRADIENTS = 4 * 25_557_032
ALONE = 256 / 2500
# Of a step the backward pass, two thirds, in which gradients that are ready could be sent: none to all of it is used.
OVERLAP = (0.0, 2 / 3)
# What connects them: how many there are, and bytes a second that each sends, as measured by others for a ring.
MACHINES = {
    "8 GPUs, NVLink": (8, 130e9),
    "8 GPUs, PCIe 3": (8, 10e9),
    "4 machines of a GPU, 100 Gbit/s": (4, 12.5e9),
    "4 machines of a GPU, 10 Gbit/s": (4, 1.25e9),
    "4 machines of 8 GPUs, 100 Gbit/s": (32, 12.5e9),
}


def predicted(count: int, bandwidth: float, overlap: float) -> float:
    """The efficiency of so many replicas: a ring sends 2 (n - 1) / n times the gradients, in part behind the step.

    Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009). Latency,
    input and uneven speeds are left out: it is what the network allows at best.
    """
    sending = 2 * (count - 1) / count * GRADIENTS / bandwidth
    return ALONE / (ALONE + max(0.0, sending - overlap * ALONE))


def trained(count: int) -> float:
    """Seconds of a step with so many processes, in the second of two epochs."""
    size = f"batch_size={EACH * count} dataset.train_size={EACH * count * STEPS}"
    with tempfile.TemporaryDirectory() as folder:
        commands = [[*COMMAND.split(), *size.split(), "device.threads=1", *device] for device in _devices(count)]
        commands[0].append("hydra.run.dir=run")
        workers = [
            subprocess.Popen([sys.executable, "-m", "sconv", *words], cwd=folder, stdout=subprocess.DEVNULL)
            for words in commands
        ]
        codes = [worker.wait() for worker in workers]
        if any(codes):
            raise RuntimeError(f"{count} processes did not end well")
        with open(Path(folder, "run", "epochs.csv"), newline="") as file:
            first, second = (float(row["seconds"]) for row in csv.DictReader(file))
    return (second - first) / STEPS


def _devices(count: int) -> list[list[str]]:
    if count == 1:
        return [["device=cpu"]]
    servers = [socket.create_server(("localhost", 0)) for _ in range(count)]
    hosts = ",".join(f"localhost:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return [["device=multi_worker", f"device.hosts=[{hosts}]", f"device.index={place}"] for place in range(count)]


def main() -> None:
    """Measure, print a table, write the JSON."""
    rounds = harness.arguments(__doc__, rounds=3).parse_args().rounds
    ways = {str(count): (lambda count=count: trained(count)) for count in PROCESSES}
    steps = harness.alternate(ways, rounds, lambda way: way())
    rows = {}
    for count in PROCESSES:
        step, ratio = steps[str(count)], steps["1"] / steps[str(count)]
        rows[str(count)] = {
            "images_a_second": count * EACH / np.median(step),
            "efficiency": np.median(ratio),
            "lowest": ratio.min(),
            "highest": ratio.max(),
            "step_ms": 1000 * np.median(step),
            "alone_ms": 1000 * np.median(steps["1"]),
            "waiting_ms": 1000 * np.median(step - steps["1"]),
        }
    rows = harness.rounded(rows)
    harness.show("processes", rows, f"cnn3, {EACH} images a process and step, {rounds} rounds")
    model = {name: [round(predicted(*at, overlap), 3) for overlap in OVERLAP] for name, at in MACHINES.items()}
    harness.write("scaling", rounds, {"threads": 1}, processes=rows, predicted=model)


if __name__ == "__main__":
    main()
