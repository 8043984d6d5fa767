"""`experiment=cifar10_fast`, seed after seed, as a user trains it; then the same models with mirrored images too.

    python -m experiments.cifar10_fast.measure --cifar10 FOLDER                # a row a seed into results.csv
    python -m experiments.cifar10_fast.measure --cifar10 FOLDER --threads 1    # beside other work

The images are those of a folder, train/ and test/ with a folder a class in each. Makes only the seeds that are not
there; a run that was cut short goes on where it was, if its folder of --runs is still there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks import harness
from experiments.table import Table
from sconv.runner.config import schema

HERE = Path(__file__).parent
SEEDS, ARGUMENTS = range(5), ["experiment=cifar10_fast", "device.onednn=true"]
COLUMNS = ("seed", "epochs", "updates", "accuracy", "mirrored", "precision", "onednn", "threads", "processor")
COLUMNS += ("seconds_training", "seconds_compiling", "seconds_evaluating")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--threads", type=int, default=harness.cores())
    parser.add_argument("--runs", type=Path, default=Path("outputs/cifar10_fast"))
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    table = Table(arguments.into / "results.csv", COLUMNS)
    for seed in arguments.seeds:
        if not table.find(seed=seed):
            found = trained(arguments.cifar10, seed, arguments.threads, arguments.runs / f"{seed}")
            print(*table.add(**found).values(), flush=True)


def trained(images: str, seed: int, threads: int, directory: Path) -> dict[str, Any]:
    """The row of one seed."""
    data = ["dataset=image_folder", f"dataset.path={images}"]
    run = finished([*ARGUMENTS, *data, f"seed={seed}", f"device.threads={threads}"], directory)
    judged = directory / "mirrored"
    mirrored = ["task=evaluate", "task.mirrored=true", *data, f"run={directory}", f"hydra.run.dir={judged}"]
    sconv([*mirrored, f"device.threads={threads}", "device.onednn=true"])
    evaluation, seconds = json.loads((judged / "evaluation.json").read_text()), run["seconds"]
    return {
        "seed": seed,
        "epochs": run["final"]["epoch"],
        "updates": run["steps"],
        "accuracy": f"{evaluation['accuracy']:.4f}",
        "mirrored": f"{evaluation['accuracy_mirrored']:.4f}",
        "precision": next(iter(run["compute_dtypes"])),
        "onednn": run["device"]["onednn"],
        "threads": threads,
        "processor": harness.processor()["processor"],
        "seconds_training": seconds["training"],
        "seconds_compiling": seconds["compile"],
        "seconds_evaluating": seconds["evaluation"],
    }


def finished(arguments: Sequence[str], directory: Path) -> dict[str, Any]:
    """The summary of a run in this directory: made, or gone on with where it was cut short."""
    summary = directory / "summary.json"
    if not summary.is_file():
        sconv([*arguments, f"hydra.run.dir={directory}"])
    elif json.loads(summary.read_text())["status"] != "finished":
        sconv([f"resume={directory}"])
    return json.loads(summary.read_text())


def installed(arguments: Sequence[str]) -> DictConfig:
    """The configuration that a command with these arguments trains."""
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return compose("config", list(arguments))


def sconv(arguments: Sequence[str]) -> None:
    """The command with these arguments."""
    subprocess.run([sys.executable, "-m", "sconv", *arguments], check=True, env=os.environ)


if __name__ == "__main__":
    main()
