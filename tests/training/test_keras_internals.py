"""One canary for each thing that Keras and TensorFlow do not promise: which one moved, what breaks, what to do."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import keras
import pytest
import tensorflow as tf
from test_attach import build, fit

import simulations as sim
from sconv.training import keras_building, keras_data, keras_internals


def test_learning_rate_is_read_through_the_instance():
    optimizer = keras.optimizers.SGD(0.01)
    assert isinstance(optimizer.learning_rate, keras.Variable), (
        "optimizer.learning_rate is no longer the user's own variable: sconv.attach refuses every optimizer. "
        "Find where it is kept, for Attachment.install and _refuse_conflicts"
    )
    vars(optimizer)[keras_internals.LEARNING_RATE] = lambda: tf.constant(0.05)
    told = f"keras {keras.__version__}: SGD.{keras_internals.LEARNING_RATE} is no longer what"
    assert float(optimizer.learning_rate) == pytest.approx(0.05), f"{told} `learning_rate` reads: schedules do nothing"
    expected = sim.simulate(sim.sgd, sim.plain(sim.PER_EPOCH, 0.05, 0.0))
    assert sim.distance(fit(build(optimizer), epochs=1), expected) < sim.TOLERANCE, (
        f"{told} a training step reads: schedules do nothing. Look in BaseOptimizer.apply for what it reads instead, "
        "and name that in keras_internals.LEARNING_RATE"
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_every_update_goes_through_apply_of_the_instance(scaled):
    optimizer, seen = keras.optimizers.SGD(0.01, momentum=0.9), []

    def apply(*args, **kwargs):
        seen.append("apply")
        type(optimizer).apply(optimizer, *args, **kwargs)

    vars(optimizer)["apply"] = apply
    fit(build(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer), epochs=1)
    assert seen, (
        f"keras {keras.__version__}: a training step no longer calls `apply` of the optimizer itself: momentum stays "
        "what it is. Have Attachment.install override what Model.train_step calls"
    )


@pytest.mark.parametrize("name", ["momentum", "beta_1"])
def test_momentum_is_read_while_tracing(name):
    # Muon has both, and goes by the first.
    kinds = {"momentum": ("SGD", "RMSprop", "Muon"), "beta_1": ("Adam", "AdamW", "Nadam", "Adamax", "Lamb", "Lion")}
    for kind in (kind for kind in kinds[name] if hasattr(keras.optimizers, kind)):
        assert isinstance(getattr(getattr(keras.optimizers, kind)(), name), (int, float)), (
            f"keras {keras.__version__}: {kind}.{name} is no plain number any more: see attach.own_momentum, and "
            "whether MovingMomentum is needed at all"
        )


def test_compiling_anew_makes_another_train_function():
    model = build(keras.optimizers.SGD(0.01))
    fit(model, epochs=1)
    first = model.train_function
    fit(model, epochs=1)
    assert model.train_function is first
    model.compile(model.optimizer, "mae")
    assert model.train_function is None, (
        f"keras {keras.__version__} keeps Model.train_function on recompiling: trace.take_up would go on with a "
        "trace of the old loss. Find another sign of a new compile for Trace.serves"
    )


def test_all_callbacks_of_a_fit_share_one_mapping():
    one, other = keras.callbacks.Callback(), keras.callbacks.Callback()
    model = build(keras.optimizers.SGD(0.01))
    fit(model, one, other, epochs=1)
    first = one.params
    assert first is other.params, (
        f"keras {keras.__version__} gives each callback its own params: ScheduleCallback no longer sees a second one "
        "in its fit, and the last would silently win"
    )
    fit(model, one, epochs=1)
    assert first is not one.params, "params outlive a fit: a schedule of a fit cut short would refuse the next one"


def test_a_fit_asks_for_the_logs_of_an_epoch_and_knows_its_callbacks():
    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.logs, self.beside = logs, keras_internals.of_loop("callbacks").callbacks

    model, note = build(keras.optimizers.SGD(0.01)), Note()
    keras_internals.add_to_epoch_logs(model, lambda: {"more": 1.0, "loss": 2.0})
    history = fit_with_validation(model, note)
    told = f"keras {keras.__version__}: Model.{keras_internals._EPOCH_LOGS} is no longer what `fit` makes the logs"
    assert note.logs.keys() == {"loss", "more", "val_loss"}, f"{told} of an epoch with: History has no learning_rate"
    assert history["more"] == [1.0]
    assert history["loss"] != [2.0]
    assert note in note.beside, "fit keeps its callbacks elsewhere: it is not told that EarlyStopping ended it"
    keras_internals.add_to_epoch_logs(model, None)
    assert fit_with_validation(model).keys() == {"loss", "val_loss"}


@pytest.mark.parametrize("loop", ["fit", "evaluate", "predict"])
def test_a_loop_makes_its_function_between_its_iterator_and_the_first_batch(loop):
    model, found = build(keras.optimizers.SGD(0.01)), []
    name = {"fit": "make_train_function", "evaluate": "make_test_function", "predict": "make_predict_function"}[loop]
    stock = getattr(model, name)

    def make(*args, **kwargs):
        iterator = keras_internals.of_loop("epoch_iterator", [loop], model)
        found.append((iterator, getattr(iterator, "_current_iterator", "none")))
        return stock(*args, **kwargs)

    vars(model)[name] = make
    getattr(model, loop)(*((sim.X,) if loop == "predict" else (sim.X, sim.Y)), verbose=0)
    [(iterator, begun)] = found
    assert keras_data.is_made_by_keras(iterator), (
        f"keras {keras.__version__}: {loop} calls {name} before it has `epoch_iterator`: see prompt_ends"
    )
    assert begun is None, f"keras {keras.__version__}: {loop} iterates before it calls {name}: see prompt_ends"


def fit_with_validation(model, *callbacks):
    data = {"validation_data": (sim.X, sim.Y), "verbose": 0, "callbacks": [*callbacks]}
    return model.fit(sim.X, sim.Y, **data).history


def test_a_variable_that_no_strategy_copies():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        variable = keras_internals.plain_variable([1.0, 2.0], shape=(None,))
    assert int(variable[1]) == 2, "see keras_internals.plain_variable: under a strategy the schedule cannot be read"
    variable.assign([3.0])
    assert not isinstance(variable, tf.distribute.DistributedValues)


def test_weight_decay_is_asked_of_the_instance():
    optimizer, asked = keras.optimizers.SGD(0.1, weight_decay=0.1), []
    own = {keras_internals.USES_WEIGHT_DECAY: lambda variable: asked.append("decay") or False}
    vars(optimizer).update(own, update_step=lambda *args: asked.append("update"))
    fit(build(optimizer), epochs=1)
    assert {"decay", "update"} <= set(asked), (
        f"keras {keras.__version__} no longer asks the instance (asked: {set(asked)}): group_parameters does nothing. "
        "Look in BaseOptimizer._apply_weight_decay, and name that in keras_internals.USES_WEIGHT_DECAY"
    )
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    kernel, bias = build(optimizer).trainable_variables
    assert keras_internals.uses_weight_decay(optimizer, kernel)
    assert not keras_internals.uses_weight_decay(optimizer, bias)


def test_a_variable_has_one_key():
    optimizer = keras.optimizers.SGD(0.1)
    kernel, bias = build(optimizer).trainable_variables
    keys = [keras_internals.variable_key(optimizer, variable) for variable in (kernel, kernel.value, bias)]
    assert keys[0] == keys[1] != keys[2], (
        f"keras {keras.__version__}: Optimizer._var_key tells variables apart otherwise: lr_factors reach none. "
        "See what BaseOptimizer keys its slots by"
    )


def test_batches_are_counted_beside_updates():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    fit(build(optimizer), epochs=1)
    assert int(optimizer.iterations) == 5
    assert int(keras_internals.batches_seen(optimizer)) == 10, (
        f"keras {keras.__version__}: Optimizer._iterations no longer counts batches: losses recorded under gradient "
        "accumulation are wrong. See what BaseOptimizer.iterations divides"
    )


class Begun(keras.callbacks.Callback):
    """What a running fit gives away, and what may be done to its first epoch."""

    def __init__(self, batch=0, epoch=None):
        super().__init__()
        self.batch, self.epoch, self.seen = batch, epoch, []

    def on_train_begin(self, logs=None):
        self.iterator = keras_internals.epoch_iterator()
        keras_building.build_all(self.model, keras_data.dataset_of(self.iterator).element_spec)
        self.metrics = len(self.model.metrics_variables)
        self.repeats = keras_data.repeats_itself(self.iterator)
        keras_internals.begin_fit_at(self.model, self.epoch)

    def on_epoch_begin(self, epoch, logs=None):
        keras_internals.begin_fit_at(self.model, None)
        notes = (lambda: self.seen.append(("begin", epoch)), lambda: self.seen.append("between"))
        keras_internals.watch_epoch(self.model, self.iterator, self.batch, *notes)

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)


@pytest.mark.parametrize("functional", [False, True])
def test_metrics_are_made_before_a_step(functional):
    inputs = keras.Input((sim.X.shape[1],))
    layer = keras.layers.Dense(1)
    model = keras.Model(inputs, {"one": layer(inputs)}) if functional else keras.Sequential([inputs, layer])
    model.compile("sgd", {"one": "mse"} if functional else "mse", metrics={"one": ["mae"]} if functional else ["mae"])
    batch = tf.data.Dataset.from_tensor_slices((sim.X, {"one": sim.Y} if functional else sim.Y)).batch(2).element_spec
    keras_building.build_metrics(model, batch)
    assert len(model.metrics_variables) == 4, (  # of a mean each: the loss's own and the metric's
        f"keras {keras.__version__}: the metrics of a model are built in another way than by its compute_metrics: "
        "every step under a schedule is traced twice. Look in Trainer._symbolic_build for how it does it"
    )


def test_a_fit_begins_in_the_middle():
    told = f"keras {keras.__version__}: sconv.Checkpoint cannot go on in mid-epoch:"
    assert keras_internals.epoch_iterator() is None
    keras.utils.set_random_seed(0)
    begun = Begun(batch=8, epoch=1)
    model = build(keras.optimizers.SGD(0.01), metrics=["mae"])
    fit(model, begun, epochs=2)
    assert begun.iterator is not None, f"{told} `fit` has no local named epoch_iterator; see TensorFlowTrainer.fit"
    assert begun.seen == [("begin", 1), 8, "between", 9, "between"], (
        f"{told} see Trainer._initial_epoch and EpochIterator._enumerate_iterator (seen: {begun.seen})"
    )
    # The last two of ten batches, as a simulation makes them.
    batches = sim.batches()[8:]
    expected = sim.simulate(sim.sgd, (*(column[:2] for column in sim.plain(2, 0.01, 0.0)), batches))
    assert sim.distance(model.get_weights(), expected) < sim.TOLERANCE, f"{told} it was fed other batches"
    assert begun.metrics == len(model.metrics_variables) > 2, f"{told} Model._symbolic_build builds no metrics"
    begun = Begun(batch=10)
    history = model.fit(sim.X, sim.Y, batch_size=sim.BATCH, epochs=1, verbose=0, callbacks=[begun])
    assert begun.seen == [("begin", 0)]
    assert set(history.history) == {"loss", "mae"}, f"{told} see Trainer._get_metrics_result_or_logs"


def test_whether_the_order_of_the_data_comes_again():
    model = build(keras.optimizers.SGD(0.01))
    data = tf.data.Dataset.from_tensor_slices((sim.X, sim.Y)).batch(sim.BATCH)
    cases = [
        (3, True, {"x": sim.X, "y": sim.Y, "shuffle": True}),
        (None, False, {"x": sim.X, "y": sim.Y, "shuffle": True}),
        (None, True, {"x": sim.X, "y": sim.Y, "shuffle": False}),
        (3, False, {"x": sim.X, "y": sim.Y, "shuffle": False, "steps_per_epoch": 5}),
        (3, False, {"x": data, "shuffle": False}),
    ]
    try:
        for seed, repeats, options in cases:
            tf.random.set_seed(seed)
            assert keras_internals.global_seed() == seed
            begun = Begun()
            model.fit(**options, verbose=0, callbacks=[begun])
            assert begun.repeats is repeats, (
                f"keras {keras.__version__}: {options.keys()} with seed {seed}: sconv.Checkpoint misjudges which data "
                "can be had again; see ArrayDataAdapter._shuffle and EpochIterator.steps_per_epoch"
            )
            assert keras_data.dataset_of(begun.iterator) is data or options["x"] is not data
    finally:
        keras.utils.set_random_seed(0)


def test_keras_seed_generator():
    keras.utils.set_random_seed(1)
    keras.random.normal((1,))
    kept = keras_internals.seed_generator()
    assert isinstance(kept, keras.random.SeedGenerator), (
        f"keras {keras.__version__} keeps its global seed generator elsewhere: a range test changes the training after "
        "it. See global_seed_generator() in keras/src/random/seed_generator.py"
    )
    keras_internals.set_seed_generator(None)
    keras_internals.make_seed_generator()
    assert isinstance(keras_internals.seed_generator(), keras.random.SeedGenerator)
    keras_internals.set_seed_generator(kept)
    state = kept.state.numpy()
    drawn = keras.random.normal((2,)).numpy()
    keras.random.normal((1,))
    keras_internals.set_seed_generator(None)
    keras_internals.set_seed_generator(kept)
    kept.state.assign(state)
    assert (keras.random.normal((2,)).numpy() == drawn).all()


def test_seeds_of_operations():
    tf.random.set_seed(1)
    seeds = keras_internals.operation_seeds()
    assert isinstance(seeds, random.Random), (
        f"tensorflow {tf.__version__} keeps what seeds its operations elsewhere: a range test changes the order of "
        "tf.data's shuffle after it. See Context._internal_operation_seed in tensorflow/python/eager/context.py"
    )
    state = seeds.getstate()
    drawn = list(tf.data.Dataset.range(20).shuffle(20).as_numpy_iterator())
    seeds.setstate(state)
    assert list(tf.data.Dataset.range(20).shuffle(20).as_numpy_iterator()) == drawn


def test_gradients_of_a_trace_are_forgotten_and_others_are_not():
    from tensorflow.python.framework import ops

    @tf.custom_gradient
    def tripled(x):
        return x, lambda upstream: 3 * upstream

    def trace():
        return tf.function(lambda x: tripled(x)).get_concrete_function(tf.TensorSpec(()))

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(2.0))
            y = function(x)
        return float(tape.gradient(y, x))

    others = trace()
    with keras_internals.forgetting_gradients():
        ours = trace()
        tf.RegisterGradient("Named by its user")(lambda op, upstream: upstream)
    with pytest.raises(LookupError):
        gradient(ours)
    assert gradient(others) == 3, "a gradient that was there before is gone"
    ops.gradient_registry.lookup("Named by its user")
    with keras_internals.forgetting_gradients():
        before = set(ops.gradient_registry.list())
        fit(build(keras.optimizers.SGD(0.01)), epochs=1)
        added = set(ops.gradient_registry.list()) - before
    assert added, (
        f"tensorflow {tf.__version__} registers no gradient for a training step any more: forgetting_gradients can go"
    )
    assert not added & set(ops.gradient_registry.list()), (
        f"tensorflow {tf.__version__} registers {sorted(added)}, which stay for good, a graph with each: look for the "
        "name in custom_gradient.py, and put it in keras_internals._OF_A_TRACE"
    )


def test_every_layer_within_a_model_is_found():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    model = keras.Sequential([keras.Input((3,)), inner])
    assert {model, inner, inner.layers[0]} <= set(keras_internals.flat_layers(model)), (
        f"keras {keras.__version__}: Layer._flatten_layers no longer gives nested layers: sconv.accelerate misses "
        "them. Walk model.layers instead"
    )


def test_a_trace_knows_that_xla_compiles_it():
    seen = []

    def trace(x):
        seen.append(keras_internals.in_xla())
        return x

    for jit_compile in (True, False):
        tf.function(trace, jit_compile=jit_compile)(tf.zeros(1))
    tf.function(tf.function(trace), jit_compile=True)(tf.zeros(1))
    assert seen == [True, False, True], (
        f"tensorflow {tf.__version__}: GraphOrParentsInXlaContext tells something else: the fused normalisation would "
        "be compiled by XLA, which computes it inexactly. Find another way to know, or leave jit_compile=True alone"
    )


def test_whether_gradients_may_be_asked_for():
    seen = []

    @tf.function
    def trace(x):
        seen.append(keras_internals.under_a_tape())
        return x

    trace(tf.zeros(1))
    with tf.GradientTape():
        trace(tf.zeros(2))
        seen.append(keras_internals.under_a_tape())

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen.append(keras_internals.under_a_tape())
        seen.append(keras_internals.under_a_tape())
        return x

    step(tf.zeros(3))
    assert seen == [False, True, True, True, False], (
        f"tensorflow {tf.__version__}: could_possibly_record tells something else: filter gradients would be stock "
        "ones, or every prediction would leave a graph behind. Look for what tf.custom_gradient asks"
    )


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["0", "1"])
def test_whether_onednn_is_on(wanted):
    """On x86, for which TensorFlow is built with it; what it says itself, as it starts, is the measure."""
    code = "import tensorflow; from sconv.training import keras_internals; print(keras_internals.onednn_is_on())"
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": wanted, "TF_CPP_MIN_LOG_LEVEL": "0"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{'oneDNN custom operations are on' in ran.stderr}\n", (
        f"tensorflow {tf.__version__}: _pywrap_util_port.IsMklEnabled tells something else: device.onednn is refused, "
        "or not seen to be without effect. Look for what test_util.IsMklEnabled asks"
    )
