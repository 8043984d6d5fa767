"""Fashion-MNIST: the real files where the machine has them, and one line where it has not."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sconv.datasets import fashion_mnist

# Loads in a process whose every connection fails, and prints what the command line would.
OFFLINE = """
import socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.create_connection = refuse
from sconv import checks
from sconv.datasets import fashion_mnist
try:
    fashion_mnist.load()
except checks.UserError as error:
    print("LINE", error)
"""


def load_offline(home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={**os.environ, "KERAS_HOME": str(home), "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith("LINE ")]
    assert starts == [len(lines) - 1], done.stdout
    return lines[-1].removeprefix("LINE ")


@pytest.fixture(scope="module")
def clothes():
    folder = fashion_mnist.folder()
    missing = [name for name in fashion_mnist.FILES if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"Fashion-MNIST is not on this machine: {folder} lacks {', '.join(missing)}")
    return fashion_mnist.load()


def test_shapes_types_and_names(clothes):
    assert clothes.name == "fashion_mnist"
    assert clothes.classes == 10
    assert clothes.input_shape == (28, 28, 1)
    for split, count in ((clothes.train, 60000), (clothes.test, 10000)):
        assert split.images.shape == (count, 28, 28, 1)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert np.bincount(split.labels).tolist() == [count // 10] * 10


def test_without_files_and_network_one_line_says_what_to_put_where(tmp_path):
    line = load_offline(tmp_path)
    assert line.startswith("dataset fashion_mnist: ")
    assert "no network in this test" in line
    assert line.endswith(str(tmp_path / "datasets" / "fashion-mnist"))
    for name in fashion_mnist.FILES:
        assert name in line


def test_a_file_cut_short_is_one_line(tmp_path):
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name in fashion_mnist.FILES:
        (folder / name).write_bytes(gzip.compress(bytes(1000))[:20])
    line = load_offline(tmp_path)
    assert line.startswith("dataset fashion_mnist: Compressed file ended")
    assert line.endswith(str(folder))


def test_the_folder_is_the_one_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert fashion_mnist.folder() == tmp_path / "datasets" / "fashion-mnist"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "absent"))
    assert fashion_mnist.folder() == Path("/tmp/.keras/datasets/fashion-mnist")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras").mkdir()
    assert fashion_mnist.folder() == tmp_path / ".keras" / "datasets" / "fashion-mnist"
