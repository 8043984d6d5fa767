"""What an update of `experiment=cifar10_fast` takes at each of its image sizes, on a machine that is quiet.

    python -m experiments.cifar10_fast.seconds --cifar10 FOLDER

The same command with an epoch for each size, of twenty updates; appends a row a size and round to seconds.csv.
"""

from __future__ import annotations

import csv
import itertools
import json
import tempfile
from pathlib import Path

from benchmarks import harness
from experiments.cifar10_fast.measure import ARGUMENTS, HERE, installed, sconv
from experiments.table import Table

UPDATES = 20
COLUMNS = ("round", "share", "seconds", "compiling", "evaluation", "threads", "onednn", "precision", "processor")


def main() -> None:
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    table = Table(arguments.into / "seconds.csv", COLUMNS)
    for number in range(arguments.rounds):
        for row in measured(arguments.cifar10):
            print(*table.add(round=number, **row).values(), flush=True)


def measured(images: str) -> list[dict[str, object]]:
    """One run: seconds of an update for each share, of tracing, and of one evaluation."""
    recipe = installed(ARGUMENTS)
    shares = list(recipe.progressive_resizing)
    data = [f"dataset.path={images}", f"dataset.train_size={UPDATES * recipe.batch_size}", f"epochs={len(shares)}"]
    with tempfile.TemporaryDirectory() as folder:
        sconv([*ARGUMENTS, "dataset=image_folder", *data, f"hydra.run.dir={folder}/run"])
        run = json.loads(Path(folder, "run", "summary.json").read_text())
        with open(Path(folder, "run", "epochs.csv"), newline="") as file:
            ends = [0.0, *(float(row["seconds"]) for row in csv.DictReader(file))]
    told = {
        "compiling": run["seconds"]["compile"],
        "evaluation": round(run["seconds"]["evaluation"] / len(shares), 3),
        "threads": run["device"]["threads"],
        "onednn": run["device"]["onednn"],
        "precision": next(iter(run["compute_dtypes"])),
        "processor": harness.processor()["processor"],
    }
    each = [round((end - begin) / UPDATES, 4) for begin, end in itertools.pairwise(ends)]
    return [{"share": share, "seconds": seconds, **told} for share, seconds in zip(shares, each, strict=True)]


if __name__ == "__main__":
    main()
