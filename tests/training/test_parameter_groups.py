"""Groups of parameters by their effect: training ends at the weights of a NumPy simulation under a cycling schedule."""

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
from sconv import checks, schedules
from sconv.training.parameter_groups import group_parameters

STEPS = 2 * sim.PER_EPOCH
L2, DECAY, FACTOR = 0.3, 0.4, 0.25

OPTIMIZERS = {
    "sgd": (lambda **kw: keras.optimizers.SGD(0.01, momentum=0.9, **kw), sim.sgd, 0.05),
    "nesterov": (lambda **kw: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, **kw), sim.nesterov, 0.05),
    "rmsprop": (lambda **kw: keras.optimizers.RMSprop(0.01, momentum=0.9, **kw), sim.rmsprop, 0.05),
    "adam": (lambda **kw: keras.optimizers.Adam(0.01, **kw), sim.adam, 0.3),
    "nadam": (lambda **kw: keras.optimizers.Nadam(0.01, **kw), sim.nadam, 0.3),
}
MODES = {
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "executions that do not divide the epoch": {"steps_per_execution": 7},
}


def table(lr_max):
    return schedules.onecycle_fastai(lr_max).sample(STEPS)


def coupled(rule, l2=L2, everywhere=False):
    """Caffe's and PyTorch's weight decay: in the gradient, and so in the momentum."""

    def decayed(w, g, *rest):
        return rule(w, g + l2 * w if everywhere or w.size == 3 else g, *rest)

    return decayed


def decoupled(rule, decay=DECAY, everywhere=False):
    """Loshchilov and Hutter's, scaled by the learning rate: beside the update."""

    def decayed(w, g, slots, t, lr, momentum):
        return rule(w - lr * decay * w if everywhere or w.size == 3 else w, g, slots, t, lr, momentum)

    return decayed


def slower(rule, factor=FACTOR):
    """The kernel at a share of the learning rate."""

    def scaled(w, g, slots, t, lr, momentum):
        return rule(w, g, slots, t, lr * factor if w.size == 3 else lr, momentum)

    return scaled


def two_layers():
    """The problem of the simulations with its kernel in a layer `backbone` and its bias in a layer `head`."""
    inputs = keras.Input((3,))
    one = keras.layers.Lambda(lambda x: x[:, :1] * 0 + 1)(inputs)
    parts = [
        keras.layers.Dense(1, use_bias=False, name="backbone")(inputs),
        keras.layers.Dense(1, use_bias=False, name="head")(one),
    ]
    model = keras.Model(inputs, keras.layers.Add()(parts))
    model.set_weights([sim.START[0], sim.START[1].reshape(1, 1)])
    return model


def one_layer():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="only")])
    model.set_weights(sim.START)
    return model


def fit(model, optimizer, lr_max, epochs=2, jit_compile=False, **compiled):
    model.compile(optimizer, "mse", jit_compile=jit_compile, **compiled)
    cycle = sconv.OneCycleScheduler(lr_max)
    model.fit(sim.X, sim.Y, batch_size=sim.BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[cycle])
    return [part.reshape(start.shape) for part, start in zip(model.get_weights(), sim.START, strict=True)]


def differs(weights, rule, lr_max):
    assert sim.distance(weights, sim.simulate(rule, table(lr_max))) > 100 * sim.TOLERANCE


@pytest.mark.parametrize("name", ["nesterov", "rmsprop", "nadam"])
def test_l2_goes_through_the_momentum_and_spares_the_bias(name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    weights = fit(one_layer(), group_parameters(optimizer(), l2=L2), lr_max)
    sim.check(weights, coupled(rule), table(lr_max))
    for other in (rule, decoupled(rule, L2), coupled(rule, everywhere=True)):
        differs(weights, other, lr_max)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_weight_decay_is_decoupled_and_spares_the_bias(name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    weights = fit(one_layer(), group_parameters(optimizer(weight_decay=DECAY)), lr_max)
    sim.check(weights, decoupled(rule), table(lr_max))
    for other in (rule, coupled(rule, DECAY), decoupled(rule, everywhere=True)):
        differs(weights, other, lr_max)


@pytest.mark.parametrize(("setting", "rule"), [("l2", coupled), ("weight_decay", decoupled)])
def test_decay_all_does_not_spare_the_bias(setting, rule):
    own = {"weight_decay": 0.4} if setting == "weight_decay" else {}
    grouped = {"l2": 0.4} if setting == "l2" else {}
    optimizer = group_parameters(OPTIMIZERS["sgd"][0](**own), decay_all=True, **grouped)
    sim.check(fit(one_layer(), optimizer, 0.05), rule(sim.sgd, 0.4, everywhere=True), table(0.05))


def test_with_the_same_number_l2_pulls_harder_than_weight_decay():
    # The reason for two names: a printed 5e-4 is not the other's 5e-4.
    plain = sim.simulate(sim.sgd, table(0.05))[0]
    by_l2 = sim.simulate(coupled(sim.sgd, 0.1), table(0.05))[0]
    by_decay = sim.simulate(decoupled(sim.sgd, 0.1), table(0.05))[0]
    assert np.abs(plain - by_l2).sum() > 2 * np.abs(plain - by_decay).sum()


@pytest.mark.parametrize("mode", MODES)
def test_in_every_mode_of_fit(mode):
    optimizer, rule, lr_max = OPTIMIZERS["adam"]
    model = two_layers()
    group_parameters(built := optimizer(), model, l2=L2, lr_factors={"backbone": FACTOR})
    # The bias is a kernel of one by one here, and so it decays.
    sim.check(fit(model, built, lr_max, **MODES[mode]), slower(coupled(rule, everywhere=True)), table(lr_max))


def test_accumulated_gradients_decay_once_an_update():
    optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    grouped = group_parameters(optimizer(gradient_accumulation_steps=2), l2=L2)
    weights = fit(one_layer(), grouped, lr_max, epochs=4)
    sim.check(weights, coupled(rule), (*table(lr_max), sim.batches(size=2 * sim.BATCH)))


def test_a_scaled_loss_decays_the_same():
    optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    scaled = keras.optimizers.LossScaleOptimizer(optimizer(), initial_scale=64.0)
    sim.check(fit(one_layer(), group_parameters(scaled, l2=L2), lr_max), coupled(rule), table(lr_max))


def clip_by_global_norm(gradients, norm):
    total = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, norm / total) for g in gradients]


CLIPS = {
    "global_clipnorm": clip_by_global_norm,
    "clipnorm": lambda gradients, norm: [clip_by_global_norm([g], norm)[0] for g in gradients],
    "clipvalue": lambda gradients, value: [np.clip(g, -value, value) for g in gradients],
}


@pytest.mark.parametrize("clip", CLIPS)
def test_gradients_are_clipped_before_the_l2_joins_them(clip):
    optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    weights = fit(one_layer(), group_parameters(optimizer(**{clip: 0.5}), l2=1.0), lr_max)

    def clipped(weights, batch):
        return CLIPS[clip](sim.mse_gradient(weights, batch), 0.5)

    def after(weights, batch):
        gradients = sim.mse_gradient(weights, batch)
        return CLIPS[clip]([gradients[0] + weights[0], gradients[1]], 0.5)

    sim.check(weights, coupled(rule, 1.0), table(lr_max), gradient=clipped)
    assert sim.distance(weights, sim.simulate(rule, table(lr_max), gradient=after)) > 100 * sim.TOLERANCE
    differs(weights, coupled(rule, 1.0), lr_max)


@pytest.mark.parametrize("name", ["sgd", "nadam"])
def test_a_layer_with_a_factor_follows_the_schedule_at_that_share(name):
    optimizer, rule, lr_max = OPTIMIZERS[name]
    model = two_layers()
    group_parameters(built := optimizer(weight_decay=DECAY), model, lr_factors={"backbone": FACTOR})
    decayed = decoupled(rule, everywhere=True)
    weights = fit(model, built, lr_max)
    sim.check(weights, slower(decayed), table(lr_max))
    differs(weights, decayed, lr_max)
    differs(weights, decoupled(slower(rule), everywhere=True), lr_max)  # a decay that forgot the factor


def test_a_layer_is_frozen_for_so_many_updates():
    optimizer, rule, lr_max = OPTIMIZERS["adam"]
    frozen_for, model = STEPS // 2, two_layers()

    def late(w, g, slots, t, lr, momentum):
        share = 1.0 if w.size != 3 else FACTOR if t > frozen_for else 0.0
        return decoupled(rule, everywhere=True)(w, g, slots, t, lr * share, momentum)

    group_parameters(
        built := optimizer(weight_decay=DECAY), model, lr_factors={"backbone": FACTOR}, frozen_for=frozen_for
    )
    weights = fit(model, built, lr_max)
    sim.check(weights, late, table(lr_max))
    differs(weights, slower(decoupled(rule, everywhere=True)), lr_max)


@older.NEW_MUON
def test_muon_takes_a_factor_and_a_decay():
    model = two_layers()
    optimizer = keras.optimizers.Muon(0.01, weight_decay=DECAY, adam_weight_decay=DECAY, exclude_layers=["head"])
    group_parameters(optimizer, model, lr_factors={"backbone": FACTOR})
    sim.check(fit(model, optimizer, 2.0), slower(decoupled(sim.muon, everywhere=True)), table(2.0))


def test_the_averaged_weights_are_the_models_after_fit():
    optimizer, rule, lr_max = OPTIMIZERS["sgd"]
    weights = fit(one_layer(), group_parameters(optimizer(use_ema=True, ema_momentum=0.8), l2=L2), lr_max)
    lrs, momenta = table(lr_max)
    average = None
    for done in range(1, STEPS + 1):
        now = sim.simulate(coupled(rule), (lrs[:done], momenta[:done]))
        average = now if average is None else [0.8 * a + 0.2 * w for a, w in zip(average, now, strict=True)]
    assert sim.distance(weights, average) < sim.TOLERANCE
    assert sim.distance(weights, now) > 100 * sim.TOLERANCE


def test_the_recorded_loss_is_that_of_the_data():
    model = one_layer()
    model.compile(group_parameters(keras.optimizers.SGD(1e-9, momentum=0.9), l2=1e3), "mse", jit_compile=False)
    before = model.evaluate(sim.X, sim.Y, verbose=0)
    assert model.fit(sim.X, sim.Y, shuffle=False, verbose=0).history["loss"][0] == pytest.approx(before, rel=1e-3)


def test_the_users_own_exclusions_hold():
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=DECAY)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    sim.check(fit(one_layer(), group_parameters(optimizer), 0.05), sim.sgd, table(0.05))


def test_the_users_own_exclusions_hold_beside_a_learning_rate_of_its_own():
    model, optimizer = two_layers(), keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=DECAY)
    optimizer.exclude_from_weight_decay([model.get_layer(name).kernel for name in ("backbone", "head")])
    group_parameters(optimizer, model, lr_factors={"backbone": FACTOR})
    sim.check(fit(model, optimizer, 0.05), slower(sim.sgd), table(0.05))


def test_biases_and_normalisation_of_several_axes_are_spared():
    inputs = keras.Input((3, 4))
    x = keras.layers.MultiHeadAttention(2, 4)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.LayerNormalization(axis=[1, 2])(x))
    optimizer = group_parameters(keras.optimizers.SGD(0.01, weight_decay=DECAY))
    optimizer.build(model.trainable_variables)
    names = {variable.name for variable in model.trainable_variables if optimizer._use_weight_decay(variable)}
    assert names == {"kernel"}
    assert any(len(variable.shape) > 1 for variable in model.trainable_variables if variable.name != "kernel")


def test_grouping_again_replaces_the_groups():
    optimizer = group_parameters(group_parameters(OPTIMIZERS["sgd"][0](), l2=9.0), l2=L2)
    sim.check(fit(one_layer(), optimizer, 0.05), coupled(sim.sgd), table(0.05))


@pytest.mark.slow
def test_a_saved_model_is_a_stock_one(tmp_path):
    model = two_layers()
    model = keras.Model(model.inputs, model.get_layer("backbone").output)
    model.compile(group_parameters(OPTIMIZERS["sgd"][0](), model, l2=L2, lr_factors={"backbone": 0.1}), "mse")
    model.fit(sim.X, sim.Y, verbose=0)
    model.save(tmp_path / "model.keras")
    code = "import sys; sys.modules['sconv'] = None; import keras; m = keras.saving.load_model(sys.argv[1]); "
    code += "print(type(m.optimizer).__module__, int(m.optimizer.iterations))"
    done = [sys.executable, "-c", code, str(tmp_path / "model.keras")]
    run = subprocess.run(done, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["keras.src.optimizers.sgd", "2"], run.stderr


def train_on_two_replicas():
    """Print the final weights under MirroredStrategy; runs in a process of its own."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    data = tf.data.Dataset.from_tensor_slices((sim.X, sim.Y)).batch(sim.BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = two_layers()
        optimizer = OPTIMIZERS["nesterov"][0](weight_decay=DECAY)
        group_parameters(optimizer, model, l2=L2, lr_factors={"backbone": FACTOR})
        model.compile(optimizer, "mse", jit_compile=False)
    model.fit(data.with_options(options), epochs=2, verbose=0, callbacks=[sconv.OneCycleScheduler(0.05)])
    print(json.dumps([part.tolist() for part in model.get_weights()]))


@pytest.mark.slow
def test_two_replicas_decay_as_one():
    here = Path(__file__).parent
    places = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    code = "import test_parameter_groups; test_parameter_groups.train_on_two_replicas()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    kernel, bias = map(np.array, json.loads(run.stdout.splitlines()[-1]))

    rule = slower(decoupled(coupled(sim.nesterov, everywhere=True), everywhere=True))
    sim.check([kernel, bias.reshape(1)], rule, table(0.05))


BAD = [
    ({"l2": -1e-4}, "l2: got -0.0001, expected a finite number of at least 0"),
    ({"l2": "1e-4"}, "l2: got '1e-4', expected a finite number of at least 0"),
    ({"decay_all": "no"}, "decay_all: got 'no', expected one of True, False"),
    ({"lr_factors": 0.1}, "lr_factors: got 0.1, expected {layer: factor}"),
    ({"lr_factors": {"backbone": 0}}, "lr_factors.backbone: got 0, expected a finite number above 0"),
    ({"lr_factors": {"bacbone": 0.1}}, "lr_factors: bacbone is no layer of .* that has weights; expected one of"),
    ({"lr_factors": {"frozen": 0.1}}, "lr_factors: frozen has nothing to train: it is frozen; expected one of"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_a_wrong_setting_is_one_line(settings, message):
    frozen = keras.layers.Dense(1, name="frozen", trainable=False)
    model = keras.Sequential([keras.Input((3,)), frozen, keras.layers.Dense(1, name="backbone")])
    with pytest.raises(checks.UserError, match=f"^{message}") as caught:
        group_parameters(keras.optimizers.SGD(0.1), model, **settings)
    assert "\n" not in str(caught.value)


def test_factors_need_the_model():
    with pytest.raises(checks.SettingError, match="expected the model"):
        group_parameters(keras.optimizers.SGD(0.1), lr_factors={"backbone": 0.1})


@older.NEW_MUON
def test_factors_need_one_decay_in_muon():
    with pytest.raises(checks.SettingError, match=r"Muon decays by weight_decay=None and adam_weight_decay=0\.004"):
        group_parameters(keras.optimizers.Muon(weight_decay=None), two_layers(), lr_factors={"backbone": 0.1})
