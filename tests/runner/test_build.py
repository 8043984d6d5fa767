"""From a configuration to a model that trains: every knob of the update reaches the weights, by hand-made updates."""

from __future__ import annotations

import numpy as np
import pytest

from sconv.models import airbench
from sconv.runner import build
from sconv.runner.config import data

BASE = ("dataset=synthetic", "dataset.shape=[6,6,1]", "dataset.train_size=64", "model=mlp", "batch_size=64")
LR = 0.1


def update(compose, *overrides):
    """Weights before and after one update with all data: [(kernel or not, before, after), ...]."""
    cfg = compose(*BASE, f"lr_max={LR}", *overrides)
    model, stream = build.build(cfg, data.load_dataset(cfg.dataset), cfg.lr_max)
    for variable in model.trainable_variables:
        variable.assign_add(np.full(variable.shape, 0.05))  # so that a decay of biases shows
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(stream.batches, epochs=1, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 1
    variables = model.trainable_variables
    return [(one.name == "kernel", start, one.numpy()) for one, start in zip(variables, before, strict=True)]


def gradients(moved):
    """Of plain gradient descent."""
    return [(before - after) / LR for _, before, after in moved]


def decayed(kernel, before, gradient):
    return before - LR * gradient - LR * 0.5 * before * kernel


def decayed_everywhere(kernel, before, gradient):
    return before - LR * gradient - LR * 0.5 * before


# In the first update from rest both kinds of decay pull alike; what tells them apart is tested with parameter_groups.
KNOBS = {
    "weight_decay": (("weight_decay=0.5",), decayed),
    "l2": (("l2=0.5",), decayed),
    "weight_decay, decay_all": (("weight_decay=0.5", "decay_all=true"), decayed_everywhere),
    "l2, decay_all": (("l2=0.5", "decay_all=true"), decayed_everywhere),
    "nesterov": (("optimizer.nesterov=true",), lambda kernel, before, gradient: before - LR * 1.9 * gradient),
}


@pytest.mark.parametrize("knob", KNOBS)
def test_a_knob_of_the_update(compose, knob):
    overrides, rule = KNOBS[knob]
    plain = update(compose)
    for (kernel, before, after), gradient in zip(update(compose, *overrides), gradients(plain), strict=True):
        assert after == pytest.approx(rule(kernel, before, gradient), abs=1e-6)
        assert np.abs(rule(kernel, before, gradient) - (before - LR * gradient)).max() > 1e-4 or not kernel


def test_whole_numbers_are_rates_too(compose):
    whole = update(compose, "lr_max=1", "optimizer.momentum=0", "weight_decay=0")
    for (_, before, after), gradient in zip(whole, gradients(update(compose)), strict=True):
        assert after == pytest.approx(before - gradient, abs=1e-5)


def test_a_learning_rate_of_its_own(compose):
    moved = update(compose, "lr_factors={dense: 0.25}")
    shares = [0.25, 0.25, 1, 1]
    for share, (_, before, after), gradient in zip(shares, moved, gradients(update(compose)), strict=True):
        assert after == pytest.approx(before - share * LR * gradient, abs=1e-6)


def test_layers_stay_as_they_are_in_the_first_epochs(compose):
    moved = update(compose, "lr_factors={dense: 0.25}", "freeze_epochs=1", "epochs=2")
    for share, (_, before, after), gradient in zip([0, 0, 1, 1], moved, gradients(update(compose)), strict=True):
        assert after == pytest.approx(before - share * LR * gradient, abs=1e-6)


def test_one_learning_rate_for_all_layers_of_a_pattern(compose):
    one, all_of_them = (update(compose, f"lr_factors={{{name}: 0.25}}") for name in ("dense", "dense*"))
    assert [np.array_equal(left[2], right[2]) for left, right in zip(one, all_of_them, strict=True)] == [
        *(True, True, False, False)
    ]


def test_a_model_that_asks_for_training_images_gets_them(compose):
    cfg = compose("dataset=synthetic", "dataset.shape=[12,12,3]", "model=airbench", "model.widths=[4,4,4]")
    dataset = data.load_dataset(cfg.dataset)
    model, _ = build.build(cfg, dataset, 0.1)
    kernel, bias = airbench.whitening(dataset.train.images[:1000] / np.float32(255))
    found = model.get_layer("whitening").get_weights()
    assert np.allclose(found[0], kernel, rtol=1e-3)
    assert np.allclose(found[1], bias, rtol=1e-3)


def test_clipping(compose):
    found = gradients(update(compose))
    length = np.sqrt(sum((gradient**2).sum() for gradient in found))
    assert length > 0.02
    for (_, before, after), gradient in zip(update(compose, "optimizer.global_clipnorm=0.01"), found, strict=True):
        assert after == pytest.approx(before - LR * 0.01 / length * gradient, abs=1e-6)


def test_the_decay_of_adamw_is_that_of_the_knob(compose):
    pairs = zip(update(compose, "optimizer=adamw", "weight_decay=0.5"), update(compose, "optimizer=adam"), strict=True)
    for (kernel, before, after), (_, _, without) in pairs:
        assert after == pytest.approx(without - LR * 0.5 * before * kernel, abs=1e-6)
