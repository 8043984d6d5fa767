"""What comes through `keras.datasets`: what is made of it, and one line where there is neither network nor cache."""

from __future__ import annotations

import gzip
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from sconv import checks
from sconv.datasets import digits, fashion_mnist
from sconv.datasets.building import keras_downloads

# Each with the shape Keras gives its images, its number of classes, and the file it looks for.
SOURCES = {
    "mnist": ((28, 28), 10, "mnist.npz"),
    "fashion_mnist": ((28, 28), 10, "t10k-labels-idx1-ubyte.gz"),
    "cifar10": ((32, 32, 3), 10, "cifar-10-batches-py-target_archive"),
    "cifar100": ((32, 32, 3), 100, "cifar-100-python-target_archive"),
}
OFFLINE = """
import importlib, socket, sys
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.create_connection = refuse
from sconv import checks
for name in sys.argv[1:]:
    try:
        importlib.import_module(f"sconv.datasets.{name}").load()
    except checks.DataError as error:
        print("LINE", error)
"""


@pytest.mark.parametrize("name", SOURCES)
def test_arrays_become_a_dataset(name, monkeypatch):
    shape, classes, _ = SOURCES[name]
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    labels = (np.arange(20) % classes).astype(np.uint8)
    columns = labels[:, np.newaxis] if name.startswith("cifar") else labels
    source = importlib.import_module(f"keras.datasets.{name}")
    monkeypatch.setattr(source, "load_data", lambda: ((images, columns), (images[:5], columns[:5])))
    found = importlib.import_module(f"sconv.datasets.{name}").load()
    assert found.name == name
    assert found.classes == len(set(found.class_names)) == classes
    assert found.input_shape == (shape if len(shape) == 3 else (*shape, 1))
    assert np.array_equal(found.train.images.reshape(images.shape), images)
    assert np.array_equal(found.train.labels, labels)
    assert found.train.labels.dtype == np.int64
    assert len(found.test) == 5


@pytest.mark.slow
def test_without_a_network_one_line_says_which_file_to_put_where(tmp_path):
    folder = tmp_path / "datasets"
    folder.mkdir()
    # Where Keras does not look, a file makes no difference; where it does, it says that the file is damaged.
    for _, _, file in SOURCES.values():
        (folder / file).write_bytes(b"damaged")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *SOURCES],
        env={**os.environ, "KERAS_HOME": str(tmp_path), "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("LINE")]
    assert len(lines) == len(SOURCES)
    for line, (name, (_, _, file)) in zip(lines, SOURCES.items(), strict=True):
        assert line.startswith(f"LINE dataset {name}: ")
        assert "no network in this test" in line
        assert file in line.partition("put ")[2]
        assert str(folder) in line.partition(" into ")[2]
    # Keras says it once for each file that it found where we say, and that it would not take.
    assert done.stdout.count("A local file was found, but it seems to be incomplete or outdated") == 3


def test_a_file_cut_short_is_one_line(tmp_path, monkeypatch):
    from keras.datasets import fashion_mnist as source

    def load_data():
        with gzip.open(tmp_path / "file.gz") as file:
            file.read()

    (tmp_path / "file.gz").write_bytes(gzip.compress(os.urandom(2000))[:1000])
    monkeypatch.setattr(source, "load_data", load_data)
    with pytest.raises(checks.DataError, match=r"^dataset fashion_mnist: Compressed file ended .*; put train-images.*"):
        fashion_mnist.load()


def test_the_real_files_of_fashion_mnist_where_they_are():
    folder = keras_downloads.home() / "datasets" / "fashion-mnist"
    if not all((folder / name).is_file() for name in fashion_mnist.FILES):
        pytest.skip(f"Fashion-MNIST is not on this machine: {folder}")
    clothes = fashion_mnist.load()
    for split, count in ((clothes.train, 60000), (clothes.test, 10000)):
        assert (split.images.shape, split.images.dtype) == ((count, 28, 28, 1), np.uint8)
        assert np.bincount(split.labels).tolist() == [count // 10] * 10


def test_names_of_cifar100_are_in_the_order_of_the_labels():
    from sconv.datasets import cifar100

    assert list(cifar100.CLASS_NAMES) == sorted(cifar100.CLASS_NAMES)
    assert cifar100.CLASS_NAMES[0] == "apple"
    assert cifar100.CLASS_NAMES[99] == "worm"


def test_the_folder_is_the_one_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_downloads.home() == tmp_path
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "absent"))
    assert str(keras_downloads.home()) == "/tmp/.keras"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras").mkdir()
    assert keras_downloads.home() == tmp_path / ".keras"


def test_digits_of_scikit_learn():
    from sklearn.datasets import load_digits

    found = digits.load()
    assert found.input_shape == (8, 8, 1)
    assert (len(found.train), len(found.test)) == (1438, 359)
    assert found.train.images.dtype == np.uint8
    assert found.train.images.max() == 255
    file = load_digits()
    images = (file.images * 255 / 16).round().astype(np.uint8)
    known = {image.tobytes(): label for image, label in zip(images, file.target, strict=True)}
    for split in (found.train, found.test):
        assert [known[image.tobytes()] for image in split.images[..., 0]] == split.labels.tolist()
    shares = np.bincount(found.test.labels) / np.bincount(file.target)
    assert np.abs(shares - 0.2).max() < 0.01
