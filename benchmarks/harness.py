"""What the benchmarks share: rounds in turning order, ratios within a round, a table, and the file of results."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sconv import runs

RESULTS = Path(__file__).parent / "results"
CPUINFO = Path("/proc/cpuinfo")
Way = Callable[[], object]
Row = dict[str, float]


def arguments(said: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser that knows --rounds."""
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def timed(way: Way) -> tuple[float, float]:
    """Seconds on the clock and of this process's processor."""
    began, worked = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - began, time.process_time() - worked


def beside(first: Way) -> Callable[[Way], list[tuple[float, float]]]:
    """A way to time a way and, next to it, `first`, each time in the other order: [2 (way, first), 2]."""
    turns = itertools.cycle((1, -1))

    def pair(way: Way) -> list[tuple[float, float]]:
        turn = next(turns)
        return [timed(one) for one in (way, first)[::turn]][::turn]

    return pair


def alternate(ways: Mapping[str, Way], rounds: int, time: Callable[[Way], Any] = timed) -> dict[str, np.ndarray]:
    """What `time` says of each way [rounds, ...], the ways in turn, each round in the other order."""
    taken: dict[str, list[Any]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name, way in list(ways.items())[:: 1 if number % 2 else -1]:
            seconds = time(way)
            if number >= 0:  # the first round compiles and fills caches
                taken[name].append(seconds)
    return {name: np.array(rows) for name, rows in taken.items()}


def spread(ratios: np.ndarray) -> Row:
    """Median and quartiles of the ratios of all rounds."""
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {"ratio": middle, "quartile_1": low, "quartile_3": high}


def rounded(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Row]:
    """Rows of numbers with three places."""
    return {name: {key: round(float(value), 3) for key, value in row.items()} for name, row in rows.items()}


def show(what: str, rows: Mapping[str, Row], title: str | None = None) -> None:
    """Print rows as a table whose first column is `what`."""
    table = Table(what, title=title, box=None)
    for heading in next(iter(rows.values())):
        table.add_column(heading.replace("_", " "), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> dict[str, object]:
    """Its name, and what it has for numbers of 16 bits."""
    words = CPUINFO.read_text() if CPUINFO.is_file() else ""
    model = re.search(r"model name\s*:\s*(.*)", words)
    half = [flag for flag in ("avx512_bf16", "amx_bf16", "bf16") if flag in words.split()]
    return {"processor": model[1] if model else platform.machine(), "half": half}


def write(name: str, rounds: int, device: Mapping[str, object], folder: Path = RESULTS, **found: object) -> None:
    """Write benchmarks/results/`name`.json: what was found, and on which machine, with which versions."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": cores(), **device}
    record = {"rounds": rounds, "machine": machine, "versions": versions(), **found}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Of what a run depends on, and of the peers that are installed."""
    peers = {}
    for name in ("torch", "fastai"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            peers[name] = importlib.metadata.version(name)
    return {**runs.versions(), **peers}
