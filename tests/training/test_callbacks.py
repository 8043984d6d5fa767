"""The callbacks: what a `fit` with one of them trains, records, refuses and leaves behind."""

import copy
import csv
import json
import pickle
import subprocess
import sys

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from test_attach import STEPS, build, fit, table

import sconv
import simulations as sim
from sconv import schedules

matplotlib.use("Agg")

LR, MOMENTUM, PEAK = 0.01, 0.9, 0.05


def sgd_model(loss="mse", **compiled):
    return build(keras.optimizers.SGD(LR, momentum=MOMENTUM), loss, **compiled)


def one_cycle(steps=None, peak=PEAK):
    return sconv.OneCycleScheduler(peak, steps)


def own(updates=STEPS, lr=LR):
    return sim.plain(updates, lr, MOMENTUM)


class StopAfter(keras.callbacks.Callback):
    """Ends a fit after so many batches, by an exception."""

    def __init__(self, batches, error=RuntimeError):
        super().__init__()
        self.batches, self.error = batches, error

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.batches:
            raise self.error("cut short")


def cut_short(model, *callbacks, at=7, error=RuntimeError):
    with pytest.raises(error, match="cut short"):
        fit(model, *callbacks, StopAfter(at, error))


# --- Length of the run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [np.ceil(39.5 / sim.BATCH) * 2, np.int64(STEPS)], ids=repr)
def test_steps_that_are_given(steps):
    callback = one_cycle(steps)
    weights = fit(sgd_model(), callback)
    lrs, momenta = table(PEAK)
    sim.check(weights, sim.sgd, (lrs, momenta))
    assert np.array_equal(callback.lrs, lrs)
    assert np.array_equal(callback.moms, momenta)


@pytest.mark.parametrize(
    ("steps", "error"), [(2.5, ValueError), (0, ValueError), (-3, ValueError), (2, ValueError), ("20", TypeError)]
)
def test_steps_that_are_no_number_of_updates_are_refused_when_written(steps, error):
    with pytest.raises(error, match=r"^steps: got .*expected"):
        one_cycle(steps)


def test_data_of_unknown_length():
    def endless():
        while True:
            yield from sim.batches()

    model = sgd_model()
    known = {"shuffle": False, "verbose": 0, "epochs": 2}
    with pytest.raises(ValueError, match=r"^steps: got None.*steps_per_epoch") as caught:
        model.fit(endless(), callbacks=[one_cycle()], **known)
    assert "\n" not in str(caught.value)
    model.fit(endless(), steps_per_epoch=sim.PER_EPOCH, callbacks=[one_cycle()], **known)
    sim.check(model.get_weights(), sim.sgd, table(PEAK))


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("per_execution", [1, 7])
def test_data_that_ends_without_having_said_when(per_execution):
    # One at a time, Keras moves optimizer.iterations once more when the data ends, and updates nothing.
    def batches():
        yield from sim.batches()

    signature = tuple(tf.TensorSpec((sim.BATCH, width), tf.float32) for width in (3, 1))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    callback = one_cycle(STEPS)
    model = sgd_model(steps_per_execution=per_execution)
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    sim.check(model.get_weights(), sim.sgd, table(PEAK))
    assert len(callback.lrs) == STEPS


def test_initial_epoch_begins_that_far_into_the_schedule():
    callback = one_cycle()
    model = sgd_model()
    weights = fit(model, callback, epochs=3, initial_epoch=1)
    lrs, momenta = (column[sim.PER_EPOCH :] for column in table(PEAK, 3 * sim.PER_EPOCH))
    sim.check(weights, sim.sgd, (lrs, momenta))
    assert np.array_equal(callback.lrs, lrs)
    assert np.array_equal(callback.moms, momenta)
    # The same instance, from the beginning again.
    weights = fit(model, callback)
    sim.check(weights, sim.sgd, (lrs, momenta), table(PEAK))


def test_initial_epoch_under_accumulation_counts_updates():
    model = build(keras.optimizers.SGD(LR, momentum=MOMENTUM, gradient_accumulation_steps=2))
    weights = fit(model, one_cycle(), epochs=6, initial_epoch=2)
    lrs, momenta = (column[sim.PER_EPOCH :] for column in table(PEAK, 3 * sim.PER_EPOCH))
    sim.check(weights, sim.sgd, (lrs, momenta, sim.batches(size=2 * sim.BATCH)))


def test_initial_epoch_at_the_end_trains_nothing_and_leaves_nothing():
    model = sgd_model()
    with pytest.warns(UserWarning, match=f"steps={STEPS}"):
        fit(model, one_cycle(), epochs=2, initial_epoch=2)
    assert sim.distance(fit(model), sim.simulate(sim.sgd, own())) < sim.TOLERANCE


@pytest.mark.parametrize(("steps", "what"), [(30, "did not reach its end"), (12, "final values held")])
def test_more_or_fewer_updates_than_steps(steps, what):
    callback = one_cycle(steps)
    model = sgd_model()
    with pytest.warns(UserWarning, match="onecycle_fastai") as caught:
        weights = fit(model, callback)
    (message,) = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    assert f"steps={steps}," in message
    assert f" {STEPS} updates" in message
    assert what in message
    rows = np.minimum(np.arange(STEPS), steps - 1)
    lrs, momenta = (column[rows] for column in table(PEAK, steps))
    sim.check(weights, sim.sgd, (lrs, momenta))
    assert np.array_equal(callback.lrs, lrs)
    assert np.array_equal(callback.moms, momenta)


class Stop(keras.callbacks.Callback):
    """Ends a fit after its first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


EARLY = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)


@pytest.mark.parametrize(
    ("stop", "epochs", "made", "who"), [(EARLY, 3, 20, "EarlyStopping"), (Stop(), 2, 10, "stop_training")]
)
def test_who_ended_a_fit_before_its_schedule_is_told(stop, epochs, made, who):
    callback = one_cycle()
    planned = epochs * sim.PER_EPOCH
    with pytest.warns(UserWarning, match=rf"^onecycle_fastai: {who} ended the fit after {made} of {planned} updates"):
        weights = fit(sgd_model(), callback, stop, epochs=epochs)
    lrs, momenta = (column[:made] for column in table(PEAK, planned))
    sim.check(weights, sim.sgd, (lrs, momenta))
    assert np.array_equal(callback.lrs, lrs)


# --- One fit after another -----------------------------------------------------------------------------------------


# The other modes: test_only_the_first_cycle_traces.
@pytest.mark.parametrize("compiled", [{"jit_compile": True}, {"run_eagerly": True}], ids=str)
def test_two_cycles_then_plain(compiled):
    model = sgd_model(**compiled)
    callback = one_cycle()
    fit(model, callback)
    weights = fit(model, callback)
    sim.check(weights, sim.sgd, table(PEAK), table(PEAK))
    weights = fit(model)
    sim.check(weights, sim.sgd, table(PEAK), table(PEAK), own())


@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 4}, {"jit_compile": True}], ids=str)
def test_the_step_is_traced_once_and_trains_as_a_plain_one(compiled):
    traces = []

    class Counting(keras.layers.Dropout):
        def call(self, inputs, training=False):
            traces.extend([True] if training else [])
            return super().call(inputs, training=training)

    def trained(*callbacks):
        traces.clear()
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        body = [keras.layers.Dense(8, "relu"), Counting(0.5), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((3,)), *body])
        model.compile(keras.optimizers.Adam(LR), "mse", metrics=["mae"], **compiled)
        return fit(model, *callbacks), len(traces)

    plain, twice = trained()
    held, once = trained(sconv.ScheduleCallback(schedules.constant(LR)))
    assert sim.distance(plain, held) < sim.TOLERANCE
    assert once * 2 == twice


def test_metrics_that_cannot_be_made_before_the_step_are_made_in_it():
    seen = []

    def not_at_first(y_true, y_pred):
        seen.append(True)
        if len(seen) == 1:
            raise RuntimeError("not now")
        return keras.ops.abs(y_true - y_pred)

    history = sgd_model(metrics=[not_at_first]).fit(sim.X, sim.Y, epochs=2, verbose=0, callbacks=[one_cycle()])
    assert history.history["not_at_first"][1] > 0
    assert len(seen) > 1


class Unfreeze(keras.callbacks.Callback):
    """Has the first layer learn too, when the first epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[0].trainable = True


def own_step(model):
    """On the instance: it also moves a variable that no layer has."""
    beside, step = keras.Variable(1.0), model.train_step

    def train_step(data):
        model.optimizer.build([*model.trainable_variables, beside])
        return step(data)

    model.train_step = train_step
    return model


class Branched(keras.Model):
    """With a layer that is there in training alone."""

    def __init__(self):
        super().__init__()
        self.head, self.beside = keras.layers.Dense(1), keras.layers.Dense(1)

    def build(self, shape):
        self.head.build(shape)

    def call(self, inputs, training=False):
        return self.head(inputs) + (self.beside(inputs) if training else 0.0)


def test_no_variable_is_made_too_soon_or_twice():
    layers = [keras.layers.Dense(3, trainable=False), keras.layers.Dense(1)]
    frozen = keras.Sequential([keras.Input((3,)), *layers])
    branched = Branched()
    branched(sim.X[:1])
    for model, *others in ((frozen, Unfreeze()), (branched,)):
        model.compile(keras.optimizers.SGD(LR, momentum=MOMENTUM), "mse")
        fit(model, one_cycle(), *others)
        assert len(model.optimizer.variables) == 2 + len(model.trainable_variables) == 6
    model = sgd_model()
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(LR, momentum=MOMENTUM)), "mse")
    model.optimizer.build(model.trainable_variables)
    made = len(model.optimizer.variables)
    fit(model, one_cycle())
    assert len(model.optimizer.variables) == made
    model = own_step(sgd_model())
    fit(model, one_cycle())
    assert len(model.optimizer.variables) == 2 + 3


def test_plain_then_a_cycle_then_plain():
    loss = CountingLoss()
    model = sgd_model(loss)
    fit(model)
    fit(model, one_cycle())
    before = loss.traces
    weights = fit(model)
    sim.check(weights, sim.sgd, own(), table(PEAK), own())
    model.optimizer.learning_rate = 0.02
    weights = fit(model, epochs=1)
    sim.check(weights, sim.sgd, own(), table(PEAK), own(), own(sim.PER_EPOCH, 0.02))
    fit(model, one_cycle(), epochs=3)
    fit(model)
    assert loss.traces == before, "what was plain first, or the schedule, traced again"


def test_adam_continues_its_own_count_through_fits():
    model = build(keras.optimizers.Adam(0.05))
    own_adam = sim.plain(STEPS, 0.05, 0.9)
    fit(model)
    fit(model, one_cycle(peak=0.3))
    fit(model, one_cycle(peak=0.3))
    weights = fit(model)
    sim.check(weights, sim.adam, own_adam, table(0.3), table(0.3), own_adam)


def test_plain_fits_between_cycles_may_use_keras_own_schedulers():
    model = sgd_model()
    fit(model, one_cycle())
    rates = [0.03, 0.02]
    fit(model, keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch]))
    weights = fit(model, one_cycle())
    between = np.repeat(rates, sim.PER_EPOCH), np.full(STEPS, MOMENTUM)
    sim.check(weights, sim.sgd, table(PEAK), between, table(PEAK))


def test_policies_with_and_without_momentum_take_turns():
    model = sgd_model()
    unmoved = schedules.onecycle_fastai(PEAK, momentum=None)
    for _ in range(2):
        fit(model, one_cycle())
        weights = fit(model, sconv.ScheduleCallback(unmoved))
    alone = table(PEAK)[0], np.full(STEPS, MOMENTUM)
    sim.check(weights, sim.sgd, table(PEAK), alone, table(PEAK), alone)


class CountingLoss:
    """Mean squared error that counts how often it is traced."""

    def __init__(self):
        self.traces = 0
        self.__name__ = "counting_loss"

    def __call__(self, y_true, y_pred):
        self.traces += 1
        return keras.ops.mean((y_pred - y_true) ** 2, axis=-1)


@pytest.mark.parametrize(
    "compiled",
    [{}, {"steps_per_execution": 7}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)],
    ids=str,
)
def test_only_the_first_cycle_traces(compiled):
    loss = CountingLoss()
    model = sgd_model(loss, **compiled)
    counts = []
    runs = [(one_cycle(), 2), (one_cycle(), 3), (one_cycle(steps=10.0), 1), (None, 2), (one_cycle(), 2), (None, 1)]
    for callback, epochs in runs:
        weights = fit(model, *filter(None, [callback]), epochs=epochs)
        counts.append(loss.traces)
    first, second, third, plain, again, last = counts
    assert first > 0
    assert (second, third) == (first, first), "a later cycle traced again"
    # Keras traces a step's loss once, twice under steps_per_execution; the first fit also builds the model with it.
    assert first >= plain - third > 0, "the plain fit ran on the schedule's trace, or traced more than its own once"
    assert (again, last) == (plain, plain), "taking turns traced again"
    segments = [table(PEAK, 20), table(PEAK, 30), table(PEAK, 10), own(), table(PEAK, 20), own(10)]
    sim.check(weights, sim.sgd, *segments)


def test_a_plain_fit_on_batches_of_another_size_leaves_the_schedules_trace_alone():
    def fit_wider(*callbacks):
        model.fit(sim.X, sim.Y, batch_size=8, shuffle=False, verbose=0, callbacks=[*callbacks])

    model = sgd_model()
    fit(model, one_cycle())
    fit_wider()
    fit_wider(one_cycle())
    wider = sim.batches(size=8)
    segments = table(PEAK), (*own(5), wider), (*table(PEAK, 5), wider)
    sim.check(model.get_weights(), sim.sgd, *segments)


def absolute_gradient(weights, batch):
    x, y = batch
    sign = np.sign(x @ weights[0] + weights[1] - y)
    return [x.T @ sign / len(x), sign.mean(axis=0)]


def switching_gradient(updates):
    """That of the squared error for so many updates, then that of the absolute error."""
    count = iter(range(10_000))

    def gradient(weights, batch):
        return (sim.mse_gradient if next(count) < updates else absolute_gradient)(weights, batch)

    return gradient


def check_recompiled(weights, before, *segments):
    """As `simulations.check`, the loss having changed after so many updates."""
    expected = sim.simulate(sim.sgd, *segments, gradient=switching_gradient(before))
    assert sim.distance(weights, expected) < sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(sim.sgd, *segments)) > 100 * sim.TOLERANCE, "the loss does not show"
    for value in sim.HELD:
        held = [(lrs, np.full_like(m, value) if np.ptp(m) else m) for lrs, m in segments]
        elsewhere = sim.simulate(sim.sgd, *held, gradient=switching_gradient(before))
        assert sim.distance(weights, elsewhere) > 100 * sim.TOLERANCE


def test_compiling_with_another_loss_traces_again():
    model = sgd_model()
    fit(model)
    fit(model, one_cycle())
    model.compile(model.optimizer, "mae", jit_compile=False)
    fit(model, one_cycle())
    weights = fit(model)
    check_recompiled(weights, 2 * STEPS, own(), table(PEAK), table(PEAK), own())


def test_compiling_with_another_optimizer_drives_that_one():
    model = sgd_model()
    fit(model, one_cycle())
    model.compile(keras.optimizers.Adam(LR), "mse", jit_compile=False)
    model.set_weights(sim.START)
    weights = fit(model, one_cycle(peak=0.3))
    sim.check(weights, sim.adam, table(0.3))


# --- Cut short -----------------------------------------------------------------------------------------------------


def part(updates=7):
    return tuple(column[:updates] for column in table(PEAK))


@pytest.mark.parametrize(("compiled", "error"), [({}, KeyboardInterrupt), ({"run_eagerly": True}, RuntimeError)])
def test_cut_short_then_detached(compiled, error):
    model = sgd_model(**compiled)
    cut_short(model, one_cycle(), error=error)
    sconv.detach(model.optimizer)
    weights = fit(model)
    sim.check(weights, sim.sgd, part(), own())
    model.optimizer.learning_rate = 0.03
    weights = fit(model, epochs=1)
    sim.check(weights, sim.sgd, part(), own(), own(sim.PER_EPOCH, 0.03))


def test_cut_short_then_detached_after_a_plain_fit():
    model = sgd_model()
    fit(model)
    cut_short(model, one_cycle())
    sconv.detach(model.optimizer)
    model.optimizer.learning_rate = 0.03
    weights = fit(model)
    sim.check(weights, sim.sgd, own(), part(), own(STEPS, 0.03))


def test_cut_short_then_another_cycle():
    model = sgd_model()
    cut_short(model, one_cycle())
    weights = fit(model, one_cycle())
    sim.check(weights, sim.sgd, part(), table(PEAK))
    cut_short(model, one_cycle())
    fit(model, one_cycle())
    weights = fit(model)
    sim.check(weights, sim.sgd, part(), table(PEAK), part(), table(PEAK), own())


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "another cycle"])
def test_cut_short_then_compiled_with_another_loss(detached):
    model = sgd_model()
    fit(model)
    cut_short(model, one_cycle())
    model.compile(model.optimizer, "mae", jit_compile=False)
    if detached:
        sconv.detach(model.optimizer)
    else:
        fit(model, one_cycle())
    weights = fit(model)
    then = [] if detached else [table(PEAK)]
    check_recompiled(weights, STEPS + 7, own(), part(), *then, own())


# --- What is left on disk and in the optimizer ---------------------------------------------------------------------

WITHOUT_SCONV = """
import json, sys
sys.modules["sconv"] = None
import keras
import numpy as np
import simulations as sim

result = []
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    config = model.optimizer.get_config()
    config = config["inner_optimizer"]["config"] if "inner_optimizer" in config else config
    updates = int(model.optimizer.iterations)
    model.fit(sim.X, sim.Y, batch_size=sim.BATCH, shuffle=False, verbose=0)
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    result.append({
        "kind": f"{type(inner).__module__}.{type(inner).__name__}",
        "learning_rate": config["learning_rate"],
        "momentum": config["momentum" if "momentum" in config else "beta_1"],
        "updates": updates,
        "weights": [part.tolist() for part in model.get_weights()],
    })
assert sys.modules["sconv"] is None and not [name for name in sys.modules if name.startswith("sconv.")]
print(json.dumps(result))
"""


def load_without_sconv(paths):
    """Load each file where sconv cannot be imported, train one plain epoch, and say what came of it."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_SCONV, *map(str, paths)],
        env={"PATH": "", "PYTHONPATH": str(sim.__file__).rpartition("/")[0], "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
def test_what_is_saved_is_stock(tmp_path):
    def saving(name):
        return keras.callbacks.ModelCheckpoint(tmp_path / f"{name}-{{epoch}}.keras")

    model = sgd_model()
    fit(model, one_cycle(), saving("sgd"))
    model.save(tmp_path / "sgd-after.keras")
    adam = build(keras.optimizers.Adam(0.05))
    fit(adam, one_cycle(peak=0.3), saving("adam"))
    scaled = build(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(LR, momentum=MOMENTUM), initial_scale=1.0))
    fit(scaled, one_cycle(), saving("scaled"))
    cut_short(scaled, one_cycle(), at=5)
    scaled.save(tmp_path / "scaled-cut.keras")

    half = tuple(column[: sim.PER_EPOCH] for column in table(PEAK))
    half_adam = tuple(column[: sim.PER_EPOCH] for column in table(0.3))
    sgd = "SGD", LR, MOMENTUM, sim.sgd
    expected = {
        "sgd-1": (*sgd, [half]),
        "sgd-2": (*sgd, [table(PEAK)]),
        "sgd-after": (*sgd, [table(PEAK)]),
        "adam-1": ("Adam", 0.05, 0.9, sim.adam, [half_adam]),
        "scaled-1": (*sgd, [half]),
        "scaled-cut": (*sgd, [table(PEAK), part(5)]),
    }
    results = load_without_sconv([tmp_path / f"{name}.keras" for name in expected])
    for result, (kind, lr, momentum, rule, segments) in zip(results, expected.values(), strict=True):
        assert result["kind"].startswith("keras.")
        assert result["kind"].endswith(f".{kind}")
        assert result["learning_rate"] == pytest.approx(lr, rel=1e-6)
        assert result["momentum"] == momentum
        assert result["updates"] == sum(len(segment[0]) for segment in segments)
        sim.check(list(map(np.array, result["weights"])), rule, *segments, sim.plain(sim.PER_EPOCH, lr, momentum))


@pytest.mark.parametrize(
    ("kind", "kwargs", "attribute"),
    [("SGD", {"momentum": 0.8, "nesterov": True}, "momentum"), ("RMSprop", {"momentum": 0.7}, "momentum")]
    + [(kind, {"beta_1": 0.88}, "beta_1") for kind in ("Adam", "Nadam")],
)
def test_afterwards_the_optimizer_is_the_users(kind, kwargs, attribute):
    model = build(getattr(keras.optimizers, kind)(0.0125, **kwargs))
    before = model.optimizer.get_config()
    fit(model, one_cycle(), epochs=1)
    assert float(model.optimizer.learning_rate) == np.float32(0.0125)
    assert type(getattr(model.optimizer, attribute)) is float
    assert getattr(model.optimizer, attribute) == kwargs[attribute]
    assert model.optimizer.get_config() == before


# --- Recorded and drawn --------------------------------------------------------------------------------------------


def test_golden_values_of_the_notebooks_defaults():
    """PyTorch's OneCycleLR for 10 steps of lr_max 1, from its own source; the peak on step 2."""
    callback = sconv.OneCycleScheduler(1e-3, phase_1_pct=0.2)
    fit(sgd_model(), callback, epochs=1)
    rates = [0.04, 0.52, 1, 0.950485, 0.811746, 0.611262, 0.388742, 0.188258, 0.0495194, 4e-6]
    momenta = [0.95, 0.9, 0.85, 0.855, 0.8688, 0.8889, 0.9111, 0.9312, 0.945, 0.95]
    np.testing.assert_allclose(callback.lrs, np.array(rates) * 1e-3, rtol=2e-5)
    np.testing.assert_allclose(callback.moms, momenta, atol=6e-5)


def test_any_policy():
    policy = schedules.onecycle(PEAK, momentum=(0.9, 0.5), div_factor=5.0, pct_start=0.4)
    callback = sconv.ScheduleCallback(policy)
    weights = fit(sgd_model(), callback)
    lrs, momenta = policy.sample(STEPS)
    sim.check(weights, sim.sgd, (lrs, momenta))
    assert np.array_equal(callback.lrs, lrs)
    assert np.array_equal(callback.moms, momenta)


def test_arguments_of_one_cycle_reach_the_weights():
    kwargs = {"mom_min": 0.5, "mom_max": 0.8, "phase_1_pct": 0.5, "div_factor": 4.0}
    weights = fit(sgd_model(), sconv.OneCycleScheduler(0.1, STEPS, **kwargs))
    policy = schedules.onecycle_fastai(0.1, (0.8, 0.5), 4.0, pct_start=0.5)
    sim.check(weights, sim.sgd, policy.sample(STEPS))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr_max", 0, ValueError),
        ("lr_max", "0.1", TypeError),
        ("mom_min", -0.1, ValueError),
        ("mom_max", 0.5, ValueError),
        ("mom_max", 1.0, ValueError),
        ("phase_1_pct", 0, ValueError),
        ("phase_1_pct", 1, ValueError),
        ("div_factor", 0.5, ValueError),
    ],
)
def test_arguments_of_one_cycle_out_of_range_are_refused_by_their_own_names(name, value, error):
    with pytest.raises(error, match=rf"^{name}: got .*expected") as caught:
        sconv.OneCycleScheduler(**{"lr_max": 0.1, name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["onecycle", schedules.onecycle, None, 0.1])
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^schedule: got "):
        sconv.ScheduleCallback(wrong)


def shown(figure):
    """The PNG that a notebook shows for a value, once: pyplot would show it too where it knew of it."""
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert matplotlib.pyplot.get_fignums() == []


def test_plot():
    callback = one_cycle()
    with pytest.raises(ValueError, match="fit"):
        callback.plot()
    model = sgd_model()
    fit(model, callback)
    alone = sconv.ScheduleCallback(schedules.cosine(PEAK))
    fit(model, alone)
    assert alone.moms is None
    expected = {callback: table(PEAK), alone: schedules.cosine(PEAK).sample(STEPS)[:1]}
    for drawn, columns in expected.items():
        figure = drawn.plot()
        shown(figure)
        lines = [line.get_ydata() for axis in figure.axes for line in axis.get_lines()]
        assert len(lines) == len(columns)
        assert all(np.array_equal(line, column) for line, column in zip(lines, columns, strict=True))


def of_epochs(peak=PEAK):
    """Learning rate and momentum of the last update of each of two epochs."""
    return [column[[sim.PER_EPOCH - 1, STEPS - 1]] for column in table(peak)]


@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 7}], ids=str)
def test_an_epochs_logs_have_its_rate_and_momentum_for_whoever_comes_first(compiled, tmp_path, capsys):
    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.told = self.model.evaluate(sim.X, sim.Y, verbose=0, return_dict=True)

    log, board, evaluate = tmp_path / "log.csv", keras.callbacks.TensorBoard(tmp_path), Evaluate()
    model = sgd_model(**compiled)
    # Ours comes last.
    callbacks = [keras.callbacks.CSVLogger(log), board, evaluate, one_cycle()]
    known = {"epochs": 2, "batch_size": sim.BATCH, "shuffle": False, "validation_data": (sim.X, sim.Y)}
    history = model.fit(sim.X, sim.Y, verbose=2, callbacks=callbacks, **known).history
    lrs, momenta = of_epochs()
    np.testing.assert_allclose(history["learning_rate"], lrs)
    np.testing.assert_allclose(history["momentum"], momenta)
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [float(row["momentum"]) for row in rows] == history["momentum"]
    assert [float(row["learning_rate"]) for row in rows] == history["learning_rate"]
    assert f"momentum: {momenta[0]:.4f}" in capsys.readouterr().out
    tags = b"".join(path.read_bytes() for path in (tmp_path / "train").iterdir())
    assert b"epoch_momentum" in tags
    assert not {"val_learning_rate", "val_momentum"} & history.keys()
    assert evaluate.told.keys() == {"loss"}
    plain = model.fit(sim.X, sim.Y, verbose=0, epochs=1).history
    assert plain.keys() == {"loss"}


def through_a_file(made):
    return pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize(
    ("copied", "write"), [(through_a_file, print), (copy.deepcopy, None)], ids=["recording", "plain"]
)
def test_a_copy_after_fit_knows_what_was_done_and_trains_as_well(copied, write, capsys):
    model = sgd_model()
    made = sconv.ScheduleCallback(schedules.onecycle_fastai(PEAK), write=write)
    fit(model, made)
    other = copied(made)
    for name in ("lrs", "moms", "losses"):
        assert np.array_equal(getattr(made, name), getattr(other, name))
    other.plot()
    weights = fit(model, other)
    sim.check(weights, sim.sgd, table(PEAK), table(PEAK))


# --- Refused -------------------------------------------------------------------------------------------------------


def test_a_second_schedule_in_the_same_fit_is_refused():
    model = sgd_model(run_eagerly=True)
    with pytest.raises(ValueError, match=r"^callbacks: got the schedules onecycle_fastai and constant") as caught:
        fit(model, one_cycle(), sconv.ScheduleCallback(schedules.constant(0.1)))
    assert "\n" not in str(caught.value)
    # Nothing has been left behind.
    assert sim.distance(fit(model, epochs=1), sim.simulate(sim.sgd, own(sim.PER_EPOCH))) < sim.TOLERANCE


class SetEveryBatch(keras.callbacks.Callback):
    """What a user may have written against an older Keras."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.02


@pytest.mark.parametrize(
    ("make", "ours_first"),
    [
        (lambda: keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9), True),
        (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.02), False),
        (SetEveryBatch, True),
    ],
    ids=["ReduceLROnPlateau", "LearningRateScheduler", "own"],
)
def test_what_else_sets_the_learning_rate_is_told_once_and_changes_nothing_until_afterwards(make, ours_first):
    model = sgd_model()
    callbacks = [one_cycle(), make()]
    with pytest.warns(UserWarning, match="learning_rate: something else set it to") as caught:
        weights = fit(model, *(callbacks if ours_first else callbacks[::-1]))
    # NumPy 2 has its own to say of older versions of Keras.
    (told,) = [each for each in caught if each.category is UserWarning]
    assert "but onecycle_fastai drives it" in str(told.message)
    sim.check(weights, sim.sgd, table(PEAK))
    left = float(model.optimizer.learning_rate)
    assert left != np.float32(LR)
    weights = fit(model)
    sim.check(weights, sim.sgd, table(PEAK), own(STEPS, left))


def test_an_optimizer_that_cannot_be_driven_is_refused_in_fit():
    decay = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for optimizer, name in (
        (keras.optimizers.SGD(decay, momentum=0.9), "SGD already holds a schedule of its own"),
        (keras.optimizers.Adagrad(), "Adagrad"),
    ):
        with pytest.raises(ValueError, match=name):
            fit(build(optimizer, run_eagerly=True), one_cycle())
