"""What an update of `experiment=cifar10_fast` takes, with its small images and without, on a machine that is quiet.

    python -m experiments.cifar10_fast.seconds --cifar10 FOLDER

The same command with twenty updates an epoch, and with images of one size, in turn; appends a row a run to seconds.csv.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import harness
from experiments.cifar10_fast.measure import ARGUMENTS, HERE, sconv
from experiments.table import Table

WAYS = {"progressive": [], "full size": ["progressive_resizing=null"]}
UPDATES, BATCH = 20, 256
COLUMNS = ("round", "way", "updates", "batch", "threads", "processor", "training", "compiling", "evaluating", "epochs")


def main() -> None:
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    table = Table(arguments.into / "seconds.csv", COLUMNS)
    data = ["dataset=image_folder", f"dataset.path={arguments.cifar10}", f"dataset.train_size={UPDATES * BATCH}"]
    for number in range(arguments.rounds):
        for way, settings in list(WAYS.items())[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory() as folder:
                sconv([*ARGUMENTS, *data, f"batch_size={BATCH}", *settings, f"hydra.run.dir={folder}/run"])
                run = json.loads(Path(folder, "run", "summary.json").read_text())
            seconds, final = run["seconds"], run["final"]
            row = table.add(
                round=number,
                way=way,
                updates=run["steps"],
                batch=BATCH,
                threads=run["device"]["threads"],
                processor=harness.processor()["processor"],
                training=seconds["training"],
                compiling=seconds["compile"],
                evaluating=seconds["evaluation"],
                epochs=final["epoch"],
            )
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
