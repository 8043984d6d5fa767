"""How long commands take that compute nothing: python -m benchmarks.startup

Runs each of them and `import tensorflow` in turn, in fresh processes, round after round, and prints each as a ratio to
the import in the same round. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import harness

SCONV = [sys.executable, "-m", "sconv"]
COMPLETE = {"COMP_LINE": "sconv schedule=one", "COMP_CWORD": "1"}  # as bash asks, after the tab key
# The default run, ended where its first execution does.
FIRST_STEP = (
    "import os; from sconv.runner import cli; from sconv.runner.tasks import observers; "
    "observers.StepTimer.on_train_batch_end = lambda *_: os._exit(0); cli.main()"
)
WAYS: dict[str, list[str]] = {
    "import tensorflow": [sys.executable, "-c", "import tensorflow"],
    "sconv --help": [*SCONV, "--help"],
    "sconv --cfg job": [*SCONV, "--cfg", "job"],
    "sconv --info defaults": [*SCONV, "--info", "defaults"],
    "completion": [*SCONV, "-sc", "query=bash"],
    "sconv task=show": [*SCONV, "task=show"],
    "first training step": [sys.executable, "-c", FIRST_STEP],
}


def main() -> None:
    """Measure, print a table, write the JSON."""
    rounds = harness.arguments(__doc__, rounds=9).parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        run = functools.partial(
            subprocess.run, cwd=folder, env={**os.environ, **COMPLETE}, capture_output=True, check=True
        )
        ways = {name: functools.partial(run, command) for name, command in WAYS.items()}
        clock = {name: times[:, 0] for name, times in harness.alternate(ways, rounds).items()}
    first = clock["import tensorflow"]
    rows = harness.rounded(
        {
            name: {"seconds": np.median(times), "beyond": np.median(times - first), **harness.spread(times / first)}
            for name, times in clock.items()
        }
    )
    harness.show("command", rows)
    harness.write("startup", rounds, {}, commands=rows)


if __name__ == "__main__":
    main()
