"""One image file to one array, and a stretch of files to rows of a file: what runs in the worker processes."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sconv.datasets.building import inside

# Of the machine, of this code or of a Pillow that it does not fit, and of no file: never left out with the bad files.
FAULTS = (MemoryError, AttributeError, NameError)
GREY = ("1", "L", "LA", "La")
COLOUR = ("RGB", "RGBA", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


class OtherSizeError(ValueError):
    """An image that would have to be resized where none is, told as <path> has <height>x<width>."""


def fill(out: Path, root: Path, files: Sequence[str], first: int, resize: bool) -> tuple[list[tuple[int, str]], int]:
    """Decode `files` into the rows from `first` on of the .npy file `out`.

    Returns the rows that could not be filled, each with the reason, and the number of greyscale images. Raises
    OtherSizeError where an image is not of the rows' size and may not be resized.
    """
    rows = np.load(out, mmap_mode="r")
    image = np.zeros(rows.shape[1:], rows.dtype)
    folder = os.fspath(root)
    bad: list[tuple[int, str]] = []
    grey = 0
    # Written in order: each page of a new file that is mapped instead costs a fault.
    with open(out, "r+b", buffering=1 << 20) as written, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PIL minds but reads; each error is reported
        written.seek(rows.offset + first * image.nbytes)
        for row, file in enumerate(files, first):
            try:
                grey += decode(os.path.join(folder, file), image, resize)
            except (*FAULTS, OtherSizeError):
                raise
            except Exception as error:  # PIL's plugins raise many kinds
                bad.append((row, reason(root / file, error)))
            written.write(image.data)
    return bad, grey


def first_size(paths: Iterable[Path]) -> tuple[int, int] | None:
    """Height and width of the first file that is an image; None where there is none."""
    for path in paths:
        try:
            with inside.opened(path, inside.LARGEST) as file, Image.open(file) as image:
                width, height = _upright(image).size
                return height, width
        except FAULTS:
            raise
        except Exception:  # named with its reason where it is decoded
            continue
    return None


def decode(path: str, out: np.ndarray, resize: bool) -> bool:
    """Decode one file into `out` [height, width, channels]; returns whether it is greyscale."""
    height, width, channels = out.shape
    mode = "RGB" if channels == 3 else "L"
    # Read whole: PIL reads a header in dozens of small pieces, which takes a tenth longer from an open file.
    # Unbuffered, because a buffer for a single read takes a fiftieth of the time of a small image.
    with inside.opened(path, inside.LARGEST) as file:
        whole = io.BytesIO(file.readall())
    with Image.open(whole) as opened:
        _check_format(opened)
        grey = opened.mode in GREY
        if resize and opened.size != (width, height):
            # A JPEG far larger than wanted is decoded at a half, a quarter or an eighth; twice the size is kept.
            opened.draft(mode, (2 * max(height, width),) * 2)
        image = _in_mode(_upright(opened), mode)
        if image.size != (width, height):
            if not resize:
                raise OtherSizeError(f"{path} has {image.size[1]}x{image.size[0]}")
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        out[...] = np.frombuffer(image.tobytes(), np.uint8).reshape(out.shape)
    return grey


def _check_format(image: Image.Image) -> None:
    if image.format == "EPS":  # which PIL hands to another program, to carry it out
        raise ValueError("EPS is a program and no image")


def _upright(image: Image.Image) -> Image.Image:
    """The image as its camera was held."""
    return ImageOps.exif_transpose(image) if "exif" in image.info else image


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode not in (*GREY, *COLOUR):
        raise ValueError(f"mode {image.mode}: not 8 bits a channel")
    image.load()  # some formats have their palette only then
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def reason(path: Path, error: Exception) -> str:
    """Why a file could not be decoded, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, UnidentifiedImageError):
        return "empty" if path.is_file() and path.stat().st_size == 0 else "not an image"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())[:100] or type(error).__name__
