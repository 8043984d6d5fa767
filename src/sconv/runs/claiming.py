"""Whose a run directory is: taken once, and never written over."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from sconv import checks
from sconv.runs import bounded
from sconv.runs.files import read_facts
from sconv.runs.reading import alive
from sconv.runs.settings import NAME, Settings, write_settings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SETTINGS = ".hydra"
_OF_A_RUN = frozenset({"summary.json", "steps.csv", "model.keras"})
# What is to become _SETTINGS, until it is complete.
_CLAIMS = ".hydra.*.tmp"
# All that a try at a job may have left, besides its settings and its log.
_LEFT = (
    *("summary.json", "steps.csv", "epochs.csv", "model.keras", ".saving.keras", ".*.json.tmp"),
    *("lr_find.*", "range_grid.*", "schedule.*", "evaluation.json", "classes.csv", "confusion.*", "predictions.csv"),
    *(f"{part}events.out.tfevents.*" for part in ("", "train/", "validation/", "test/")),
    *("checkpoints/*.npz", "checkpoints/.*.npz.tmp"),
)


class DirectoryTakenError(checks.SettingError):
    """A directory that holds a run already."""


def holding(directory: Path) -> Path | None:
    """The first directory at or below this one that holds a run, finished or not; None where there is none."""
    for path, folders, files in os.walk(directory):
        if _SETTINGS in folders or not _OF_A_RUN.isdisjoint(files):
            return Path(path)
    return None


def check_free(setting: str, directory: Path) -> None:
    """Raise DirectoryTakenError, about `setting`, where the directory holds a run, or one below it."""
    if (held := holding(directory)) is not None:
        raise DirectoryTakenError(_taken(setting, directory, held))


def claim(
    setting: str, directory: Path, texts: Mapping[str, str], record: Settings | None, resumed: bool = False
) -> None:
    """Make the directory this run's own, with `texts` (by their names) for its .hydra/ and `record` as settings.json.

    Raises DirectoryTakenError, about `setting`, where it holds a run or one below it, and leaves all as it is. Where a
    sweep is `resumed`, an unfinished try at this very job, known by its overrides.yaml, makes way: its own files alone.
    A kill leaves a directory that is free, or one that `settled` makes whole.
    """
    again = resumed and is_unfinished_try(directory, texts["overrides.yaml"])
    if again:
        clear(directory)
    else:
        check_free(setting, directory)
    made = directory / _CLAIMS.replace("*", uuid.uuid4().hex)
    made.mkdir(parents=True)
    for name, text in texts.items():
        (made / name).write_text(text, encoding="utf-8")
    if record is not None:
        write_settings(made, record)
    try:
        _take(made, directory / _SETTINGS, again)
    except OSError as error:
        shutil.rmtree(made)
        if not (directory / _SETTINGS).is_dir():
            raise
        raise DirectoryTakenError(_taken(setting, directory, directory)) from error
    settled(directory)


def _take(made: Path, settings: Path, again: bool) -> None:
    if again:
        for path in list(made.iterdir()):
            os.replace(path, settings / path.name)
    else:
        # One call that makes it or fails, whole: of two jobs that come at once, one has it.
        os.rename(made, settings)


def settled(directory: Path) -> None:
    """End what a kill may have left half done of a claim."""
    if (directory / _SETTINGS / NAME).is_file():
        os.replace(directory / _SETTINGS / NAME, directory / NAME)
    for left in directory.glob(_CLAIMS):
        shutil.rmtree(left, ignore_errors=True)


def clear(directory: Path) -> None:
    """Remove what a try at a run has left, besides its settings and its log: its own files alone."""
    for path in (path for pattern in _LEFT for path in directory.glob(pattern)):
        path.unlink()


@contextlib.contextmanager
def held(setting: str, directory: Path) -> Iterator[None]:
    """Keep every other process off a run directory; the system lets go of it for a process that dies.

    Raises DirectoryTakenError, about `setting`, where another one is at work there.
    """
    handle = os.open(directory, os.O_RDONLY) if fcntl else None
    try:
        if fcntl and handle is not None:
            _lock(setting, directory, handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(setting: str, directory: Path, handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        shown = checks.shown(os.path.relpath(directory))
        raise DirectoryTakenError(f"{setting}: got {shown}, in which another process is at work") from None
    except OSError:  # a file system without locks
        pass


def check_own(setting: str, directory: Path) -> None:
    """Raise SettingError where a directory holds no run of its own: whoever writes there would write elsewhere."""
    if not (directory / ".hydra").is_dir():
        raise checks.SettingError(f"{setting}: got {checks.shown(str(directory))}, expected the directory of a run")
    for folder in (".", ".hydra", "train", "validation", "test", "checkpoints"):
        for path in (directory / folder, *(directory / folder).glob("*")):
            if path != directory and path.is_symlink():
                where = path.relative_to(directory)
                raise checks.SettingError(
                    f"{setting}: got {checks.shown(str(directory))}, where {where} is a link, expected files of its own"
                )


def is_unfinished_try(directory: Path, overrides: str) -> bool:
    """Whether the directory holds a try at this very job, known by its overrides.yaml, that ended before its time."""
    path = directory / _SETTINGS / "overrides.yaml"
    if not path.is_file() or _lines(bounded.text(path)) != _lines(overrides):
        return False
    summary = read_facts(directory, "summary.json") or {}
    return summary.get("status") != "finished" and not alive(summary)


def _lines(overrides: str) -> list[str]:
    return [line for line in overrides.splitlines() if "resume_sweep=" not in line]


def _taken(setting: str, directory: Path, held: Path) -> str:
    where = "a run already" if held == directory else f"a run already, {held.relative_to(directory)}"
    return (
        f"{setting}: got {checks.shown(os.path.relpath(directory))}, which holds {where}, expected a folder with none"
    )
