"""What it takes to read a folder of images: python -m benchmarks.decode FOLDER

Reads FOLDER (class folders, or train/ and test/ above them; CIFAR-10 as 60,000 JPEG files, say) in turn, each time in a
fresh process: by a plain loop over PIL on one core, by sconv into a new cache, by sconv from that cache. Prints sconv's
time as a ratio to the loop's divided by the cores, the seconds from the cache, and the memory of both as a ratio to the
bytes of the decoded images, looked at in a round of its own. Writes benchmarks/results/decode.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness

LOOP, NEW, CACHED = "PIL, one core", "sconv, new cache", "sconv, from the cache"


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = harness.arguments(__doc__, rounds=5)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=(LOOP, NEW, CACHED), help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(_loop(arguments) if arguments.way == LOOP else _sconv(arguments)))
        return
    memory, *timed = [_round(arguments.folder, looking=number == 0) for number in range(arguments.rounds + 1)]
    cores = len(os.sched_getaffinity(0))
    rows = {}
    for way in (LOOP, NEW, CACHED):
        seconds = [one[way]["seconds"] for one in timed]
        parts = [one[way]["seconds"] / (one[LOOP]["seconds"] / cores) for one in timed]
        rows[way] = {"seconds": statistics.median(seconds), "ratio": statistics.median(parts), **memory[way]["memory"]}
    rows = harness.rounded(rows)
    harness.show(f"{memory[LOOP]['images']:,} images", rows)
    harness.write("decode", arguments.rounds, {}, ways=rows)


def _round(folder: Path, looking: bool) -> dict[str, dict[str, Any]]:
    """Each way once; what it took."""
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        for way in (LOOP, NEW, CACHED):
            command = [sys.executable, "-m", "benchmarks.decode", str(folder), "--way", way, "--cache", cache]
            told = subprocess.run([*command, *["--memory"] * looking], stdout=subprocess.PIPE, check=True)
            found[way] = json.loads(told.stdout)
    return found


def _loop(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    from PIL import Image

    with _Memory(arguments.memory) as memory:
        began = time.perf_counter()
        images = []
        for directory, _, names in os.walk(arguments.folder):
            for name in names:
                with Image.open(os.path.join(directory, name)) as image:
                    images.append(np.asarray(image.convert("RGB")))
        whole = np.stack(images)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "images": len(whole), "memory": memory.told(whole.nbytes)}


def _sconv(arguments: argparse.Namespace) -> dict[str, Any]:
    import joblib  # noqa: F401  imports are no decoding, here as in the loop
    import rich.progress  # noqa: F401

    from sconv.datasets import image_folder

    with _Memory(arguments.memory) as memory:
        began = time.perf_counter()
        data = image_folder.load(str(arguments.folder), cache=arguments.cache)
        seconds = time.perf_counter() - began
        parts = [part.images for part in (data.train, data.test)]
        for images in parts:
            images.sum()  # have every page of the cache in memory
    return {"seconds": seconds, "images": sum(map(len, parts)), "memory": memory.told(sum(one.nbytes for one in parts))}


class _Memory:
    """The most that this process, and apart from it its workers, had in memory beyond what it began with."""

    def __init__(self, looking: bool):
        self._before, self._own, self._workers = _resident(psutil.Process()), 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch) if looking else None

    def __enter__(self) -> _Memory:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(0.2)  # and once more after the end
            self._own = max(self._own, _resident(psutil.Process()))
            self._workers = max(self._workers, sum(map(_resident, psutil.Process().children(recursive=True))))

    def told(self, decoded: int) -> dict[str, float]:
        """Both, as ratios to the bytes decoded."""
        return {"memory": (self._own - self._before) / decoded, "workers": self._workers / decoded}


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
