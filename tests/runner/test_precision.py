"""precision=...: what the layers compute in, in training and in range tests, and that no job leaves it to the next."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import types

import keras
import numpy as np
import pytest

from conftest import TINY
from sconv import runs
from sconv.runner.config import data
from sconv.runner.devices import precision as precisions
from sconv.training import processor

# Of the one hidden layer of TINY's network; the layer that gives the probabilities is in float32 under each of them.
COMPUTES_IN = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
# So short a test on so little data has little to tell.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:lr_find")]
RANGE_TEST = ("lr_find.start_lr=1e-3", "lr_find.max_steps=40")
LONGER = ("lr_find.start_lr=1e-3", "lr_find.end_lr=1e3", "lr_find.max_steps=60")
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
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    head = keras.layers.Dense(classes, activation="softmax", dtype="bfloat16")
    return keras.Sequential([keras.Input(input_shape), *layers, head])


@pytest.mark.filterwarnings("ignore:lr_find")
@pytest.mark.parametrize("found", [(), ("lr_max=auto", *LONGER), ("task=lr_find", *LONGER)])
def test_a_network_that_decides_for_itself_is_told_as_it_is(train, caplog, found):
    directory = train("precision=float32", "model._target_=test_precision.half", *found)
    assert summary_of(directory)["compute_dtypes"] == {"bfloat16": 1}
    told = "model: test_precision.half gives its outputs in bfloat16"
    assert [record.message.startswith(told) for record in caplog.records].count(True) == 1


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


# --- precision=auto ------------------------------------------------------------------------------------------------

FLAGS = {"has it": "flags : fpu avx512_bf16 sse", "has it not": "flags : fpu avx512f sse"}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(flags, ratio): a processor, and the time of a step in bfloat16 on it as a share of that in float32."""

    def put(flags, ratio=None):
        (tmp_path / "cpuinfo").write_text(FLAGS[flags])
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        turns = itertools.cycle([1.0, ratio])

        def seconds(step):
            step()  # which draws random numbers and moves weights, of the trial's own
            return next(turns)

        monkeypatch.setattr(precisions, "_seconds", seconds)

    return put


@pytest.mark.filterwarnings("ignore:lr_find")
@pytest.mark.parametrize(
    ("ratio", "chosen", "more"),
    [(0.8, "mixed_bfloat16", ()), (0.99, "float32", ("lr_max=auto", *LONGER)), (1.5, "float32", ())],
)
def test_auto_is_the_faster_one_and_trains_as_if_it_had_been_given(train, machine, capsys, ratio, chosen, more):
    machine("has it", ratio)
    drawing = ("model.dropout=0.5", "augment=flip", *more)
    ours, given = train("precision=auto", *drawing), train(f"precision={chosen}", *drawing)
    assert (ours / "steps.csv").read_bytes() == (given / "steps.csv").read_bytes()
    assert policies(ours) == [chosen, "float32"]
    because = f"a step in bfloat16 takes {ratio:.2f} of the time"
    told = summary_of(ours)["precision"]
    assert (told["chosen"], told["because"]) == (chosen, because)
    assert f"precision      {chosen} ({because})\n" in capsys.readouterr().out
    assert summary_of(given)["precision"] == {"chosen": chosen, "because": "asked for"}


def no_half(input_shape, classes, **_):
    if keras.config.dtype_policy().name != "float32":
        raise ValueError("I count\nin whole numbers")
    return half(input_shape, classes)


@pytest.mark.parametrize(
    ("flags", "model", "because"),
    [
        ("has it not", "half", "this processor has no bfloat16"),
        ("has it", "no_half", "bfloat16 fails: "),
    ],
)
def test_auto_is_float32_where_bfloat16_cannot_be(train, machine, flags, model, because):
    machine(flags)
    told = summary_of(train("precision=auto", f"model._target_=test_precision.{model}"))["precision"]
    assert told["chosen"] == "float32"
    assert told["because"].startswith(because)
    assert "\n" not in told["because"]


def test_the_trial_is_of_bfloat16_against_float32_and_one_disturbed_round_does_not_count(train, monkeypatch):
    """By a clock of our own: a step takes 4 s in float32 and 3 s in the other, once an hour."""
    now, hour = [0.0], iter([3600.0])
    monkeypatch.setattr(precisions, "_lacking", lambda: None)
    monkeypatch.setattr(precisions, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def steps(cfg, dataset, precision):
        def step():
            now[0] += 4.0 if precision == "float32" else next(hour, 3.0)

        return step

    monkeypatch.setattr(precisions, "_step", steps)
    assert summary_of(train("precision=auto"))["precision"]["because"] == "a step in bfloat16 takes 0.75 of the time"


def test_the_jobs_of_a_sweep_train_alike(job, machine, tmp_path):
    """With another seed or rate, what was found holds; for another network it is found anew."""
    machine("has it", 0.5)
    found = []
    for number, overrides in enumerate([("seed=0",), ("seed=1", "lr_max=0.3"), ("model.hidden=[8]",)]):
        this = job(*TINY, "precision=auto", *overrides, directory=tmp_path / str(number))
        with runs.RunWriter(this.directory) as run:
            settled = precisions.settle(
                dataclasses.replace(this, in_sweep=True), run, data.load_dataset(this.cfg.dataset)
            )
        found.append(settled.cfg.precision)
        machine("has it", 2.0)
    assert found == ["mixed_bfloat16", "mixed_bfloat16", "float32"]


@pytest.mark.filterwarnings("ignore:lr_find")
def test_bfloat16_that_is_emulated_is_told_once(train, machine, caplog):
    for flags, expected in (("has it", []), ("has it not", [SLOW])):
        machine(flags)
        caplog.clear()
        train("precision=mixed_bfloat16", "lr_max=auto", *LONGER)
        assert [record.message for record in caplog.records if record.message.startswith("precision")] == expected


SLOW = "precision: got mixed_bfloat16, which will be slow: this processor has no bfloat16"
