"""Image files, decoded once by all cores into a cache that is mapped into memory afterwards."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks
from sconv.datasets.building import from_labels, image_decoding, keras_downloads

log = logging.getLogger(__name__)

FORMAT = 2  # of the cache; part of its key
CHUNK = 500  # files a task: large enough to cost nothing, small enough for a bar that moves
SHOWN = 5  # bad files that an error names; the others are counted


def decode(
    source: str,
    root: Path,
    files: Sequence[str],
    *,
    size: Sequence[int] | None,
    channels: int,
    bad_files: str,
    cache: str | None,
    strays: Iterable[tuple[str, str]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Decode `files`, relative to `root`, or take them from the cache.

    Returns images [count, height, width, channels] in uint8, and the places their files had in the list. The cache's
    key is made of the settings and of the files' names, sizes and times of change, those of the kernel among them,
    which no tool sets back. `strays` are further files that do not belong, with the reason. What cannot be used is an
    error that names it, or is left out with a warning where `bad_files` is skip; the log has all of them. Raises
    DataError or SettingError.
    """
    checks.choice("bad_files", bad_files, ("error", "skip"))
    checks.choice("channels", channels, (1, 3))
    sides = None if size is None else from_labels.height_and_width(size)
    home = keras_downloads.home() / "datasets" / "sconv" if cache is None else Path(cache).expanduser()
    folder = home / f"{root.resolve().name}-{_key(root, files, sides, channels)}"
    try:
        images, notes = _read(folder)
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        _build(folder, source, root, files, sides, channels)
        images, notes = _read(folder)
    _check_bad_files(source, [*((files[row], reason) for row, reason in notes["bad"]), *strays], bad_files)
    if channels == 3 and (grey := notes["grey"]):
        some = f"{grey} of {len(images)} images are greyscale; they get three equal channels"
        every = "all images are greyscale; dataset.channels=1 needs a third of the memory"
        log.warning("dataset %s: %s", source, every if grey == len(images) else some)
    return images, np.delete(np.arange(len(files)), [row for row, _ in notes["bad"]])


def _key(root: Path, files: Sequence[str], sides: tuple[int, int] | None, channels: int) -> str:
    told = [repr((FORMAT, sides, channels))]
    folder = os.fspath(root)
    for file in files:
        try:
            state = os.stat(os.path.join(folder, file))
            told.append(f"{file}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}")
        except OSError:
            told.append(file)
    return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()[:20]


def _read(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    return np.load(folder / "images.npy", mmap_mode="r"), json.loads((folder / "notes.json").read_text())


def _build(
    folder: Path, source: str, root: Path, files: Sequence[str], sides: tuple[int, int] | None, channels: int
) -> None:
    """Write the cache in one move: it is complete or absent, also where two runs build it at the same time."""
    height, width = sides or image_decoding.first_size(root / file for file in files) or (1, 1)
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        bad, grey = _decode_all(temporary, root, files, (height, width, channels), resize=sides is not None)
        _drop(temporary / "images.npy", [row for row, _ in bad])
        (temporary / "notes.json").write_text(json.dumps({"bad": bad, "grey": grey}))
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    except image_decoding.OtherSizeError as error:
        differ = f"the images of {source} differ in size ({error}, others {height}x{width})"
        raise checks.SettingError(f"size: got None, but {differ}: set size=[height, width]") from None
    except PermissionError as error:
        raise checks.SettingError(f"cache: cannot write {folder.parent}: set cache to a folder of your own") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode_all(
    temporary: Path, root: Path, files: Sequence[str], shape: tuple[int, int, int], resize: bool
) -> tuple[list[tuple[int, str]], int]:
    """Fill images.npy; returns the bad rows with their reasons, and the number of greyscale images."""
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    out = temporary / "images.npy"
    np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(files), *shape)).flush()
    tasks = [
        delayed(image_decoding.fill)(out, root, files[row : row + CHUNK], row, resize)
        for row in range(0, len(files), CHUNK)
    ]
    # Processes: a small JPEG spends most of its time in Python, where threads wait for each other.
    jobs = 1 if len(tasks) < 3 else -1
    # One task at a time: no batch to wait for at the end.
    done = Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")(tasks)
    title, console = f"decoding {len(files):,} images", Console()
    chunks = track(done, title, len(tasks), console=console, transient=True, disable=not console.is_terminal)
    told = list(chunks)  # of no files, nothing
    return sorted(row for bad, _ in told for row in bad), sum(grey for _, grey in told)


def _drop(file: Path, rows: Sequence[int]) -> None:
    """Leave rows out of an .npy file, a stretch at a time, so that the file is never in memory."""
    if not rows:
        return
    whole = np.load(file, mmap_mode="r")
    kept = np.setdiff1d(np.arange(len(whole)), rows)
    short = file.with_name("kept.npy")
    to = np.lib.format.open_memmap(short, mode="w+", dtype=whole.dtype, shape=(len(kept), *whole.shape[1:]))
    for first in range(0, len(kept), CHUNK):
        to[first : first + CHUNK] = whole[kept[first : first + CHUNK]]
    to.flush()
    os.replace(short, file)


def _check_bad_files(source: str, bad: Sequence[tuple[str, str]], bad_files: str) -> None:
    if not bad:
        return
    named = ", ".join(f"{file} ({reason})" for file, reason in bad[:SHOWN])
    named += f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    for file, why in bad[SHOWN:]:
        log.info("dataset %s: cannot be used: %s (%s)", source, file, why)
    if bad_files == "error":
        mend = "mend or delete what is named, or set dataset.bad_files=skip"
        raise checks.DataError(f"dataset {source}: {len(bad)} cannot be used: {named}; {mend}")
    log.warning("dataset %s: %d left out: %s", source, len(bad), named)
