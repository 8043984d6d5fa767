"""Data folders and files of strangers: nothing outside of them is read, nothing hangs, what is odd has right pixels."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from sconv import checks
from sconv.datasets import image_csv, image_folder, npz

SIZE = (8, 6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six images in each of two classes, beside a secret one."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    for name, shade in (("dark", 10), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", SIZE, (shade + number,) * 3).save(tmp_path / "images" / name / f"{number}.png")
    Image.new("RGB", SIZE, (99, 99, 99)).save(tmp_path / "secret.png")
    return tmp_path / "images"


def bomb(path, side=20_000):
    """A picture of 400 million pixels in some kilobytes."""
    Image.new("1", (side, side)).save(path)


def postscript(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n(sprung) (w) file closefile\nshowpage\n")


BAD_FILES = {
    "a link out": (lambda at: at.symlink_to("../../secret.png"), "a link out of its folder"),
    "a link to another class": (lambda at: at.symlink_to("../light/0.png"), "a link out of its folder"),
    "a link to nowhere": (lambda at: at.symlink_to("../nowhere.png"), "a link out of its folder"),
    "a link to itself": (lambda at: at.symlink_to(at), "Too many levels of symbolic links"),
    "a link round": (lambda at: at.symlink_to("."), "a link out of its folder"),
    "a link to a folder": (lambda at: at.symlink_to("../.."), "a link out of its folder"),
    "a link to a device": (lambda at: at.symlink_to("/dev/zero"), "a link out of its folder"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a large file": (lambda at: at.touch() or os.truncate(at, 1 << 33), "larger than"),
    "a bomb": (bomb, "400000000 pixels"),
    "a program": (postscript, "EPS is a program"),
    "16 bits": (lambda at: Image.fromarray(np.zeros((6, 8), np.uint16)).save(at, "png"), "not 8 bits a channel"),
    "an archive": (lambda at: zipfile.ZipFile(at, "w").writestr("../x.png", b"x"), "not an image"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_will_not_do_is_named_and_can_be_left_out(folder, name):
    spoil, said = BAD_FILES[name]
    spoil(folder / "dark" / "odd.png")
    with pytest.raises(checks.DataError, match=f"1 cannot be used: dark/odd.png .*{said}") as caught:
        image_folder.load(str(folder))
    assert "\n" not in str(caught.value)
    found = image_folder.load(str(folder), bad_files="skip")
    shades = np.concatenate([found.train.images, found.test.images])[:, 0, 0, 0]
    assert sorted(shades) == [*range(10, 16), *range(200, 206)]
    assert not (folder / "dark" / "sprung").exists()


def test_a_linked_class_and_a_linked_split_are_none(folder, tmp_path):
    (folder / "other").symlink_to("light")
    with pytest.raises(checks.DataError, match=r"other .a link out of its folder"):
        image_folder.load(str(folder))
    (folder / "other").unlink()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "train").symlink_to(folder)
    with pytest.raises(checks.DataError, match="train is a link"):
        image_folder.load(str(tmp_path / "parts"))


def test_the_folder_itself_and_what_is_within_a_class_may_be_linked(folder, tmp_path):
    (tmp_path / "images2").symlink_to(folder)
    (folder / "dark" / "again.png").symlink_to("0.png")
    assert len(image_folder.load(str(tmp_path / "images2")).train) == 10


def table(folder, *names):
    rows = [f"{kind}/{number}.png,{kind}" for kind in ("dark", "light") for number in range(6)]
    (folder / "table.csv").write_text("\n".join(["image,label", *rows, *(f"{name},dark" for name in names)]) + "\n")
    return str(folder / "table.csv")


OUTSIDE = ("../secret.png", "dark/../../secret.png", "{secret}", "/dev/zero", "out.png", "out/secret.png", "..")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_table_reaches_nothing_outside_its_folder(folder, tmp_path, name):
    (folder / "out.png").symlink_to("../secret.png")
    (folder / "out").symlink_to("..")
    name = name.format(secret=tmp_path / "secret.png")
    with pytest.raises(checks.DataError, match=r"1 cannot be used: .* .outside of the folder"):
        image_csv.load(table(folder, name))
    found = image_csv.load(table(folder, name), bad_files="skip")
    assert 99 not in np.concatenate([found.train.images, found.test.images])


def test_a_table_may_say_dot_dot_within_its_folder(folder):
    assert len(image_csv.load(table(folder, "light/../dark/0.png")).train) == 10


@pytest.mark.parametrize(
    "spoil",
    [
        os.mkfifo,
        lambda at: at.symlink_to("/dev/zero"),
        lambda at: at.write_text("image,label\n" + "x" * 200_000 + ",dark\n"),
        lambda at: at.write_bytes(b"image,label\n\0,dark\n"),
        lambda at: at.write_bytes(b"\xff\xfe\xfa"),
    ],
)
def test_a_table_that_is_none(folder, spoil):
    spoil(folder / "table.csv")
    with pytest.raises(checks.DataError, match=r"^dataset image_csv: "):
        image_csv.load(str(folder / "table.csv"))


def test_odd_kinds_of_images_have_the_right_pixels(folder):
    """Against what the format itself means: a quarter turn, ink in place of light, a palette, deep colour."""
    left_to_right = np.zeros((6, 8, 3), np.uint8)
    left_to_right[:, 4:] = (250, 120, 40)
    plain = Image.fromarray(left_to_right)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown after a quarter turn clockwise
    plain.transpose(Image.Transpose.ROTATE_90).save(folder / "dark" / "a.jpg", exif=turned, quality=100, subsampling=0)
    ink = Image.fromarray(np.concatenate([255 - left_to_right, np.zeros((6, 8, 1), np.uint8)], axis=2), "CMYK")
    ink.save(folder / "dark" / "b.jpg", quality=100, subsampling=0)
    ink.save(folder / "dark" / "c.tif")
    plain.save(folder / "dark" / "d.gif")
    plain.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "dark" / "e.png")
    frames = [plain, Image.new("RGB", SIZE, "white")]
    frames[0].save(folder / "dark" / "f.gif", save_all=True, append_images=frames[1:])
    names = [f"{name},dark,test" for name in ("a.jpg", "b.jpg", "c.tif", "d.gif", "e.png", "f.gif")]
    plain_names = [f"{kind}/{n}.png,{kind},train" for kind in ("dark", "light") for n in range(6)]
    lines = ["image,label,split", *plain_names, *(f"dark/{name}" for name in names)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    found = image_csv.load(str(folder / "t.csv"), split_column="split").test.images.astype(int)
    assert np.abs(found - left_to_right).max(axis=(1, 2, 3)).tolist() == pytest.approx([0] * 6, abs=12)


def saved(path, **arrays):
    np.savez(path, **arrays)


X, Y = np.zeros((8, 4, 4, 1), np.uint8), np.arange(8) % 2


def claimed(path, shape):
    """An array that says it is larger than what it holds."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", content)
        archive.writestr("y_train.npy", content)


def packed(path):
    """A member whose directory entry tells of a terabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", bytes(1000))
        archive.infolist()[0].file_size = 1 << 40


BAD_ARRAYS = {
    "objects": lambda at: saved(at, x_train=np.array([{}] * 8, object), y_train=Y),
    "objects for labels": lambda at: saved(at, x_train=X, y_train=np.array([{}] * 8, object)),
    "texts for images": lambda at: saved(at, x_train=np.array(["a"] * 8), y_train=Y),
    "dates for images": lambda at: saved(at, x_train=np.zeros((8, 4, 4), "M8[s]"), y_train=Y),
    "records for labels": lambda at: saved(at, x_train=X, y_train=np.zeros(8, [("a", "i4")])),
    "complex numbers": lambda at: saved(at, x_train=X.astype(complex), y_train=Y),
    "a petabyte": lambda at: claimed(at, (10**15,)),
    "more than a number holds": lambda at: claimed(at, (2**62, 2**62)),
    "a number below nought": lambda at: claimed(at, (-1, 4)),
    "a terabyte packed": packed,
    "a pipe": os.mkfifo,
    "a device": lambda at: at.symlink_to("/dev/zero"),
    "a pickle": lambda at: at.write_bytes(b"\x80\x04\x95cos\nsystem\n"),
    "no array": lambda at: at.write_bytes(b"PK\x05\x06" + bytes(18)),
    "labels that are no number": lambda at: saved(at, x_train=X, y_train=np.full(8, np.nan)),
    "a label for all": lambda at: saved(at, x_train=X, y_train=np.array(1)),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_will_not_do_are_one_line(tmp_path, name):
    BAD_ARRAYS[name](tmp_path / "a.npz")
    with pytest.raises(checks.UserError) as caught:
        npz.load(str(tmp_path / "a.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_features_of_another_module_are_not_imported(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets", reason="no TensorFlow Datasets: sconv[tfds]")
    from sconv.datasets import tfds

    (tmp_path / "evil.py").write_text("import pathlib; pathlib.Path('sprung').touch()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    inside = tmp_path / "data" / "mine" / "1.0.0"
    inside.mkdir(parents=True)
    for content in ({"type": "evil.Feature", "content": {}}, {"pythonClassName": "evil.Feature", "json": {"json": ""}}):
        (inside / "features.json").write_text(json.dumps({"featuresDict": {"features": {"image": content}}, **content}))
        (inside / "dataset_info.json").write_text(json.dumps({"name": "mine", "version": "1.0.0"}))
        with pytest.raises(checks.DataError, match=r"names 'evil\.Feature', which is no feature of the library"):
            tfds.load("mine", data_dir="data")
    assert not (tmp_path / "sprung").exists()
