"""A folder of images, as people have them: every layout and format, and an answer to each kind of bad file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sconv import checks
from sconv.datasets import image_csv, image_folder
from sconv.datasets.building import image_cache, image_decoding

COLOURS = {"red": (200, 10, 10), "green": (10, 200, 10), "blue": (10, 10, 200)}


def save(path, colour=(200, 10, 10), size=(8, 6), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Ten images of 6x8 in each of three classes, in four formats, names and folders as they come."""
    for name, colour in COLOURS.items():
        for number, ending in enumerate(["png", "JPG", "jpeg", "PNG", "bmp", "jpg", "Png", "webp", "gif", "JPEG"]):
            inside = "more" if number == 3 else "."
            save(tmp_path / "images" / name / inside / f"Pic {number}.{ending}", colour)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    (tmp_path / "keras").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def load(folder, **settings):
    return image_folder.load(str(folder), **settings)


def refused(folder, error=checks.DataError, **settings):
    with pytest.raises(error) as caught:
        load(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def colours_are_right(dataset, split):
    expected = np.array([COLOURS[dataset.class_names[label]] for label in split.labels])
    return np.abs(split.images.astype(int).mean(axis=(1, 2)) - expected).max() < 12


def test_without_splits_a_stratified_share_is_held_out(folder):
    found = load(folder)
    assert found.class_names == ("blue", "green", "red")
    assert found.input_shape == (6, 8, 3)
    assert found.train.images.dtype == np.uint8
    assert np.bincount(found.train.labels).tolist() == [8, 8, 8]
    assert np.bincount(found.test.labels).tolist() == [2, 2, 2]
    assert colours_are_right(found, found.train)
    assert colours_are_right(found, found.test)
    assert np.bincount(load(folder, test_share=0.5).test.labels).tolist() == [5, 5, 5]


def test_folders_for_the_splits(folder, tmp_path):
    root = tmp_path / "root"
    for part, names in (("Train", ("red", "green")), ("TEST", ("red",)), ("val", ("green",))):
        for name in names:
            save(root / part / name / "1.png", COLOURS[name])
    found = load(root)
    assert found.class_names == ("green", "red")
    assert found.train.labels.tolist() == [0, 1]
    assert found.test.labels.tolist() == [1]
    assert found.validation.labels.tolist() == [0]
    for split in (found.train, found.test, found.validation):
        assert colours_are_right(found, split)
    for part in root.glob("TEST/*/*"):
        part.unlink()
    (root / "TEST" / "red").rmdir()
    (root / "TEST").rmdir()
    assert load(root).test.labels.tolist() == [0]
    assert load(root).validation is None


def test_sizes_differ_and_are_resized(folder):
    save(folder / "red" / "large.jpg", COLOURS["red"], size=(400, 300))
    message = refused(folder, checks.SettingError)
    assert "differ in size" in message
    assert "large.jpg has 300x400, others 6x8" in message
    assert "size=[height, width]" in message
    found = load(folder, size=[5, 4])
    assert found.input_shape == (5, 4, 3)
    assert colours_are_right(found, found.train)


def test_resizing_averages_what_it_leaves_out(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    for name in ("a", "b"):
        (tmp_path / "s" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(stripes).save(tmp_path / "s" / name / f"{number}.png")
    assert np.abs(load(tmp_path / "s", size=[8, 8]).train.images.astype(int) - 100).max() < 15


def test_upright_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    halves = np.zeros((8, 16, 3), np.uint8)
    halves[:, :8] = 255
    for name in ("a", "b"):
        (tmp_path / "s" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(halves).save(tmp_path / "s" / name / f"{number}.jpg", exif=exif)
    (image, *_) = load(tmp_path / "s").train.images
    assert image.shape == (16, 8, 3)
    assert image[:7].mean() > 240
    assert image[9:].mean() < 15


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_every_mode_becomes_the_channels_wanted(tmp_path, mode):
    ending = "jpg" if mode == "CMYK" else "png"
    for name in ("a", "b"):
        for number in range(2):
            save(tmp_path / "m" / name / f"{number}.{ending}", (255, 255, 255), mode=mode)
    for channels in (3, 1):
        found = load(tmp_path / "m", channels=channels)
        assert found.input_shape == (6, 8, channels)
        assert found.train.images.min() > 245


def test_transparent_is_white(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "t" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "t" / name / f"{number}.png")
    assert load(tmp_path / "t").train.images.min() == 255


def test_greyscale_among_colour_is_told(folder, caplog):
    for path in list((folder / "red").glob("*.png"))[:1]:
        save(path, mode="L")
    found = load(folder)
    assert "1 of 30 images are greyscale; they get three equal channels" in caplog.text
    grey = (found.train.images == found.train.images[..., :1]).all(axis=(1, 2, 3)).sum()
    assert grey + (found.test.images == found.test.images[..., :1]).all(axis=(1, 2, 3)).sum() == 1


@pytest.fixture
def spoiled(folder):
    """The folder with one file of each kind that cannot be used; litter of a desktop does not count."""
    (folder / "red" / "notes.txt").write_text("to do")
    (folder / "red" / "empty.png").touch()
    whole = (folder / "green" / "Pic 5.jpg").read_bytes()
    (folder / "green" / "cut.jpg").write_bytes(whole[: len(whole) - 60])
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(folder / "blue" / "deep.png")
    (folder / "README.md").write_text("my images")
    (folder / "purple").mkdir()
    (folder / "red" / ".DS_Store").write_text("litter")
    (folder / "red" / "Thumbs.db").write_text("litter")
    return folder


def test_bad_files_are_named(spoiled, monkeypatch):
    monkeypatch.setattr(image_cache, "SHOWN", 10)
    message = refused(spoiled)
    assert message.startswith("dataset image_folder: 6 cannot be used: ")
    for name, reason in (
        ("README.md", "in no class folder"),
        ("purple/", "an empty folder"),
        ("red/notes.txt", "not an image"),
        ("red/empty.png", "empty"),
        ("green/cut.jpg", "truncated"),
        ("blue/deep.png", "not 8 bits a channel"),
    ):
        assert name in message
        assert reason in message.partition(name)[2].partition(")")[0].lower()
    assert message.endswith("set dataset.bad_files=skip")
    monkeypatch.setattr(image_cache, "SHOWN", 2)
    assert "and 4 more" in refused(spoiled)  # this time from the cache


def test_bad_files_are_left_out_on_request(spoiled, caplog):
    found = load(spoiled, bad_files="skip", test_share=0.5)
    assert found.class_names == ("blue", "green", "red")
    assert np.bincount(np.concatenate([found.train.labels, found.test.labels])).tolist() == [10, 10, 10]
    assert colours_are_right(found, found.train)
    assert colours_are_right(found, found.test)
    assert "6 left out" in caplog.text
    assert "red/notes.txt" in caplog.text
    assert refused(spoiled).startswith("dataset image_folder: 6 cannot be used")  # the cache forgets none


def test_one_class_only(folder):
    for name in ("red", "green"):
        for path in sorted((folder / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / name).rmdir()
    assert "got one class only (blue), expected at least two" in refused(folder)


def test_a_class_in_test_that_train_lacks(tmp_path, caplog):
    for part, names in (("train", ("red", "green")), ("test", ("red", "blue"))):
        for name in names:
            save(tmp_path / "root" / part / name / "1.png", COLOURS[name])
    message = refused(tmp_path / "root")
    assert "test has classes that are not in train: blue; expected green, red; " in message
    assert message.endswith("or set dataset.bad_files=skip")
    found = load(tmp_path / "root", bad_files="skip")
    assert found.class_names == ("green", "red")
    assert found.test.labels.tolist() == [1]
    assert colours_are_right(found, found.test)
    assert "1 of test left out, of classes that are not in train: blue" in caplog.text


@pytest.mark.parametrize("beside", ["extra", "__MACOSX"])
def test_a_folder_beside_train_is_no_class(tmp_path, beside):
    for part in ("train", "test", beside):
        for name in ("red", "green"):
            save(tmp_path / "root" / part / name / "1.png", COLOURS[name])
    if beside == "extra":
        assert "extra/ (beside train, but called neither test nor validation)" in refused(tmp_path / "root")
    found = load(tmp_path / "root", bad_files="skip")
    assert found.class_names == ("green", "red")
    assert len(found.train) == len(found.test) == 2


def test_splits_without_classes_twice_and_a_class_called_train(tmp_path):
    for name in ("train", "test"):
        save(tmp_path / "flat" / name / "1.png")
    assert "expected" in refused(tmp_path / "flat")
    for part in ("train", "val", "validation"):
        save(tmp_path / "twice" / part / "red" / "1.png")
    assert "has val and validation, expected one validation folder" in refused(tmp_path / "twice")
    for name in ("train", "bus"):
        for number in range(3):
            save(tmp_path / "vehicles" / name / f"{number}.png")
    assert load(tmp_path / "vehicles").class_names == ("bus", "train")


def test_no_folder_no_images_and_bad_settings(folder, tmp_path):
    assert "is no folder" in refused(tmp_path / "absent")
    (tmp_path / "nothing").mkdir()
    assert "has no images in folders" in refused(tmp_path / "nothing")
    for settings in (
        {"size": 32},
        {"size": [32]},
        {"size": [0, 8]},
        {"channels": 4},
        {"bad_files": "ignore"},
        {"test_share": 1},
        {"test_share": 0},
    ):
        message = refused(folder, (checks.SettingError, checks.SettingTypeError), **settings)
        assert message.startswith(next(iter(settings)))
        assert "expected" in message


def decodes(monkeypatch):
    """Counts the calls that decode, from now on."""
    calls = []
    original = image_decoding.fill
    monkeypatch.setattr(image_decoding, "fill", lambda *args: calls.append(args) or original(*args))
    return calls


def test_decoded_once_for_the_same_files_and_settings(folder, monkeypatch):
    calls = decodes(monkeypatch)
    first = load(folder)
    assert len(calls) == 1
    second = load(folder, test_share=0.4)
    assert len(calls) == 1
    assert len(second.test) == 12
    load(folder, channels=1)
    load(folder, size=[3, 3])
    assert len(calls) == 3
    moved = folder.rename(folder.with_name("elsewhere"))
    moved.rename(folder)
    assert np.array_equal(load(folder).train.images, first.train.images)
    assert len(calls) == 3
    changed = folder / "red" / "Pic 0.png"
    save(changed, (0, 0, 0))
    assert load(folder, test_share=0.04).train.images.min() == 0
    assert len(calls) == 4
    os.utime(changed, ns=(1, 1))
    load(folder)
    save(folder / "red" / "new.png")
    load(folder)
    assert len(calls) == 6
    before = changed.stat()
    pixels = bytearray(changed.read_bytes())
    pixels[-20] ^= 1
    changed.write_bytes(pixels)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a tool that keeps times does
    with pytest.raises(checks.DataError, match="Pic 0"):
        load(folder)
    assert len(calls) == 7


def test_a_damaged_cache_is_built_again_and_an_interrupted_one_leaves_nothing(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = load(folder, cache=str(cache)).train.images.copy()
    (entry,) = cache.iterdir()
    (entry / "images.npy").write_bytes(b"half")
    assert np.array_equal(load(folder, cache=str(cache)).train.images, first)
    (entry / "notes.json").unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_decoding, "fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(folder, cache=str(cache))
    assert list(cache.iterdir()) == []
    assert np.array_equal(load(folder, cache=str(cache)).train.images, first)


def test_by_default_the_cache_is_in_the_folder_of_keras(folder, tmp_path):
    load(folder)
    (entry,) = (tmp_path / "keras" / "datasets" / "sconv").iterdir()
    assert entry.name.startswith("images-")


def test_many_files_are_decoded_by_several_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "CHUNK", 7)
    for number in range(60):
        save(tmp_path / "many" / "ab"[number % 2] / f"{number:02}.png", (4 * number, 0, 0))
    (tmp_path / "many" / "a" / "08.png").write_text("broken")
    found = load(tmp_path / "many", bad_files="skip", test_share=0.02)
    seen = np.concatenate([found.train.images, found.test.images])[:, 0, 0, 0].tolist()
    assert sorted(seen) == [4 * number for number in range(60) if number != 8]
    assert ((found.train.images[:, 0, 0, 0] // 4 % 2) == found.train.labels).all()


def test_workers_do_not_run_the_script_that_asked_again(tmp_path):
    """As people write scripts: without a guard on __name__, and with imports that take seconds each time."""
    for number in range(60):
        save(tmp_path / "many" / "ab"[number % 2] / f"{number:02}.png")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from sconv.datasets import image_folder\n"
        "from sconv.datasets.building import image_cache\n"
        "image_cache.CHUNK = 7\n"
        "print('ran')\n"
        f"print(len(image_folder.load({str(tmp_path / 'many')!r}).train))\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ran\n48\nFalse\n", "")


# --- images with a CSV of labels -----------------------------------------------------------------------------------


@pytest.fixture
def table(folder, tmp_path):
    rows = ["file,kind,part"]
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        part = ("train", "Test", "val")[number % 3]
        rows.append(f"{path.relative_to(tmp_path)},{path.relative_to(folder).parts[0]},{part}")
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


NAMES = {"image_column": "file", "label_column": "kind"}


def test_a_csv_of_labels(table, tmp_path):
    found = image_csv.load(str(table), **NAMES)
    assert found.class_names == ("blue", "green", "red")
    assert (len(found.train), len(found.test)) == (24, 6)
    assert colours_are_right(found, found.train)
    split = image_csv.load(str(table), split_column="part", **NAMES)
    assert [len(part) for part in (split.train, split.test, split.validation)] == [10, 10, 10]
    assert all(colours_are_right(split, part) for part in (split.train, split.test, split.validation))
    moved = tmp_path / "tables" / "labels.csv"
    moved.parent.mkdir()
    moved.write_text(table.read_text().replace("\n", "\n\n"), encoding="utf-8-sig")  # as spreadsheets save them
    assert len(image_csv.load(str(moved), images=str(tmp_path), **NAMES).train) == 24


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda text: text, {}, "has no column image, label, only file, kind, part"),
        (lambda text: text.replace(",red,", ",,"), NAMES, "has an empty cell in line 22"),
        (lambda text: "file,kind\n", NAMES, "has no rows"),
        (lambda text: "", NAMES, "has no column file, kind, only no line"),
        (lambda text: text.replace("images", '"images', 1), NAMES, "cannot read"),
        (lambda text: text.replace(",red,", ",red,,", 1), NAMES, "has more cells than columns in line 22"),
        (lambda text: text.replace("Pic 1", "Pic one", 1), NAMES, r"Pic one.JPG \(missing\)"),
        (lambda text: text.replace("Test", "later"), {**NAMES, "split_column": "part"}, "has 'later', expected one of"),
        (lambda text: text.replace("train", "test"), {**NAMES, "split_column": "part"}, "names no training images"),
    ],
)
def test_a_csv_that_will_not_do(table, change, settings, said):
    table.write_text(change(table.read_text()))
    with pytest.raises(checks.DataError, match=said) as caught:
        image_csv.load(str(table), **settings)
    assert "\n" not in str(caught.value)
    assert Path(table).name in str(caught.value) or "cannot be used" in str(caught.value)


def test_a_csv_of_numbers_for_labels_and_what_is_seldom_meant(tmp_path, caplog):
    rows = ["image,label,part"]
    for number in range(24):
        save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{number % 12},train")
    rows += ["0.png,0,test", "1.png,1,test"]
    file = tmp_path / "numbers.csv"
    file.write_text("\n".join(rows))
    found = image_csv.load(str(file), split_column="part")
    assert found.class_names == tuple(map(str, range(12)))
    assert found.train.labels.tolist() == [number % 12 for number in range(24)]
    assert "lists images again, in 2 rows" in caplog.text
    assert "is not used" not in caplog.text
    image_csv.load(str(file), test_share=0.5)
    assert "dataset.split_column=part does" in caplog.text


@pytest.mark.parametrize("fault", [MemoryError(), AttributeError("no such method"), NameError("typo")], ids=repr)
def test_a_fault_of_ours_is_no_bad_file(tmp_path, monkeypatch, fault):
    def decode(*_):
        raise fault

    np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.uint8, (1, 2, 2, 3)).flush()
    monkeypatch.setattr(image_decoding, "decode", decode)
    with pytest.raises(type(fault)):
        image_decoding.fill(tmp_path / "rows.npy", tmp_path, ["a.png"], 0, False)
    monkeypatch.setattr(image_decoding.Image, "open", decode)
    (tmp_path / "a.png").touch()
    with pytest.raises(type(fault)):
        image_decoding.first_size([tmp_path / "a.png"])
