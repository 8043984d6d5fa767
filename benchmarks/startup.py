"""How long commands take that compute nothing: python -m benchmarks.startup

Runs each of them and `import tensorflow` in turn, in fresh processes, round after round, and prints each as a ratio to
the import in the same round. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from sconv import runs

SCONV = [sys.executable, "-m", "sconv"]
COMPLETE = {"COMP_LINE": "sconv schedule=one", "COMP_CWORD": "1"}  # as bash asks, after the tab key
WAYS: dict[str, list[str]] = {
    "import tensorflow": [sys.executable, "-c", "import tensorflow"],
    "sconv --help": [*SCONV, "--help"],
    "sconv --cfg job": [*SCONV, "--cfg", "job"],
    "sconv --info defaults": [*SCONV, "--info", "defaults"],
    "completion": [*SCONV, "-sc", "query=bash"],
    "sconv task=show": [*SCONV, "task=show"],
}
RESULTS = Path(__file__).parent / "results" / "startup.json"


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, rounds):
            for name, command in list(WAYS.items())[:: 1 if number % 2 else -1]:
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, env={**os.environ, **COMPLETE}, capture_output=True, check=True)
                if number >= 0:  # the first round fills caches
                    seconds[name].append(time.perf_counter() - began)
    table = Table("command", "seconds", "ratio", "quartile 1", "quartile 3", box=None)
    first, rows = np.array(seconds["import tensorflow"]), {}
    for name, times in seconds.items():
        low, ratio, high = np.quantile(times / first, (0.25, 0.5, 0.75))
        values = {"seconds": np.median(times), "ratio": ratio, "quartile_1": low, "quartile_3": high}
        rows[name] = {key: round(float(value), 3) for key, value in values.items()}
        table.add_row(name, *(f"{value:.3f}" for value in rows[name].values()))
    Console().print(table)
    machine = {"processor": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0))}
    record = {"rounds": rounds, "machine": machine, "versions": runs.versions(), "commands": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
