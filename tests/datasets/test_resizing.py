"""Progressive resizing: which images are how small in which epoch, and that they are what Pillow makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sconv import checks
from sconv.datasets import Split
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.datasets.pipeline.resizing import progressive, shape_of

# Smooth, as photographs are: where Pillow rounds between its two passes tells the less.
SMALL = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 3), dtype=np.uint8)
IMAGES = np.stack([np.asarray(Image.fromarray(image).resize((30, 20), Image.Resampling.BICUBIC)) for image in SMALL])


@pytest.mark.parametrize(
    ("shares", "epochs", "heights"),
    [
        ([0.5, 1], 4, [10, 10, 20, 20]),
        ([0.5, 0.75, 1], 3, [10, 15, 20]),
        ([0.5, 0.75, 1], 7, [10, 10, 10, 15, 15, 20, 20]),  # an epoch belongs to the part that it begins in
        ([0.5], 2, [10, 10]),
    ],
)
def test_each_share_has_its_part_of_the_epochs(shares, epochs, heights):
    stream = TrainingStream(Split(IMAGES, np.arange(20)), 8, 0, resize=progressive(shares, epochs))
    for epoch, height in enumerate([*heights, heights[-1]]):  # past the end it stays as it was
        stream.epoch.assign(epoch)
        for batches in (stream.batches, stream.rest(1)):
            assert {tuple(images.shape[1:]) for images, _ in batches} == {(height, height * 3 // 2, 3)}
        assert {tuple(images.shape[1:]) for images, _ in stream.full_size} == {(20, 30, 3)}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_pixels_are_those_of_pillow(share):
    height, width, channels = shape_of(share, IMAGES.shape[1:])
    theirs = [Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR) for image in IMAGES]
    for dtype in (np.uint8, np.float32):
        ours = progressive([share], 1)(tf.constant(IMAGES.astype(dtype)), 0).numpy()
        assert (ours.dtype, ours.shape[1:]) == (dtype, (height, width, channels))
        assert np.abs(ours.astype(float) - np.stack(theirs)).max() <= 1.5


def test_images_of_their_own_size_are_left_alone():
    images = tf.constant(IMAGES)
    assert np.array_equal(progressive([0.5, 1], 2)(images, 1), IMAGES)


@pytest.mark.parametrize("shares", [0.5, [], [0], [1.5], ["half"], [0.5, None], [0.2, 0.4, 0.6, 0.8, 1]])
def test_what_is_no_list_of_shares_is_one_line(shares):
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=r"^shares.*: got .*expected ") as caught:
        progressive(shares, 4)
    assert "\n" not in str(caught.value)
