"""Images in a folder a class, with folders for train and test above them or without."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sconv import checks
from sconv.datasets.building import from_labels, image_cache, inside
from sconv.datasets.dataset import Dataset

# What people call the folders of the splits.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "dev", "eval", "evaluation", "validation"), "validation"),
}
# What desktops leave behind, beside any name that begins with a dot.
LITTER = ("thumbs.db", "desktop.ini", "__macosx")


def load(
    path: str,
    size: Sequence[int] | None = None,
    channels: int = 3,
    test_share: float = 0.2,
    bad_files: str = "error",
    cache: str | None = None,
) -> Dataset:
    """Load path/<class>/**, or path/train/<class>/** and path/test/<class>/** (and validation, alone or as a third).

    Images of any format that PIL reads become uint8 of `size` [height, width] (None: all have one size already) and of
    1 or 3 `channels`. Without a folder for the test, `test_share` of the images are held out, stratified. Files that
    are no image, or a broken one, are an error, or left out where `bad_files` is skip. Decoded once into `cache`, by
    default datasets/sconv in Keras's folder. A class of the test that train lacks, and a folder beside train that names
    no split, count as bad files too. Raises DataError or SettingError.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise checks.DataError(f"dataset image_folder: {root} is no folder, expected one with a folder for each class")
    found: list[tuple[str, str, str]] = []  # split, class, file
    splits, strays = _splits(root)
    for part, folder in splits.items():
        images, foreign = _walk(root, folder)
        found += [(part, name, file) for name, file in images]
        strays += foreign
    if not found:
        raise checks.DataError(
            f"dataset image_folder: {root} has no images in folders, expected {root}/<class>/<image>"
        )
    parts, classes, files = zip(*found, strict=True)
    decoded, rows = image_cache.decode(
        "image_folder", root, files, size=size, channels=channels, bad_files=bad_files, cache=cache, strays=strays
    )
    split = from_labels.divided(decoded, np.array(classes)[rows], np.array(parts)[rows])
    return from_labels.dataset(root.resolve().name, split, None, test_share, bad_files)


def _splits(root: Path) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """The folders of the splits and what lies beside them; or the root as the training split.

    A folder called train that has folders in it holds classes and is none, whatever lies beside it.
    """
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not _litter(entry.name)]
    parts = [SPLITS.get(folder.name.lower()) for folder in folders]
    train = [folder for folder, part in zip(folders, parts, strict=True) if part == "train"]
    if links := [folder.name for folder, part in zip(folders, parts, strict=True) if part and folder.is_symlink()]:
        raise checks.DataError(f"dataset image_folder: {root}: {links[0]} is {inside.A_LINK}")
    if not train or not (all(parts) or any(entry.is_dir() for entry in train[0].iterdir())):
        return {"train": root}, []
    splits: dict[str, Path] = {}
    strays: list[tuple[str, str]] = []
    for part, folder in zip(parts, folders, strict=True):
        if part in splits:
            raise checks.DataError(
                f"dataset image_folder: {root} has {splits[part].name} and {folder.name}, expected one {part} folder"
            )
        if part is None:
            strays.append((folder.name + os.sep, f"beside {train[0].name}, but called neither test nor validation"))
        else:
            splits[part] = folder
    return splits, strays


def _walk(root: Path, folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The class and the path of each file below the class folders, and what lies beside them."""
    images: list[tuple[str, str]] = []
    strays: list[tuple[str, str]] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _litter(entry.name):
            continue
        if not entry.is_dir() or entry.is_symlink():
            what = inside.A_LINK if entry.is_symlink() else "in no class folder"
            strays.append((os.path.relpath(entry.path, root), what))
            continue
        before, real = len(images), os.path.realpath(entry.path)
        for directory, folders, names in os.walk(entry.path):
            at = os.path.relpath(directory, root)
            kept, folders[:] = ([name for name in sorted(each) if not _litter(name)] for each in (names, folders))
            links = [name for name in (*kept, *folders) if inside.leads_out(os.path.join(directory, name), real)]
            strays += [(os.path.join(at, name), inside.A_LINK) for name in links]
            images += [(entry.name, os.path.join(at, name)) for name in kept if name not in links]
        if len(images) == before:
            strays.append((os.path.relpath(entry.path, root) + os.sep, "an empty folder"))
    return images, strays


def _litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER
