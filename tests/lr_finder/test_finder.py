"""The range test by its effect: the losses of a NumPy simulation, and a model and a process that are as they were."""

from __future__ import annotations

import copy
import inspect
import random
import warnings
from dataclasses import asdict

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_callbacks import CountingLoss, through_a_file

import sconv
import simulations as sim
from sconv import schedules
from sconv.checks import SettingError, SettingTypeError
from sconv.datasets import synthetic
from sconv.lr_finder.smoothing import stop_at
from sconv.training.snapshot import Snapshot

# With four rows a batch the losses of the straight line are too noisy to be read.
pytestmark = pytest.mark.filterwarnings("ignore:lr_find. the loss never fell below its start")

SETTINGS = {"start_lr": 1e-3, "end_lr": 10.0, "max_steps": 60, "smoothing": 0.5}
RATES = 1e-3 * 1e4 ** (np.arange(60) / 59)
DATA = synthetic.load((6, 6, 1), classes=3, train_size=96, test_size=24)


def line(optimizer=None, **compiled):
    """A linear regression: its losses under any learning rates can be computed by hand."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights(sim.START)
    optimizer = optimizer or keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "mse", **{"jit_compile": False, **compiled})
    return model


def stream(size=sim.BATCH):
    """The same ten batches every epoch."""
    return tf.data.Dataset.from_tensor_slices((sim.X, sim.Y)).batch(size)


WHOLE = stream(len(sim.X))  # one batch an epoch, so that no loss differs from the next by chance


def simulated(momentum, rates=RATES, data=None):
    """Loss of each batch before the update made with it."""
    data = data or sim.batches()
    weights, slots, losses = [part.astype(np.float64) for part in sim.START], [{}, {}], []
    for step, lr in enumerate(rates):
        x, y = data[step % len(data)]
        losses.append(float(np.mean((x @ weights[0] + weights[1] - y) ** 2)))
        gradients = sim.mse_gradient(weights, (x, y))
        weights = [sim.sgd(w, g, s, step, lr, momentum) for w, g, s in zip(weights, gradients, slots, strict=True)]
    return np.array(losses)


def stop_of(losses):
    """Step on which a range test with these losses ends."""
    return stop_at(losses, SETTINGS["smoothing"], 4.0)


MODES = {
    "each step": {},
    "executions": {"steps_per_execution": 7},
    "executions longer than an epoch": {"steps_per_execution": 16},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
}


@pytest.mark.parametrize("mode", MODES)
def test_losses_are_those_of_each_batch_under_the_rising_rate(mode):
    test = sconv.lr_find(line(**MODES[mode]), stream(), **SETTINGS)
    losses = simulated(0.9)
    stop = stop_of(losses)
    assert 20 < stop < 55, "this test needs a divergence within the range"
    assert len(test.losses) == stop + 1
    assert test.losses == pytest.approx(losses[: stop + 1], rel=2e-4)
    assert test.learning_rates == pytest.approx(RATES[: stop + 1], rel=1e-6)
    assert test.diverged_at == pytest.approx(RATES[stop])


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_is_held(momentum):
    test = sconv.lr_find(line(), stream(), momentum=momentum, **SETTINGS)
    assert test.losses[:30] == pytest.approx(simulated(momentum)[:30], rel=2e-4)
    assert test.losses[:30] != pytest.approx(simulated(0.9)[:30], rel=2e-2)


def test_a_linear_rise():
    rates = np.linspace(1e-3, 0.5, 60)
    test = sconv.lr_find(line(), stream(), anneal="linear", **{**SETTINGS, "end_lr": 0.5})
    count = len(test.losses)
    assert count > 20
    assert test.losses == pytest.approx(simulated(0.9, rates)[:count], rel=2e-4)


def test_steps_are_updates_under_accumulation():
    model = line(keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2))
    test = sconv.lr_find(model, stream(), **SETTINGS)
    losses = simulated(0.9, data=sim.batches(size=2 * sim.BATCH))
    assert test.losses == pytest.approx(losses[: len(test.losses)], rel=2e-4)
    assert len(test.losses) == stop_of(losses) + 1


def test_a_finite_test_has_exactly_its_steps():
    with pytest.warns(UserWarning, match="had not diverged at end_lr=0.02"):
        test = sconv.lr_find(line(steps_per_execution=7), WHOLE, **{**SETTINGS, "end_lr": 0.02})
    assert len(test.losses) == 60
    assert test.learning_rates[-1] == 0.02
    assert test.diverged_at is None


@pytest.mark.parametrize("kind", ["infinite", "of unknown length"])
def test_data_without_a_length(kind):
    data = stream().repeat() if kind == "infinite" else stream().filter(lambda x, y: True)
    test = sconv.lr_find(line(), data, **SETTINGS)
    losses = simulated(0.9)
    assert test.losses == pytest.approx(losses[: stop_of(losses) + 1], rel=2e-4)


# --- Everything is put back -----------------------------------------------------------------------------------------


def network(optimizer="adam", built=True, **compiled):
    """With all that has a state: dropout, batch normalisation, random numbers of Keras's global generator."""
    keras.utils.clear_session()  # older versions of Keras seed their global generator only once
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            *([keras.Input(DATA.input_shape)] if built else []),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Lambda(lambda x: x + 0.01 * keras.random.normal(keras.ops.shape(x), dtype=x.dtype)),
            keras.layers.Dense(DATA.classes, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False, **compiled)
    return model


ARRAYS = (DATA.train.images, DATA.train.labels)
FORMS = {
    "arrays": ARRAYS,
    "tf.data": tf.data.Dataset.from_tensor_slices(ARRAYS).batch(32),
    "sconv's own": DATA,
}
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "all that has a state": lambda: keras.optimizers.SGD(
        0.05, momentum=0.9, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2
    ),
}
CASES = [("arrays", "all that has a state"), ("tf.data", "adam"), ("sconv's own", "adam")]
QUICK = {"start_lr": 1e-4, "end_lr": 100.0, "max_steps": 40, "smoothing": 0.5}


def find(model, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whether it diverges is not the matter here
        return sconv.lr_find(model, data, **QUICK)


def state(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    draws = (random.random(), np.random.rand(), keras.random.normal((2,)), tf.random.normal((2,)))
    return [np.asarray(value) for value in (*variables, *draws)]


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("form", "optimizer"), CASES)
def test_training_after_a_range_test_equals_training_without_it(optimizer, form):
    states = []
    for tested in (False, True):
        model = network(OPTIMIZERS[optimizer]())
        model.fit(*ARRAYS, batch_size=32, epochs=1, verbose=0)  # so that slots, averages and counters are not at 0
        if tested:
            before = model.get_weights()
            assert len(find(model, FORMS[form]).losses) > 15
            assert same(before, model.get_weights())
        history = model.fit(*ARRAYS, batch_size=32, epochs=2, verbose=0)
        states.append([*state(model), history.history["loss"], history.history["accuracy"]])
    assert same(*states)


@pytest.mark.parametrize("built", [True, False], ids=["built", "not built"])
def test_the_first_training_after_a_range_test_equals_training_without_it(built):
    states = []
    for tested in (False, True):
        model = network(built=built)
        if tested:
            find(model, ARRAYS)
        model.fit(*ARRAYS, batch_size=32, epochs=2, verbose=0)
        states.append(state(model))
    assert same(*states)


def test_every_source_of_random_numbers_is_put_back():
    def draws():
        order = list(tf.data.Dataset.range(20).shuffle(20).as_numpy_iterator())
        normal = tf.random.get_global_generator().normal((2,)), keras.random.normal((2,))
        return [np.asarray(drawn) for drawn in (random.random(), np.random.rand(), order, *normal)]

    snapshot = Snapshot(network())
    first, second = draws(), draws()
    assert not any(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    snapshot.put_back()
    assert same(draws(), first)


def test_what_fit_writes_on_the_model_is_put_back():
    model = network()
    find(model, ARRAYS)
    assert not hasattr(model, "history")
    assert model.stop_training is False
    assert "compute_loss" not in vars(model)
    history = model.fit(*ARRAYS, epochs=1, verbose=0)
    model.stop_training = True
    find(model, ARRAYS)
    assert model.history is history
    assert model.stop_training is True
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)


def test_own_stream_is_put_back():
    from sconv.datasets.pipeline.batches import TrainingStream

    own = TrainingStream(DATA.train, 32, seed=1)
    own.epoch.assign(5)
    find(network(), own)
    assert int(own.epoch) == 5


def test_a_test_that_is_cut_short_is_put_back():
    model = network()
    model.fit(*ARRAYS, batch_size=32, epochs=1, verbose=0)
    broken = tf.data.Dataset.from_tensor_slices(ARRAYS).batch(32).repeat(3)
    broken = broken.enumerate().map(
        lambda at, batch: (tf.debugging.assert_less(at, tf.constant(5, tf.int64)), batch)[1]
    )
    before = state(model)
    with pytest.raises(tf.errors.InvalidArgumentError):
        sconv.lr_find(model, broken, **QUICK)
    random.setstate(random.getstate())
    assert same(before[: len(model.variables)], state(model)[: len(model.variables)])
    assert "compute_loss" not in vars(model)
    model.fit(*ARRAYS, batch_size=32, epochs=1, verbose=0, callbacks=[sconv.OneCycleScheduler(0.01)])


def test_float16_that_skips_every_update_ends():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network(keras.optimizers.SGD(0.01, momentum=0.9))
        test = sconv.lr_find(model, ARRAYS, start_lr=1e-2, end_lr=1e7, max_steps=60, smoothing=0.5, stop_factor=1e9)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(test.losses).all()


@pytest.mark.parametrize("momentum", [None, 0.5])
def test_the_training_after_a_range_test_takes_up_its_trace(momentum):
    model, loss = line(), CountingLoss()
    model.compile(model.optimizer, loss, jit_compile=False)
    sconv.lr_find(model, stream(), momentum=momentum, **SETTINGS)
    traced = loss.traces
    assert traced > 0
    model.fit(stream(), shuffle=False, epochs=2, verbose=0, callbacks=[sconv.OneCycleScheduler(0.05)])
    assert loss.traces == traced
    sim.check(model.get_weights(), sim.sgd, schedules.onecycle_fastai(0.05).sample(20))
    model.fit(stream(), shuffle=False, epochs=1, verbose=0)
    segments = schedules.onecycle_fastai(0.05).sample(20), sim.plain(10, 0.01, 0.9)
    sim.check(model.get_weights(), sim.sgd, *segments)


# --- The callback ---------------------------------------------------------------------------------------------------


def test_the_callback_tells_what_lr_find_does():
    expected = sconv.lr_find(line(), WHOLE, **SETTINGS)
    model, finder = line(), sconv.LRFinder(**SETTINGS, suggestion="valley")
    for _ in range(2):
        model.fit(WHOLE, shuffle=False, epochs=100, verbose=0, callbacks=[finder])
        assert np.array_equal(finder.result.losses, expected.losses)
        assert finder.suggest() == expected.suggestions["valley"]
        assert same(model.get_weights(), sim.START)
        assert int(model.optimizer.iterations) == 0
        assert model.stop_training is False
    assert len(finder.plot().axes) == 2


def test_the_callback_makes_the_weights_or_says_that_they_are_missing():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(stream(), shuffle=False, epochs=6, verbose=0, callbacks=[finder := sconv.LRFinder(**SETTINGS)])
    assert len(finder.result.losses) > 20
    assert model.built

    class NoCall(keras.Model):
        pass

    model = NoCall()
    model.compile("sgd", "mse")
    with pytest.raises(SettingError, match=r"^model: got no_call.*, which has no weights yet .*expected one that is"):
        model.fit(stream(), shuffle=False, epochs=1, verbose=0, callbacks=[sconv.LRFinder()])


@pytest.mark.parametrize("copied", [through_a_file, copy.deepcopy])
def test_a_copy_of_the_callback_knows_the_outcome(copied):
    model, finder = line(), sconv.LRFinder(**SETTINGS)
    model.fit(WHOLE, shuffle=False, epochs=100, verbose=0, callbacks=[finder])
    other = copied(finder)
    assert other.suggest() == finder.suggest()
    model.fit(WHOLE, shuffle=False, epochs=100, verbose=0, callbacks=[other])
    assert np.array_equal(other.result.losses, finder.result.losses)


def test_a_range_test_is_told_in_one_line_and_shown_as_a_picture():
    test = sconv.lr_find(line(), WHOLE, **SETTINGS)
    said = (
        f"RangeTest(lr {test.suggestion:.3g} (smith), {len(test.losses)} points up to lr {test.learning_rates[-1]:.3g}"
    )
    assert repr(test).startswith(said)
    assert f"diverged at lr {test.diverged_at:.3g}" in repr(test)
    for shown in (test, test.plot()):
        assert shown._repr_png_().startswith(b"\x89PNG")


def test_the_callback_says_when_fit_was_too_short():
    with pytest.warns(UserWarning, match="got 20 updates, expected max_steps=60; give it more epochs"):
        line().fit(stream(), shuffle=False, epochs=2, verbose=0, callbacks=[finder := sconv.LRFinder(**SETTINGS)])
    assert len(finder.result.losses) == 20


def test_the_callback_before_fit_and_beside_another_schedule():
    finder = sconv.LRFinder()
    for ask in (finder.suggest, finder.plot):
        with pytest.raises(SettingError, match="no range test yet, expected a call after fit"):
            ask()
    with pytest.raises(SettingError, match="the schedules range_test and onecycle_fastai in one fit"):
        line().fit(stream(), shuffle=False, epochs=1, verbose=0, callbacks=[finder, sconv.OneCycleScheduler(0.1)])


# --- What allows no test --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("start_lr", 20.0, SettingError),
        ("start_lr", 10.0, SettingError),
        ("start_lr", 0.0, SettingError),
        ("end_lr", "high", SettingTypeError),
        ("end_lr", float("nan"), SettingError),
        ("max_steps", 9, SettingError),
        ("max_steps", 99.5, SettingError),
        ("smoothing", 1.0, SettingError),
        ("stop_factor", 0.5, SettingError),
        ("suggestion", "best", SettingError),
        ("momentum", 1.0, SettingError),
        ("anneal", "exp", SettingError),
    ],
)
def test_settings_that_are_not_allowed(setting, value, error):
    with pytest.raises(error) as caught:
        sconv.lr_find(line(), stream(), **{"end_lr": 10.0, setting: value})
    assert str(caught.value).startswith(f"{setting}: got {value!r}, expected ")
    assert "\n" not in str(caught.value)


def test_models_and_data_that_are_not_allowed():
    with pytest.raises(SettingTypeError, match="model: got 'lenet'"):
        sconv.lr_find("lenet", stream())
    with pytest.raises(SettingError, match="not compiled"):
        sconv.lr_find(keras.Sequential([keras.layers.Dense(1)]), stream())
    with pytest.raises(SettingTypeError, match="data: got str"):
        sconv.lr_find(line(), "mnist")


def test_a_loss_that_is_nan_at_the_first_step():
    model = line()
    with pytest.raises(SettingError, match="first step is nan"):
        sconv.lr_find(model, (sim.X * np.nan, sim.Y), **SETTINGS)
    assert same(model.get_weights(), sim.START)


def test_a_model_that_learns_at_no_rate():
    model = line()
    model.compile("sgd", lambda y_true, y_pred: keras.ops.square(y_true) + 0 * y_pred)
    test = sconv.lr_find(model, (sim.X, sim.Y), **SETTINGS)
    assert test.suggestions == {}
    with pytest.raises(SettingError, match="never fell below its start"):
        _ = test.suggestion


def test_one_that_diverges_at_once():
    test = sconv.lr_find(line(), stream(), start_lr=5.0, end_lr=10.0, max_steps=50)
    with pytest.raises(SettingError, match=r"never fell below its start .* and rose from lr 5 on; lower start_lr"):
        _ = test.suggestion


RANGE = {"start_lr": 1e-3, "max_steps": 150}


# --- fit_one_cycle --------------------------------------------------------------------------------------------------


def test_fit_one_cycle_is_a_range_test_and_a_schedule(capsys):
    one = network(keras.optimizers.SGD(0.01, momentum=0.9))
    found = sconv.lr_find(one, ARRAYS, momentum=0.85, batch_size=8, **RANGE)
    policy = schedules.onecycle_fastai(found.suggestion)
    expected = one.fit(*ARRAYS, epochs=2, batch_size=8, verbose=0, callbacks=[sconv.ScheduleCallback(policy)])
    other = network(keras.optimizers.SGD(0.01, momentum=0.9))
    settings = {"batch_size": 8, "range_test": RANGE, "verbose": 0, "update_bn": False}
    history = sconv.fit_one_cycle(other, ARRAYS, epochs=2, **settings)
    assert isinstance(history, keras.callbacks.History)
    assert history.lr_max == found.suggestion
    assert np.array_equal(history.range_test.losses, found.losses)
    assert history.history == expected.history
    assert same(one.get_weights(), other.get_weights())
    assert capsys.readouterr().out == ""


def test_fit_one_cycle_takes_a_policy_and_passes_the_rest_to_fit():
    seen = sconv.ScheduleCallback(schedules.constant(0.1))
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(logs["val_loss"]))
    model = network()
    history = sconv.fit_one_cycle(
        model,
        DATA,
        epochs=2,
        lr_max=0.02,
        validation_data=DATA.test,
        schedule=schedules.cosine,
        verbose=0,
        callbacks=[note],
    )
    assert history.history["val_loss"] == epochs
    assert len(epochs) == 2
    assert model.optimizer.iterations == 2 * 3
    with pytest.raises(SettingError, match="only one can drive the learning rate"):
        sconv.fit_one_cycle(model, DATA, lr_max=0.02, callbacks=[seen], verbose=0)


def test_fit_one_cycle_takes_a_finished_schedule():
    finished, one = schedules.onecycle(0.05), line()
    one.fit(stream(), shuffle=False, epochs=2, verbose=0, callbacks=[sconv.ScheduleCallback(finished)])
    other = line()
    sconv.fit_one_cycle(other, stream(), epochs=2, schedule=finished, verbose=0)
    assert same(one.get_weights(), other.get_weights())
    with pytest.raises(SettingError, match=r"lr_max: got 0\.1 and a finished schedule"):
        sconv.fit_one_cycle(other, stream(), lr_max=0.1, schedule=finished)
    for wrong in ("autoo", -1.0):
        with pytest.raises(ValueError, match="or auto") if wrong == -1.0 else pytest.raises(TypeError, match="or auto"):
            sconv.fit_one_cycle(other, stream(), lr_max=wrong)


def test_fit_one_cycle_stops_at_a_loss_that_is_not_finite():
    model, y = line(), sim.Y.copy()
    y[6 * sim.BATCH] = np.nan
    with pytest.raises(sconv.Diverged, match="the loss is not finite at step 6 "):
        sconv.fit_one_cycle(model, sim.X, y, lr_max=0.5, batch_size=sim.BATCH, shuffle=False, verbose=0)
    # Nothing drives it any more.
    assert float(model.optimizer.learning_rate) == np.float32(0.01)
    assert model.fit(stream(), epochs=1, verbose=0, shuffle=False).history.keys() == {"loss"}


@pytest.mark.parametrize("lr_max", [1e-9, 0.05])
def test_fit_one_cycle_says_where_nothing_was_learned(lr_max):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = sconv.fit_one_cycle(line(), WHOLE, epochs=60, lr_max=lr_max, verbose=0)
    said = [str(warning.message) for warning in told if "fit_one_cycle" in str(warning.message)]
    assert len(said) == (lr_max == 1e-9)
    assert all("the training loss ends where it began" in line and "another lr_max than 1e-09" in line for line in said)
    assert history.lr_max == lr_max
    assert history.range_test is None


def test_fit_one_cycle_warns_once_of_an_optimizer_without_momentum():
    with pytest.warns(UserWarning, match="momentum=0") as caught:
        sconv.fit_one_cycle(network("sgd"), ARRAYS, epochs=1, batch_size=8, range_test=RANGE, verbose=0)
    assert sum("momentum=0" in str(warning.message) for warning in caught) == 1


def test_the_option_file_has_the_defaults_of_the_function():
    from omegaconf import OmegaConf

    from sconv.lr_finder.result import RangeTestSettings
    from sconv.runner.config import schema

    chosen = OmegaConf.to_container(OmegaConf.load(schema.CONF / "config.yaml"))["lr_find"]
    # Momentum is the policy's own, at its peak.
    defaults = {name: value for name, value in asdict(RangeTestSettings()).items() if name != "momentum"}
    assert chosen == defaults
    assert set(inspect.signature(sconv.LRFinder).parameters) == {*defaults, "momentum"}
