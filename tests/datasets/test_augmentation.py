"""Augmentation: against NumPy's own pad, crop and flip, and against what the papers say of the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sconv import checks
from sconv.datasets.pipeline import augmentation

COUNT, SIDE = 600, 12
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.eye(10, dtype=np.float32)[np.arange(COUNT) % 10]
ALL = {
    "flip": augmentation.flip,
    "standard": augmentation.standard,
    "standard_cutout": augmentation.standard_cutout,
    "mixup": augmentation.mixup,
}


def augmented(augment, seed=0, step=0, images=IMAGES, labels=LABELS):
    images, labels = augment(tf.constant(images), tf.constant(labels), tf.constant([seed, step], tf.int64))
    return images.numpy(), labels.numpy()


def origins(before, after, padding):
    """For each image the one (row, column, mirrored) that explains it, by trying them all with np.pad."""
    span = range(2 * padding + 1)
    padded = np.pad(before, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    found = np.full((len(before), 3), -1)
    for row in span:
        for column in span:
            crop = padded[:, row : row + SIDE, column : column + SIDE]
            for mirrored, candidate in enumerate((crop, crop[:, :, ::-1])):
                found[(candidate == after).all(axis=(1, 2, 3))] = row, column, mirrored
    return found


def test_flip_mirrors_about_half_and_nothing_else():
    images, labels = augmented(augmentation.flip())
    found = origins(IMAGES, images, 0)
    assert (found >= 0).all()
    assert 0.42 < found[:, 2].mean() < 0.58  # four standard deviations
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("padding", [1, 4])
def test_standard_is_reflect_pad_crop_flip_each_place_alike(padding):
    images, labels = augmented(augmentation.standard(padding))
    assert images.dtype == np.uint8
    found = origins(IMAGES, images, padding)
    assert (found >= 0).all()
    assert 0.42 < found[:, 2].mean() < 0.58
    places = 2 * padding + 1
    for axis in (0, 1):
        counts = np.bincount(found[:, axis], minlength=places)
        assert (np.abs(counts - COUNT / places) < 4.5 * np.sqrt(COUNT / places)).all()
    assert abs(np.corrcoef(found.T)[np.triu_indices(3, 1)]).max() < 0.17  # the three choices are independent
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("nested", [False, True])
def test_alternating_flips_mirror_each_image_in_every_second_epoch(dtype, nested):
    alternating = augmentation.flip(alternating=True)
    augment = augmentation.chain([augmentation.none(), alternating]) if nested else alternating
    images, labels, key = (tf.constant(each) for each in (IMAGES.astype(dtype), LABELS, np.int64([0, 1])))
    epochs = [origins(images.numpy(), augment(images, labels, key, epoch=epoch)[0].numpy(), 0) for epoch in range(4)]
    mirrored = np.stack(epochs)[:, :, 2]
    assert (mirrored[:2].sum(axis=0) == 1).all()
    assert np.array_equal(mirrored[2:], mirrored[:2])
    assert 0.42 < mirrored[0].mean() < 0.58


def test_alternating_flips_take_half_of_images_of_ones_and_zeros_too():
    images = (IMAGES > 127).astype(np.float32)
    mirrored = origins(images, augmented(augmentation.flip(alternating=True), images=images)[0], 0)[:, 2]
    assert 0.42 < mirrored.mean() < 0.58


def test_the_crops_of_alternating_flips_are_those_of_others():
    by_chance, alternating = (origins(IMAGES, augmented(augmentation.standard(2, on))[0], 2) for on in (False, True))
    assert np.array_equal(by_chance[:, :2], alternating[:, :2])
    assert not np.array_equal(by_chance[:, 2], alternating[:, 2])


def test_cutout_covers_a_square_with_the_mean():
    white = np.full((COUNT, SIDE, SIDE, 1), 200, np.uint8)
    white[: COUNT // 2] = 100
    images, _ = augmented(augmentation.cutout(4), images=white)
    holes = (images == 150)[..., 0]
    assert (images[~holes] == white[~holes]).all()
    heights, widths = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    assert (holes.sum(axis=(1, 2)) == heights * widths).all()  # a rectangle, whole
    assert heights.max() == widths.max() == 4
    assert 2 <= heights.min() < 4  # cut off at the edge
    covered = holes.mean(axis=0)
    assert covered.min() > 0
    assert covered[5:7, 5:7].mean() == pytest.approx((4 / SIDE) ** 2, abs=0.06)


def test_mixup_mixes_labels_as_it_mixes_images():
    images, labels = augmented(augmentation.mixup(1.0))
    partners, partner_labels = np.roll(IMAGES, 1, axis=0), np.roll(LABELS, 1, axis=0)
    shares = labels[np.arange(COUNT), LABELS.argmax(axis=1)]  # neighbours differ in label
    expected = shares[:, None, None, None] * IMAGES + (1 - shares)[:, None, None, None] * partners
    assert images.dtype == np.float32
    assert images == pytest.approx(expected, abs=1e-3)
    assert labels == pytest.approx(shares[:, None] * LABELS + (1 - shares)[:, None] * partner_labels, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_beta(alpha):
    from scipy import stats

    _, labels = augmented(augmentation.mixup(alpha))
    shares = labels[np.arange(COUNT), LABELS.argmax(axis=1)].astype(np.float64)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_the_smallest_alpha_leaves_each_example_whole():
    images, labels = augmented(augmentation.mixup(0.01))
    assert np.isfinite(images).all()
    assert ((labels < 1e-3) | (labels > 1 - 1e-3)).mean() > 0.96
    assert not (labels == 0.5).any()


@pytest.mark.parametrize("name", ALL)
def test_seed_and_step_decide(name):
    first, _ = augmented(ALL[name](), seed=3, step=7)
    assert np.array_equal(first, augmented(ALL[name](), seed=3, step=7)[0])
    assert not np.array_equal(first, augmented(ALL[name](), seed=3, step=8)[0])
    assert not np.array_equal(first, augmented(ALL[name](), seed=4, step=7)[0])
    assert not np.array_equal(first, IMAGES)


def test_none_changes_nothing():
    images, labels = augmented(augmentation.none())
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)


def test_links_of_a_chain_draw_numbers_of_their_own():
    twice = augmentation.chain([augmentation.flip(), augmentation.flip()])
    mirrored = origins(IMAGES, augmented(twice)[0], 0)[:, 2]
    assert 0.42 < mirrored.mean() < 0.58  # the same numbers twice would leave every image as it was


@pytest.mark.parametrize("name", ["flip", "standard", "standard_cutout"])
def test_float_images_stay_float(name):
    images, _ = augmented(ALL[name](), images=IMAGES.astype(np.float32))
    assert images.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "images", "labels"),
    [
        (augmentation.flip, np.zeros((4, 12), np.float32), LABELS[:4]),
        (augmentation.cutout, np.zeros((4, 12), np.float32), LABELS[:4]),
        (lambda: augmentation.standard(12), IMAGES[:4], LABELS[:4]),
        (augmentation.mixup, IMAGES[:4], np.arange(4)),
        (lambda: augmentation.standard(0), IMAGES[:4], LABELS[:4]),
        (lambda: augmentation.standard(4, "often"), IMAGES[:4], LABELS[:4]),
        (lambda: augmentation.flip(2), IMAGES[:4], LABELS[:4]),
        (lambda: augmentation.cutout(0), IMAGES[:4], LABELS[:4]),
        (lambda: augmentation.mixup(0), IMAGES[:4], LABELS[:4]),
        (lambda: augmentation.mixup("much"), IMAGES[:4], LABELS[:4]),
    ],
)
def test_what_cannot_be_is_one_line(make, images, labels):
    with pytest.raises((checks.SettingError, checks.SettingTypeError), match=r"got .*expected ") as caught:
        augmented(make(), images=images, labels=labels)
    assert "\n" not in str(caught.value)
