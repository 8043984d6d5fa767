"""`attach` by its effect: training ends at the weights of a NumPy simulation of the optimizer under the schedule."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import older
import sconv
import simulations as sim
from sconv import schedules
from sconv.training.attach import inner

STEPS = 2 * sim.PER_EPOCH

# How it is built, its simulation, and a peak at which the course of the momentum shows.
OPTIMIZERS = {
    "sgd": (lambda **kw: keras.optimizers.SGD(0.01, momentum=0.9, **kw), sim.sgd, 0.05),
    "nesterov": (lambda **kw: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, **kw), sim.nesterov, 0.05),
    "rmsprop": (lambda **kw: keras.optimizers.RMSprop(0.01, momentum=0.9, **kw), sim.rmsprop, 0.05),
    "adam": (lambda **kw: keras.optimizers.Adam(0.01, **kw), sim.adam, 0.3),
    "adamw": (lambda **kw: keras.optimizers.AdamW(0.01, weight_decay=0.2, **kw), sim.adamw, 0.3),
    "nadam": (lambda **kw: keras.optimizers.Nadam(0.01, **kw), sim.nadam, 0.3),
    "lion": (lambda **kw: keras.optimizers.Lion(0.01, **kw), sim.lion, 0.25),
    "lamb": (lambda **kw: keras.optimizers.Lamb(0.01, **kw), sim.lamb, 0.3),
    "adamax": (lambda **kw: keras.optimizers.Adamax(0.01, **kw), sim.adamax, 0.3),
    "muon": (
        lambda **kw: keras.optimizers.Muon(0.01, weight_decay=None, adam_weight_decay=None, **kw),
        sim.muon,
        2.0,
    ),
}
EACH = [pytest.param(name, marks=older.NEW_MUON if name == "muon" else ()) for name in OPTIMIZERS]
IN_16_BITS = ("sgd", "nadam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rmsprop", "adam")))
# How it is run, and two optimizers there: one whose momentum is called that, and one whose momentum is a beta_1.
MODES = {
    "xla": ({"jit_compile": True}, "sgd", "nadam"),
    "eager": ({"run_eagerly": True}, "rmsprop", "adam"),
    "executions that divide the epoch": ({"steps_per_execution": 5}, "sgd", "adam"),
    "executions that do not": ({"steps_per_execution": 7}, "rmsprop", "nadam"),
}


def table(lr_max, steps=STEPS):
    return schedules.onecycle_fastai(lr_max).sample(steps)


def linear_loss(y_true, y_pred):
    return keras.ops.mean(y_true * y_pred, axis=-1)


def build(optimizer, loss="mse", jit_compile=False, **compiled):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights(sim.START)
    model.compile(optimizer, loss, jit_compile=jit_compile, **compiled)
    return model


def fit(model, *callbacks, epochs=2, x=sim.X, y=sim.Y, **kwargs):
    model.fit(x, y, batch_size=sim.BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks], **kwargs)
    return model.get_weights()


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@functools.cache
def cycled(name):
    """The weights after one cycle in graph mode, which are compared with more than one thing."""
    optimizer, _, lr_max = OPTIMIZERS[name]
    return fit(build(optimizer()), sconv.OneCycleScheduler(lr_max))


@pytest.mark.parametrize("name", EACH)
def test_graph(name):
    _, rule, lr_max = OPTIMIZERS[name]
    sim.check(cycled(name), rule, table(lr_max))


@pytest.mark.parametrize(("mode", "name"), [(mode, name) for mode, (_, *names) in MODES.items() for name in names])
def test_modes_of_fit(mode, name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    weights = fit(build(optimizer(), **MODES[mode][0]), sconv.OneCycleScheduler(lr_max))
    sim.check(weights, rule, table(lr_max))


@pytest.mark.parametrize("name", ["sgd", "nadam"])
def test_accumulated_gradients_are_averaged_and_updates_counted(name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    weights = fit(build(optimizer(gradient_accumulation_steps=2)), sconv.OneCycleScheduler(lr_max), epochs=4)
    lrs, momenta = table(lr_max, steps=STEPS)
    sim.check(weights, rule, (lrs, momenta, sim.batches(size=2 * sim.BATCH)))


def test_accumulation_in_executions_that_do_not_divide_the_epoch():
    optimizer, rule, lr_max = OPTIMIZERS["adam"]
    model = build(optimizer(gradient_accumulation_steps=2), steps_per_execution=3)
    weights = fit(model, sconv.OneCycleScheduler(lr_max), epochs=4)
    sim.check(weights, rule, (*table(lr_max), sim.batches(size=2 * sim.BATCH)))


def custom_loop(optimizer, compiled=True):
    """Two variables, and a function that trains them for a number of updates."""
    variables = [keras.Variable(part) for part in sim.START]

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x @ variables[0] + variables[1] - y) ** 2)
        values = [variable.value for variable in variables]
        optimizer.apply(tape.gradient(loss, values), variables)

    step = tf.function(step) if compiled else step
    optimizer.build(variables)

    def run(updates=STEPS):
        data = sim.batches()
        for at in range(updates):
            step(*map(tf.constant, data[at % len(data)]))
        return [variable.numpy() for variable in variables]

    return run


@pytest.mark.parametrize(("name", "compiled"), [("sgd", True), ("nadam", True), ("rmsprop", False), ("adam", False)])
def test_custom_loop(name, compiled):
    build_optimizer, rule, lr_max = OPTIMIZERS[name]
    optimizer = build_optimizer()
    run = custom_loop(optimizer, compiled)
    sconv.attach(optimizer, schedules.onecycle_fastai(lr_max), STEPS)
    sim.check(run(), rule, table(lr_max))


@pytest.mark.parametrize("compiled", [True, False], ids=["tf.function", "eager"])
def test_custom_loop_attached_twice_then_detached(compiled):
    build_optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    optimizer = build_optimizer()
    run = custom_loop(optimizer, compiled)
    sconv.attach(optimizer, schedules.onecycle_fastai(lr_max), STEPS)
    run()
    sconv.attach(optimizer, schedules.onecycle_fastai(lr_max / 2), 10)
    run(10)
    sconv.detach(optimizer)
    weights = run(5)
    sim.check(weights, rule, table(lr_max), table(lr_max / 2, 10), sim.plain(5, 0.01, 0.9))


def test_custom_loop_holds_the_final_values_past_the_end():
    build_optimizer, rule, _ = OPTIMIZERS["sgd"]
    optimizer = build_optimizer()
    run = custom_loop(optimizer)
    policy = schedules.onecycle(0.05, final_div_factor=1.0)
    sconv.attach(optimizer, policy, 10)
    lrs, momenta = policy.sample(10)
    sim.check(run(15), rule, (np.pad(lrs, (0, 5), "edge"), np.pad(momenta, (0, 5), "edge")))


@pytest.mark.parametrize("name", IN_16_BITS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_bfloat16(policy, name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    weights = fit(build(optimizer(), linear_loss), sconv.OneCycleScheduler(lr_max), x=sim.X16, y=sim.Y16)
    segment = (*table(lr_max), sim.batches(sim.X16, sim.Y16))
    sim.check(weights, rule, segment, gradient=sim.linear_gradient, tolerance=5e-5)


def test_bfloat16_with_a_loss_that_rounds():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        weights = fit(build(OPTIMIZERS["nesterov"][0]()), sconv.OneCycleScheduler(0.05))
    finally:
        keras.config.set_dtype_policy("float32")
    lrs, momenta = table(0.05)
    expected = sim.simulate(sim.nesterov, (lrs, momenta))
    error = sim.distance(weights, expected)
    assert error < 0.02
    for held in sim.HELD:
        assert sim.distance(weights, sim.simulate(sim.nesterov, (lrs, np.full(STEPS, held)))) > 2 * error


class Executed(keras.callbacks.Callback):
    """Notes which batches moved the optimizer's counter."""

    def on_train_begin(self, logs=None):
        self.at, self.seen = [], 0

    def on_train_batch_end(self, batch, logs=None):
        made = int(inner(self.model.optimizer).iterations)
        if made > self.seen:
            self.at.append(batch)
        self.seen = made


@pytest.mark.parametrize("name", IN_16_BITS)
@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_float16_skipped_updates_do_not_move_the_schedule(policy, name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    executed = Executed()
    model = build(optimizer(), linear_loss)
    with pytest.warns(UserWarning, match=rf"loss scaling skipped \d of {STEPS} updates") as told:
        weights = fit(model, sconv.OneCycleScheduler(lr_max), executed, x=sim.X16, y=sim.Y16)
    done = len(executed.at)
    assert f"skipped {STEPS - done} of" in str(told[0].message)
    assert STEPS / 2 < done < STEPS, "this test needs a few updates that overflow"
    epoch = sim.batches(sim.X16, sim.Y16)
    data = [epoch[at] for at in executed.at]
    lrs, momenta = table(lr_max)
    known = {"gradient": sim.linear_gradient}
    sim.check(weights, rule, (lrs[:done], momenta[:done], data), tolerance=5e-5, **known)
    moved = sim.simulate(rule, (lrs[-done:], momenta[-done:], data), **known)
    assert sim.distance(weights, moved) > 5e-3, "a skipped update would not show"


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_float16_updates_that_are_skipped_as_usual_are_not_worth_a_word(policy):
    optimizer, _, lr_max = OPTIMIZERS["adam"]
    callback, epochs = sconv.OneCycleScheduler(lr_max), 20
    fit(build(optimizer(), linear_loss), callback, x=sim.X16, y=sim.Y16, epochs=epochs)
    assert 0 < epochs * sim.PER_EPOCH - len(callback.lrs) < 10


def train_on_two_replicas():
    """Print the final weights of some optimizers under MirroredStrategy; runs in a process of its own."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    data = tf.data.Dataset.from_tensor_slices((sim.X, sim.Y)).batch(sim.BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    result = {}
    for name in ("adamw", "nadam"):
        optimizer, _, lr_max = OPTIMIZERS[name]
        with strategy.scope():
            model = build(optimizer())
        model.fit(data.with_options(options), epochs=2, verbose=0, callbacks=[sconv.OneCycleScheduler(lr_max)])
        model.fit(data.with_options(options), epochs=1, verbose=0)
        result[name] = [part.tolist() for part in model.get_weights()]
    print(json.dumps(result))


@pytest.mark.slow
def test_two_replicas():
    here = Path(__file__).parent
    places = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    code = "import test_attach; test_attach.train_on_two_replicas()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    for name, weights in json.loads(run.stdout.splitlines()[-1]).items():
        _, rule, lr_max = OPTIMIZERS[name]
        sim.check(list(map(np.array, weights)), rule, table(lr_max), sim.plain(sim.PER_EPOCH, 0.01, 0.9))


# --- Oracles that are neither ours nor Keras's ---------------------------------------------------------------------


def torch_onecycle(max_lr, total, pct_start=0.3, base=0.85, top=0.95, div=25.0, final_div=1e4):
    """PyTorch's OneCycleLR, two phases, as its source states it."""

    def anneal(start, end, pct):
        return end + (start - end) / 2 * (1 + np.cos(np.pi * pct))

    up, end = pct_start * total - 1, total - 1
    rates, momenta = [], []
    for step in range(total):
        first = step <= up
        pct = step / up if first else (step - up) / (end - up)
        low = max_lr / div
        rates.append(anneal(low, max_lr, pct) if first else anneal(max_lr, low / final_div, pct))
        momenta.append(anneal(top, base, pct) if first else anneal(base, top, pct))
    return np.array(rates), np.array(momenta)


@pytest.mark.parametrize("name", ["nesterov", "adam"])
def test_trains_as_under_pytorchs_table(name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    # PyTorch puts the peak of 20 steps on step 0.3 * 20 - 1, we put it on round(pct * 19).
    weights = fit(build(optimizer()), sconv.OneCycleScheduler(lr_max, phase_1_pct=5 / 19))
    sim.check(weights, rule, torch_onecycle(lr_max, STEPS))


def apply_kernel(name, w, slots, lr, momentum, t, g):
    """One update by TensorFlow's own fused kernel, which takes the momentum as an input."""
    ops = tf.raw_ops
    first, second = slots
    adam = {"var": w.handle, "m": first.handle, "v": second.handle, "beta1_power": momentum**t, "lr": lr, "grad": g}
    adam |= {"beta1": momentum, "beta2": 0.999, "epsilon": 1e-7}
    if name in ("sgd", "nesterov"):
        ops.ResourceApplyKerasMomentum(
            var=w.handle, accum=first.handle, lr=lr, grad=g, momentum=momentum, use_nesterov=name == "nesterov"
        )
    elif name == "rmsprop":
        ops.ResourceApplyRMSProp(
            var=w.handle, ms=first.handle, mom=second.handle, lr=lr, rho=0.9, momentum=momentum, epsilon=1e-7, grad=g
        )
    elif name == "adam":
        ops.ResourceApplyAdam(**adam, beta2_power=tf.constant(0.999) ** t)
    else:
        ops.ResourceApplyAdaMax(**adam)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "rmsprop", "adam", "adamax"])
def test_trains_as_tensorflows_fused_kernels_do(name):
    lr_max = OPTIMIZERS[name][-1]
    variables = [tf.Variable(part) for part in sim.START]
    slots = [(tf.Variable(part * 0), tf.Variable(part * 0)) for part in sim.START]

    @tf.function
    def step(x, y, lr, momentum, t):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x @ variables[0] + variables[1] - y) ** 2)
        for w, slot, g in zip(variables, slots, tape.gradient(loss, variables), strict=True):
            apply_kernel(name, w, slot, lr, momentum, t, g)

    def train(momenta):
        for w, start, pair in zip(variables, sim.START, slots, strict=True):
            w.assign(start)
            for slot in pair:
                slot.assign(start * 0)
        data = sim.batches()
        for at, (lr, momentum) in enumerate(zip(table(lr_max)[0], momenta, strict=True)):
            numbers = (tf.constant(value, tf.float32) for value in (lr, momentum, at + 1))
            step(*map(tf.constant, data[at % len(data)]), *numbers)
        return [w.numpy() for w in variables]

    weights = cycled(name)
    assert sim.distance(weights, train(table(lr_max)[1])) < sim.TOLERANCE
    for held in sim.HELD:
        assert sim.distance(weights, train(np.full(STEPS, held))) > 100 * sim.TOLERANCE


# --- What is driven, and what is refused ---------------------------------------------------------------------------


def test_a_policy_without_momentum_leaves_the_optimizers_own():
    lr_max = 0.05
    policy = schedules.onecycle_fastai(lr_max, momentum=None)
    weights = fit(build(keras.optimizers.SGD(0.01, momentum=0.7)), sconv.ScheduleCallback(policy))
    lrs = table(lr_max)[0]
    assert sim.distance(weights, sim.simulate(sim.sgd, (lrs, np.full(STEPS, 0.7)))) < sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(sim.sgd, table(lr_max))) > 100 * sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(sim.sgd, sim.plain(STEPS, 0.01, 0.7))) > 100 * sim.TOLERANCE


@pytest.mark.parametrize(("kind", "rule"), [("SGD", sim.sgd), ("RMSprop", sim.rmsprop)])
def test_built_without_momentum_it_has_none_to_cycle(kind, rule):
    lr_max = 0.1
    with pytest.warns(UserWarning, match=f"{kind} was built with momentum=0") as caught:
        weights = fit(build(getattr(keras.optimizers, kind)(0.01)), sconv.OneCycleScheduler(lr_max))
    assert sum(issubclass(warning.category, UserWarning) for warning in caught) == 1
    assert sim.distance(weights, sim.simulate(rule, (table(lr_max)[0], np.zeros(STEPS)))) < sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(rule, sim.plain(STEPS, lr_max, 0.0))) > 100 * sim.TOLERANCE


@older.NEW_MUON
def test_muon_cycles_its_momentum_and_not_adams():
    # A vector only: Muon leaves it to its inner Adam, whose beta_1 stays.
    optimizer = keras.optimizers.Muon(0.01, weight_decay=None, adam_weight_decay=None, exclude_layers=["."])
    weights = fit(build(optimizer), sconv.OneCycleScheduler(0.3))
    lrs, momenta = table(0.3)
    assert sim.distance(weights, sim.simulate(sim.adam, (lrs, np.full(STEPS, 0.9)))) < sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(sim.adam, (lrs, momenta))) > 100 * sim.TOLERANCE


def test_adagrad_has_no_momentum():
    policy = schedules.onecycle_fastai(0.5)
    with pytest.raises(ValueError, match="Adagrad") as caught:
        sconv.attach(keras.optimizers.Adagrad(0.01), policy, STEPS)
    assert all(name in str(caught.value) for name in ("SGD", "RMSprop", "Muon", "Adam", "Nadam", "Lion", "Lamb"))
    assert "momentum=None" in str(caught.value)

    def adagrad(w, g, slots, t, lr, _):
        total = slots["s"] = slots.get("s", 0.1) + g**2
        return w - lr * g / np.sqrt(total + 1e-7)

    unmoved = schedules.onecycle_fastai(0.5, momentum=None)
    weights = fit(build(keras.optimizers.Adagrad(0.01)), sconv.ScheduleCallback(unmoved))
    assert sim.distance(weights, sim.simulate(adagrad, (table(0.5)[0], np.zeros(STEPS)))) < sim.TOLERANCE
    assert sim.distance(weights, sim.simulate(adagrad, sim.plain(STEPS, 0.5, 0.0))) > 100 * sim.TOLERANCE


@older.NEW_SCHEDULE_FREE
def test_schedule_free_takes_a_rate_and_no_momentum():
    with pytest.raises(ValueError, match="got ScheduleFreeAdamW, expected momentum=None"):
        sconv.attach(keras.optimizers.ScheduleFreeAdamW(), schedules.onecycle_fastai(0.1), STEPS)

    def schedule_free(w, g, slots, t, lr, _):
        """Defazio et al. (arXiv 2405.15682), but as Keras 3.15 has it, which takes z out of the mean once it is new."""
        slots["v"] = 0.999 * slots.get("v", 0.0) + 0.001 * g**2
        slots["z"] = slots.get("z", w) - lr * g / (np.sqrt(slots["v"] / (1 - 0.999**t)) + 1e-8)
        averaged = (1 - 1 / t) * (w - 0.1 * slots["z"]) / 0.9 + slots["z"] / t
        return 0.1 * slots["z"] + 0.9 * averaged

    cycled = sconv.ScheduleCallback(schedules.onecycle_fastai(0.05, momentum=None))
    weights = fit(build(keras.optimizers.ScheduleFreeAdamW(0.5)), cycled)
    assert sim.distance(weights, sim.simulate(schedule_free, (table(0.05)[0], np.zeros(STEPS)))) < sim.TOLERANCE


def test_an_optimizer_with_a_schedule_of_its_own_is_refused():
    decay = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for own in (decay, lambda: 0.1):
        with pytest.raises(ValueError, match=r"^learning_rate: SGD already holds a schedule of its own, expected"):
            sconv.attach(keras.optimizers.SGD(own, momentum=0.9), schedules.onecycle_fastai(0.1), STEPS)


@pytest.mark.parametrize(
    ("named", "value", "error"),
    [
        ("optimizer", "sgd", TypeError),
        ("optimizer", None, TypeError),
        ("optimizer", keras.optimizers.SGD, TypeError),
        ("schedule", "onecycle", TypeError),
        ("schedule", schedules.onecycle, TypeError),
        ("steps", "20", TypeError),
        ("steps", True, TypeError),
        ("steps", None, TypeError),
        ("steps", 20.5, ValueError),
        ("steps", float("nan"), ValueError),
        ("steps", 0, ValueError),
        ("steps", 2, ValueError),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_in_one_line(named, value, error):
    arguments = {"optimizer": keras.optimizers.SGD(momentum=0.9), "schedule": schedules.onecycle(0.1), "steps": STEPS}
    with pytest.raises(error) as caught:
        sconv.attach(**{**arguments, named: value})
    assert str(caught.value).startswith(f"{named}: got ")
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("optimizer", ["sgd", None, 3])
def test_detach_of_what_is_no_optimizer_is_refused_in_one_line(optimizer):
    with pytest.raises(TypeError) as caught:
        sconv.detach(optimizer)
    assert str(caught.value).startswith("optimizer: got ")


def test_a_refused_attach_leaves_the_optimizer_as_it_was():
    optimizer, rule, _ = OPTIMIZERS["sgd"]
    optimizer = optimizer()
    model = build(optimizer)
    with pytest.raises(ValueError, match="steps"):
        sconv.attach(optimizer, schedules.onecycle(0.1), 2)
    expected = sim.simulate(rule, sim.plain(STEPS, 0.01, 0.9))
    assert sim.distance(fit(model), expected) < sim.TOLERANCE


def test_detach_of_what_was_never_attached_is_a_no_op():
    build_optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    model = build(build_optimizer())
    sconv.detach(model.optimizer)
    fit(model)
    sconv.detach(model.optimizer)
    weights = fit(model, sconv.OneCycleScheduler(lr_max))
    sconv.detach(model.optimizer)
    sconv.detach(model.optimizer)
    sim.check(weights, rule, sim.plain(STEPS, 0.01, 0.9), table(lr_max))


def test_a_compiled_loop_obeys_the_user_after_detach():
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    run = custom_loop(optimizer)
    sconv.attach(optimizer, schedules.onecycle_fastai(0.05), STEPS)
    run()
    sconv.detach(optimizer)
    optimizer.learning_rate = 0.03
    sim.check(run(5), sim.sgd, table(0.05), sim.plain(5, 0.03, 0.9))
