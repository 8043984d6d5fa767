"""The speedrun network: its count, what the whitening makes of real patches, and how its convolutions begin."""

from __future__ import annotations

import keras
import numpy as np

from sconv.models import airbench


def part(model, layer):
    """The network up to a layer."""
    return keras.Model(model.input, model.get_layer(layer).output)


def images():
    """Noise with neighbours alike, of three channels that are: what photographs are to a covariance."""
    noise = np.random.default_rng(0).normal(size=(200, 16, 16, 3))
    smooth = noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2) + noise.sum(axis=-1, keepdims=True)
    return np.clip(128 + 20 * smooth, 0, 255).astype(np.uint8)


def test_it_has_the_papers_convolutions():
    model = airbench.build((32, 32, 3), 10, widths=(64, 256, 256))
    by_hand = 24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256
    shifts, head, first = 2 * 64 + 4 * 256, 256 * 10, 2 * 2 * 3 * 24 + 24
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 9 * by_hand + shifts + head + first


def test_patches_leave_the_first_layer_white_and_it_stays():
    seen = images()
    model = airbench.build((16, 16, 3), 10, training_images=seen)
    out = np.asarray(part(model, "whitening")(seen.astype(np.float32))).reshape(-1, 24)
    covariance = np.cov(out[:, :12], rowvar=False)
    assert np.abs(covariance - np.eye(12)).max() < 0.05
    assert np.abs(out.mean(axis=0)).max() < 0.05
    assert np.allclose(out[:, 12:], -out[:, :12], atol=1e-5)
    assert not model.get_layer("whitening").trainable_variables


def test_a_convolution_begins_by_passing_its_channels_on():
    model = airbench.build((16, 16, 3), 10, widths=(64, 128, 128), activation="linear")
    convolution = next(layer for layer in model.layers if getattr(layer, "kernel_size", None) == (3, 3))
    given = np.random.default_rng(0).normal(size=(2, 15, 15, 24)).astype(np.float32)
    out = np.asarray(convolution(given))
    assert np.allclose(out[..., :24], given, atol=1e-6)
    assert np.std(out[..., 24:]) > 0.1
