"""How much each suggestion rule loses against the best lr of a grid: train with both, on several pairs, over seeds.

    python -m experiments.lr_find_rules.measure                                   # everything
    python -m experiments.lr_find_rules.measure --pairs lenet5-mnist_5k --seeds 0 # a small piece
    python -m experiments.lr_find_rules.measure --read                            # the tables again, no training

Runs `python -m sconv` for every range test and a sweep for the trainings, keeps what it did under --runs and goes on
where it was cut short. Writes results.csv (one row a training) and results.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from sconv import runs

HERE = Path(__file__).parent
RULES = ("valley", "steep", "minimum", "slide", "smith")
# Overrides that make the pair, and the grid over a decade and more that holds its best lr.
PAIRS = {
    "lenet5-mnist_5k": (("dataset=mnist_5k", "model=lenet5", "optimizer=sgd", "epochs=5"), (0.02, 0.3)),
    "lenet5-mnist_5k-adam": (("dataset=mnist_5k", "model=lenet5", "optimizer=adam", "epochs=5"), (0.001, 0.02)),
    "lenet5-fashion_mnist": (("dataset=fashion_mnist", "model=lenet5", "optimizer=sgd", "epochs=3"), (0.01, 0.2)),
    "resnet20-cifar10": (
        (
            "dataset=npz",  # CIFAR_PART images to train and as many to test, stratified; see _cifar_part
            "model=resnet20",
            "optimizer=sgd",
            "epochs=6",
            "batch_size=64",
            "lr_find.max_steps=150",
        ),
        (0.05, 1.0),
    ),
}
GRID_POINTS = 6
CIFAR_PART = 2000


def main() -> None:
    arguments = _arguments()
    rows = []
    for pair in arguments.pairs:
        overrides, (low, high) = PAIRS[pair]
        for seed in arguments.seeds:
            common = [*overrides, f"seed={seed}"]
            if "dataset=npz" in common:
                common.append(f"dataset.path={_cifar_part(arguments.runs / 'cifar10_part.npz', arguments.cifar10)}")
            folder = (arguments.runs / pair / f"seed{seed}").resolve()
            if not _done(folder / "lr_find") and not arguments.read:
                _sconv(*common, "task=lr_find", f"hydra.run.dir={folder}/lr_find")
            if not _done(folder / "lr_find"):
                continue
            picks = json.loads((folder / "lr_find" / "lr_find.json").read_text())["suggestions"]
            wanted = [(rule, picks[rule]) for rule in RULES]
            wanted += [("grid", float(rate)) for rate in np.geomspace(low, high, GRID_POINTS)]
            rates = [f"{rate:.4g}" for _, rate in wanted]
            trainings = folder / "trainings"  # apart: a sweep wants a folder that holds no run
            todo = [rate for rate in dict.fromkeys(rates) if not _done(trainings / rate)]
            if todo and not arguments.read:
                into = [f"hydra.sweep.dir={trainings}", "hydra.sweep.subdir=${lr_max}"]
                _sconv("-m", *common, f"lr_max={','.join(todo)}", *into)
            for (source, _), rate in zip(wanted, rates, strict=True):
                if _done(trainings / rate):
                    summary = runs.read_summary(trainings / rate)
                    rows.append((pair, seed, source, float(rate), _accuracy(summary), summary["status"]))
                else:
                    print(f"missing: {pair}, seed {seed}, {source} lr {rate}", file=sys.stderr)
    with open(arguments.into / "results.csv", "w", newline="") as file:
        csv.writer(file).writerows([("pair", "seed", "source", "lr_max", "accuracy", "status"), *rows])
    table = _table(rows)
    (arguments.into / "results.md").write_text(table)
    print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=PAIRS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("outputs/lr_find_rules"))
    parser.add_argument("--into", type=Path, default=HERE)
    parser.add_argument("--read", action="store_true", help="only read the runs that are there")
    parser.add_argument("--cifar10", type=Path, help="CIFAR-10 as a folder of images, in place of Keras's download")
    return parser.parse_args()


def _cifar_part(path: Path, folder: Path | None) -> Path:
    """A stratified part of CIFAR-10, from Keras's download or from a folder of images, as a file."""
    if not path.is_file():
        from sconv.datasets import cifar10, image_folder

        whole = cifar10.load() if folder is None else image_folder.load(str(folder))
        arrays = {}
        for name, split in (("train", whole.train), ("test", whole.test)):
            of_class = [np.flatnonzero(split.labels == label)[: CIFAR_PART // 10] for label in range(10)]
            rows = np.sort(np.concatenate(of_class))
            arrays |= {f"x_{name}": split.images[rows], f"y_{name}": split.labels[rows]}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    return path.resolve()


def _done(folder: Path) -> bool:
    path = folder / "summary.json"
    return path.is_file() and json.loads(path.read_text())["status"] in ("finished", "diverged")


def _sconv(*arguments: str) -> None:
    command = [sys.executable, "-m", "sconv", *arguments]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def _accuracy(summary: dict) -> float:
    """On the test data at the end; a run that diverged classifies no better than a guess."""
    return 0.1 if summary["status"] == "diverged" else summary["test"]["accuracy"]


def _table(rows: list[tuple]) -> str:
    """Points of accuracy lost by each rule against the grid's best lr (best on the mean over seeds), mean and std."""
    lines = ["| pair | best of the grid | " + " | ".join(RULES) + " |", "|" + "---|" * (len(RULES) + 2)]
    losses: dict[str, list[float]] = {rule: [] for rule in RULES}
    for pair in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == pair]
        grid: dict[float, dict[int, float]] = {}
        for _, seed, source, rate, accuracy, _ in mine:
            if source == "grid":
                grid.setdefault(rate, {})[seed] = accuracy
        best = max(grid, key=lambda rate: statistics.mean(grid[rate].values()))
        cells = [f"{100 * statistics.mean(grid[best].values()):.2f} % (lr {best:.2g})"]
        for rule in RULES:
            found = {seed: (rate, accuracy) for _, seed, source, rate, accuracy, _ in mine if source == rule}
            lost = [100 * (grid[best][seed] - accuracy) for seed, (_, accuracy) in found.items() if seed in grid[best]]
            losses[rule] += lost
            spread = f" ± {statistics.stdev(lost):.2f}" if len(lost) > 1 else ""
            rates = statistics.geometric_mean(rate for rate, _ in found.values())
            cells.append(f"{statistics.mean(lost):.2f}{spread} (lr {rates:.2g})")
        lines.append(f"| {pair} | " + " | ".join(cells) + " |")
    means = [f"{statistics.mean(losses[rule]):.2f}" for rule in RULES]
    lines.append("| **points lost, mean** | | " + " | ".join(means) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
