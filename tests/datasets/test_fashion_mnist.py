"""Fashion-MNIST: the real files where the machine has them, and one line where it has not."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sconv.datasets import fashion_mnist
from sconv.datasets.building import keras_downloads

# Loads in a process whose every connection fails: first without the files, then with files that are cut short.
OFFLINE = """
import gzip, socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.create_connection = refuse
from sconv import checks
from sconv.datasets import fashion_mnist, keras_cache
for _ in range(2):
    try:
        fashion_mnist.load()
    except checks.UserError as error:
        print("LINE", error)
    for name in fashion_mnist.FILES:
        (keras_cache.home() / "datasets" / "fashion-mnist" / name).write_bytes(gzip.compress(bytes(1000))[:20])
"""


@pytest.fixture(scope="module")
def clothes():
    folder = keras_downloads.home() / "datasets" / "fashion-mnist"
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


@pytest.mark.slow
def test_without_whole_files_one_line_says_what_to_put_where(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={**os.environ, "KERAS_HOME": str(tmp_path), "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("Downloading data from ")]
    absent, cut_short = lines
    assert absent.startswith("LINE dataset fashion_mnist: ")
    assert "no network in this test" in absent
    assert cut_short.startswith("LINE dataset fashion_mnist: Compressed file ended")
    for line in lines:
        assert line.endswith(f"into {tmp_path / 'datasets' / 'fashion-mnist'}")
        assert all(name in line for name in fashion_mnist.FILES)
