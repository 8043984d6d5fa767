"""What is recorded of a fit: each update's own loss, with the learning rate and momentum it was made with."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from sconv import runs, schedules
from sconv.runner.tasks.observers import StepTimer
from sconv.training.callbacks import ScheduleCallback
from sconv.training.recording import Diverged

BATCH, FEATURES, PEAK = 4, 3, 0.05
POLICY = schedules.onecycle_fastai(PEAK, div_factor=4)


def data(batches, seed=3):
    """Regression without noise; the batches differ a lot in loss, so that a mean over them is none of them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(batches * BATCH, FEATURES)).astype(np.float32)
    x *= np.repeat(random.uniform(0.2, 2.0, size=batches), BATCH)[:, None].astype(np.float32)
    return x, x @ np.array([[1.0], [-2.0], [0.5]], np.float32)


def linear(per_execution=1, parts=None, **compiled):
    model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1, use_bias=False, name="line")])
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9, gradient_accumulation_steps=parts)
    model.compile(optimizer, loss="mse", steps_per_execution=per_execution, **compiled)
    model.layers[-1].set_weights([np.array([[0.5], [-0.3], [0.8]], np.float32)])
    return model


def simulate(x, y, epochs, parts=1, fits=1):
    """Losses in float64, one an update: the mean over its micro-batches, each before the weights move."""
    batches = len(x) // BATCH
    rates, momenta = (np.tile(values, fits) for values in POLICY.sample(epochs * batches // parts))
    w, v, losses = np.array([[0.5], [-0.3], [0.8]]), np.zeros((FEATURES, 1)), []
    for update, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
        own, gradients = [], []
        for micro in range(update * parts, (update + 1) * parts):
            rows = slice(micro % batches * BATCH, (micro % batches + 1) * BATCH)
            error = x[rows].astype(np.float64) @ w - y[rows]
            own.append(np.mean(error**2))
            gradients.append(2 * x[rows].T @ error / BATCH)
        v = momentum * v - rate * np.mean(gradients, axis=0)
        w = w + v
        losses.append(np.mean(own))
    return np.array(losses)


class Rows:
    """A `write` that keeps what it gets."""

    def __init__(self):
        self.calls, self.rows = 0, []

    def __call__(self, first, rates, momenta, losses):
        self.calls += 1
        momenta = [None] * len(rates) if momenta is None else momenta
        self.rows += zip(range(first, first + len(rates)), rates, momenta, losses, strict=True)

    @property
    def columns(self):
        steps, rates, momenta, losses = zip(*self.rows, strict=True)
        return list(steps), np.array(rates), np.array(momenta), np.array(losses)


def fit(model, write, x, y, epochs=2, every_seconds=0.0, schedule=POLICY, **options):
    parts = model.optimizer.gradient_accumulation_steps or 1
    driver = ScheduleCallback(schedule, epochs * len(x) // BATCH // parts, write, every_seconds)
    return model.fit(x, y, epochs=epochs, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[driver], **options)


@pytest.mark.parametrize(
    ("per_execution", "compiled", "every_seconds"),
    [
        (1, {}, 1e9),
        (7, {}, 0.0),
        (7, {}, 1e9),
        (10, {"jit_compile": True}, 1e9),
        (1, {"run_eagerly": True}, 0.0),
    ],
    ids=["single", "sevens with a tail", "sevens, written each epoch", "xla", "eager"],
)
def test_each_update_with_its_own_loss(per_execution, compiled, every_seconds):
    x, y = data(10)
    rows = Rows()
    history = fit(linear(per_execution, **compiled), rows, x, y, every_seconds=every_seconds).history
    steps, rates, momenta, losses = rows.columns
    assert steps == list(range(20))
    expected = simulate(x, y, epochs=2)
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
    wanted = POLICY.sample(20)
    np.testing.assert_array_equal(rates, wanted[0])
    np.testing.assert_array_equal(momenta, wanted[1])
    # The epoch's loss, a mean over its batches, is still what Keras says.
    np.testing.assert_allclose(history["loss"], expected.reshape(2, 10).mean(axis=1), rtol=2e-4)
    executions = 2 * -(-10 // per_execution)
    assert rows.calls == (executions if every_seconds == 0.0 else 2)


@pytest.mark.parametrize(
    ("batches", "per_execution"), [(10, 1), (5, 4)], ids=["whole updates an epoch", "an update across epochs"]
)
def test_accumulation_records_the_mean_of_the_micro_batches(batches, per_execution):
    x, y = data(batches)
    rows = Rows()
    fit(linear(per_execution, parts=2), rows, x, y)
    steps, rates, _, losses = rows.columns
    assert steps == list(range(batches))
    np.testing.assert_allclose(losses, simulate(x, y, epochs=2, parts=2), rtol=2e-4)
    np.testing.assert_array_equal(rates, POLICY.sample(batches)[0])


@pytest.mark.parametrize(("batches", "parts"), [(10, None), (5, 2)])
def test_evaluation_leaves_no_trace(batches, parts):
    x, y = data(batches)
    rows = Rows()
    fit(linear(parts=parts), rows, x, y, validation_data=(x * 50, y))
    assert rows.columns[0] == list(range(2 * batches // (parts or 1)))
    np.testing.assert_allclose(rows.columns[3], simulate(x, y, epochs=2, parts=parts or 1), rtol=2e-4)


def test_csv_gives_the_values_to_nine_digits(tmp_path):
    x, y = data(10)
    kept = Rows()
    with runs.RunWriter(tmp_path) as run:

        def write(*columns):
            run.steps(*columns)
            kept(*columns)

        fit(linear(3), write, x, y)
    with open(tmp_path / "steps.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rates, momenta = POLICY.sample(20)
    assert [row["step"] for row in rows] == [str(step) for step in range(20)]
    assert [row["learning_rate"] for row in rows] == [f"{rate:.9g}" for rate in rates]
    assert [row["momentum"] for row in rows] == [f"{momentum:.9g}" for momentum in momenta]
    # Nine digits give a float32 back to the bit.
    losses = np.array([row["loss"] for row in rows], np.float32)
    np.testing.assert_array_equal(losses, np.array(kept.columns[3], np.float32))


def test_two_fits_are_recorded_apart():
    x, y = data(10)
    model, first, second = linear(), Rows(), Rows()
    fit(model, first, x, y)
    fit(model, second, x, y)
    assert first.columns[0] == second.columns[0] == list(range(20))
    losses = np.concatenate([first.columns[3], second.columns[3]])
    np.testing.assert_allclose(losses, simulate(x, y, epochs=2, fits=2), rtol=1e-3)
    model.fit(x, y, batch_size=BATCH, verbose=0)
    assert len(second.rows) == 20


@pytest.mark.parametrize(
    ("bad", "per_execution", "parts", "ended_after", "every_seconds"),
    [
        (0, 1, None, 1, 0.0),
        (5, 1, None, 6, 1e9),
        (5, 7, None, 7, 1e9),
        (8, 7, None, 14, 0.0),
        (17, 7, None, 20, 1e9),
        (7, 1, 2, 4, 0.0),
    ],
)
def test_diverged_within_one_execution(bad, per_execution, parts, ended_after, every_seconds):
    """Twenty batches: executions of seven end after 7, 14 and 20 of them."""
    x, y = data(20)
    y[bad * BATCH] = np.nan if bad % 2 else np.inf
    rows, model = Rows(), linear(per_execution, parts)
    with pytest.raises(Diverged) as caught:
        fit(model, rows, x, y, epochs=1, every_seconds=every_seconds)
    step = bad // (parts or 1)
    rates, momenta = POLICY.sample(20 // (parts or 1))
    assert (caught.value.step, caught.value.learning_rate, caught.value.momentum) == (step, rates[step], momenta[step])
    assert int(model.optimizer.iterations) == ended_after
    assert caught.value.status == "diverged"
    for said in (f"step {step} ", f"{rates[step]:.4g}", f"{momenta[step]:.4g}"):
        assert said in str(caught.value)
    steps, _, _, losses = rows.columns
    assert steps == list(range(ended_after))
    assert np.isfinite(losses[:step]).all()
    assert not np.isfinite(losses[step])


def test_diverged_in_a_later_epoch():
    x, y = data(10)
    rows, model = Rows(), linear(4)

    def poison(epoch, logs):
        if epoch == 2:
            model.layers[-1].set_weights([np.full((FEATURES, 1), np.nan)])

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=poison), ScheduleCallback(POLICY, write=rows)]
    with pytest.raises(Diverged) as caught:
        model.fit(x, y, epochs=4, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)
    assert caught.value.step == 20
    assert rows.columns[0] == list(range(24))


def test_diverged_without_momentum():
    x, y = data(10)
    y[3 * BATCH] = np.nan
    rows, said = Rows(), r"^the loss is not finite at step 3 \(learning rate 0\.01\); lower lr_max$"
    with pytest.raises(Diverged, match=said) as caught:
        fit(linear(), rows, x, y, schedule=schedules.constant(0.01))
    assert caught.value.momentum is None
    assert set(rows.columns[2]) == {None}


def test_diverged_in_evaluation():
    x, y = data(10)
    with pytest.raises(Diverged) as caught:
        fit(linear(), Rows(), x, y, validation_data=(x, y * np.nan))
    assert caught.value.step == 9


def test_clock_keeps_compiling_apart():
    x, y = data(10)
    clock = StepTimer()
    driver = ScheduleCallback(POLICY)
    linear().fit(x, y, epochs=2, batch_size=BATCH, verbose=0, validation_data=(x, y), callbacks=[driver, clock])
    assert clock.evaluation > 0
    assert clock.training > 0
    # Tracing takes some hundred times a step of this model.
    assert clock.compiling > clock.training / 20


def test_no_step_reads_the_whole_schedule_or_all_losses():
    """TensorFlow copies a variable that is read whole and of which rows are taken: 30 ms a step at 10^7 of them."""
    model = linear()
    callback = ScheduleCallback(POLICY, 100, record=True)
    callback.set_model(model)
    callback.on_train_begin()
    graph = tf.function(model.train_step).get_concrete_function(data(1)).graph
    callback.close()
    read = [op.outputs[0].shape for op in graph.get_operations() if op.type == "ReadVariableOp"]
    assert read
    assert [shape for shape in read if shape.rank == 2 and shape[0] is None] == []
