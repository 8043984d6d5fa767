"""precision=...: what the layers compute in, in training and in range tests, and that no job leaves it to the next."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest

from conftest import TINY

# Of the one hidden layer of TINY's network; the layer that gives the probabilities is in float32 under each of them.
COMPUTES_IN = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
# So short a test on so little data has little to tell.
pytestmark = pytest.mark.filterwarnings("ignore:lr_find")
RANGE_TEST = ("lr_find.start_lr=1e-3", "lr_find.max_steps=40")
TASKS = {
    "train": ("steps.csv",),
    "lr_find": ("lr_find.csv", "task=lr_find", *RANGE_TEST),
    "range_grid": ("range_grid.csv", "task=range_grid", "range_grid.l2=[0]", *RANGE_TEST),
}


def summary_of(directory):
    return json.loads((directory / "summary.json").read_text())


def losses(directory, name):
    with open(directory / name, newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def policies(directory):
    model = keras.saving.load_model(directory / "model.keras")
    return [layer.dtype_policy.name for layer in model.layers if layer.weights]


@pytest.mark.parametrize("precision", COMPUTES_IN)
def test_the_saved_layers_carry_it_and_the_summary_says_what_they_say(train, precision):
    directory = train(f"precision={precision}")
    assert policies(directory) == [precision, "float32"]
    counts = {"float32": 2} if precision == "float32" else {COMPUTES_IN[precision]: 1, "float32": 1}
    assert summary_of(directory)["compute_dtypes"] == counts
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("task", TASKS)
def test_every_loss_is_rounded_as_it_says(train, task):
    """From the same weights and batches: close to float32 at first, and not the same."""
    table, *overrides = TASKS[task]
    plain, mixed = train(*overrides), train(*overrides, "precision=mixed_bfloat16")
    assert summary_of(mixed)["compute_dtypes"] == {"bfloat16": 1, "float32": 1}
    first, other = losses(plain, table)[:5], losses(mixed, table)[:5]
    assert (first != other).all()
    assert other == pytest.approx(first, rel=0.05)


def half(input_shape, classes, **_):
    """A network whose layers have a mind of their own."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes, activation="softmax", dtype="bfloat16")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def test_a_network_that_decides_for_itself_is_told_as_it_is(train):
    directory = train("precision=float32", "model._target_=test_precision.half")
    assert summary_of(directory)["compute_dtypes"] == {"bfloat16": 1}


@pytest.mark.parametrize("parts", [1, 2])
def test_float16_scales_the_loss_and_makes_every_update(train, parts):
    accumulated = [f"+optimizer.gradient_accumulation_steps={parts}"] if parts > 1 else []
    directory = train("precision=mixed_float16", *accumulated)
    optimizer = keras.saving.load_model(directory / "model.keras").optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(optimizer.dynamic_scale) == optimizer.initial_scale > 1
    assert int(optimizer.step_counter) == 20, "each micro-batch was finite"
    assert summary_of(directory)["steps"] == 20 // parts
    assert len(losses(directory, "steps.csv")) == 20 // parts
    assert losses(directory, "steps.csv")[-5:].mean() < losses(directory, "steps.csv")[:5].mean()


@pytest.mark.filterwarnings("ignore:lr_find. the loss had not diverged")
def test_a_range_test_under_float16_has_all_its_updates(train):
    """Of one epoch each where an update takes two batches."""
    halves = ("+optimizer.gradient_accumulation_steps=2", "dataset.train_size=8", "epochs=8")
    directory = train(*TASKS["lr_find"][1:], "lr_find.end_lr=0.1", "precision=mixed_float16", *halves)
    assert len(losses(directory, "lr_find.csv")) == 40


def test_a_range_test_before_training_has_it_too(train):
    found = [train("lr_max=auto", *RANGE_TEST, f"precision={precision}") for precision in ("float32", "mixed_bfloat16")]
    first, other = (losses(directory, "lr_find.csv")[:5] for directory in found)
    assert (first != other).all()
    assert policies(found[1]) == ["mixed_bfloat16", "float32"]


def test_no_job_of_a_sweep_leaves_it_to_the_next(command, tmp_path):
    ran = command("-m", *TINY, "precision=mixed_bfloat16,float32")
    assert ran.returncode == 0, ran.stderr
    directories = sorted(path.parent for path in tmp_path.rglob("model.keras"))
    assert [policies(directory)[0] for directory in directories] == ["mixed_bfloat16", "float32"]
