"""A checkpoint as one file: plain values and arrays, complete or absent, and nothing in it that could be executed.

The file is an uncompressed .npz: member `values` is JSON, the numbered members are its arrays. Its comment is the
SHA-256 of all the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sconv import checks
from sconv.datasets.building import inside

_VALUES = "values"
_ARRAY = "array"  # the key of the mapping that stands for an array; it has "dtype" beside it
# What reading odd values raises.
_ODD = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, MemoryError)
_NAME = re.compile(r"(\d+)-(\d+)\.npz")


class Position(NamedTuple):
    """How far training was: epochs completed, and batches of the one under way."""

    epoch: int
    batch: int

    @property
    def file_name(self) -> str:
        """Names sort as positions do."""
        return f"{self.epoch:06d}-{self.batch:08d}.npz"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested mappings and lists of plain values and arrays; what was at `path` is replaced in one move.

    File and directory are on the disk when it returns. Raises DataError where they cannot be written.
    """
    content = _packed(state)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise checks.DataError(f"checkpoint: cannot write {path}: {error.strerror or error}") from error


def load(path: Path, check: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """What `save` wrote; DataError where a single bit of it is another, where it was never ours, or fails the `check`.

    `check` raises where a value is missing, or is of another kind: a sum of a file tells nothing of who wrote it.
    """
    try:
        with inside.opened(path) as file:
            content = file.readall()
    except OSError as error:
        raise checks.DataError(f"checkpoint: cannot read {path}: {error.strerror or error}") from error
    with understood(path):
        state = _unpacked(content)
        if check is not None:
            check(state)
        return state


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Tell of what is missing in a checkpoint, or is of another kind, as of a damaged one."""
    try:
        yield
    except checks.UserError:
        raise
    except (*_ODD, zipfile.BadZipFile) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise checks.DataError(f"checkpoint: {path} is damaged ({why})") from error


def listed(directory: Path) -> list[tuple[Position, Path]]:
    """The checkpoints in a directory, earliest position first."""
    if not directory.is_dir():
        return []
    found = [(_NAME.fullmatch(path.name), path) for path in directory.iterdir()]
    return sorted((Position(int(match[1]), int(match[2])), path) for match, path in found if match)


def newest(directory: Path, check: Callable[[Any], None] | None = None) -> tuple[Path, dict[str, Any]] | None:
    """The last checkpoint that can be read, with one warning where later ones cannot; None where there are none.

    One that fails the `check` cannot. Raises DataError where there are some and none can be read.
    """
    trouble: checks.DataError | None = None
    for _, path in reversed(listed(directory)):
        try:
            state = load(path, check)
        except checks.DataError as error:
            trouble = trouble or error
            continue
        if trouble is not None:
            warnings.warn(f"{trouble}; going on from the one before, {path.name}", stacklevel=2)
        return path, state
    if trouble is not None:
        raise checks.DataError(f"{trouble}, and so is every other in {directory}: remove them to begin anew")
    return None


def prune(directory: Path, at: Position, keep: int, best: str | None) -> None:
    """Remove all but the last `keep` up to `at` and the one named `best`, and what a kill left half written.

    What lies after `at` was damaged, or belongs to a training that went another way.
    """
    kept = [path.name for position, path in listed(directory) if position <= at][-keep:]
    for path in directory.iterdir():
        half = path.name.startswith(".") and _NAME.fullmatch(path.name[1:].removesuffix(".tmp"))
        if half or (_NAME.fullmatch(path.name) and path.name not in (*kept, best)):
            path.unlink(missing_ok=True)


def _packed(state: Mapping[str, Any]) -> bytes:
    arrays: list[np.ndarray] = []
    values = json.dumps(_without_arrays(state, arrays)).encode()
    buffer = io.BytesIO()
    members = {str(number): array for number, array in enumerate(arrays)}
    np.savez(buffer, allow_pickle=False, **{_VALUES: np.frombuffer(values, np.uint8), **members})
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    # The last two bytes of a zip file are the length of its comment, so far none.
    return content[:-2] + len(digest).to_bytes(2, "little") + digest


def _unpacked(content: bytes) -> dict[str, Any]:
    bare, digest = content[:-66] + b"\0\0", content[-64:]
    if hashlib.sha256(bare).hexdigest().encode() != digest:
        raise ValueError("its checksum is not that of its content")
    with zipfile.ZipFile(io.BytesIO(bare)) as members:
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
            raise ValueError("it is compressed")  # and may be of any size
    with np.load(io.BytesIO(bare), allow_pickle=False) as stored:
        return _with_arrays(json.loads(stored[_VALUES].tobytes()), stored)


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` as JSON has it; its arrays are appended to `arrays`."""
    if isinstance(value, Mapping):
        return {str(key): _without_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(each, arrays) for each in value]
    if isinstance(value, np.ndarray):
        # Types that are not NumPy's own, such as bfloat16, would come back as bytes without a meaning.
        arrays.append(value.view(f"u{value.itemsize}") if value.dtype.kind == "V" else value)
        return {_ARRAY: len(arrays) - 1, "dtype": value.dtype.name}
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, stored: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(each, stored) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY, "dtype"}:
        array = stored[str(value[_ARRAY])]
        # The names of types that are not NumPy's own are known once TensorFlow is imported.
        return array if array.dtype.name == value["dtype"] else array.view(value["dtype"])
    return {key: _with_arrays(each, stored) for key, each in value.items()}


def _sync(directory: Path) -> None:
    """Have the disk know the file's new name too."""
    with contextlib.suppress(PermissionError):  # Windows opens no directories
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
