"""Fine-tuning by its effect: what learns in which part and how fast, and that the model is left as it was found."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import sconv
import simulations as sim
from sconv import checks
from sconv.training.attach import attached_to
from sconv.training.freezing import body_and_head
from sconv.training.parameter_groups import group_parameters

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 6)).astype(np.float32)
Y = (X @ RANDOM.normal(size=(6, 3))).argmax(axis=1)
QUIET = {"batch_size": 8, "verbose": 0}
RANGE = {"range_test": {"max_steps": 150, "end_lr": 1e4}, "batch_size": 16}


class Seen(keras.callbacks.Callback):
    """The weights by layer at the beginning and end of each fit, and the schedule that drove it."""

    def __init__(self):
        super().__init__()
        self.fits = []

    def on_train_begin(self, logs=None):
        self.fits.append({"rates": attached_to(self.model.optimizer).learning_rates, "before": weights_of(self.model)})

    def on_train_end(self, logs=None):
        self.fits[-1]["after"] = weights_of(self.model)


def weights_of(model):
    return {layer.name: [array.copy() for array in layer.get_weights()] for layer in model.layers}


def moved(before, after):
    return {name for name in before if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))}


def compiled(model, optimizer=None):
    optimizer = optimizer or keras.optimizers.SGD(momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def own():
    """What a user might have built: a Sequential with batch normalisation."""
    parts = [layers.Dense(8, name="one"), layers.BatchNormalization(name="norm"), layers.ReLU(), layers.Dropout(0.1)]
    return compiled(keras.Sequential([keras.Input((6,)), *parts, layers.Dense(3, "softmax", name="new")]))


@pytest.fixture(scope="module")
def tuned():
    keras.utils.set_random_seed(0)
    model, seen = own(), Seen()
    model.get_layer("one").trainable = model.get_layer("norm").trainable = False
    compiled(model)
    found = model.optimizer
    history = sconv.fine_tune(model, (X, Y), epochs=3, base_lr=0.2, validation_data=(X, Y), callbacks=[seen], **QUIET)
    return model, found, seen, history


def test_the_head_learns_first_and_then_all(tuned):
    _, _, seen, _ = tuned
    first, second = seen.fits
    assert moved(first["before"], first["after"]) == {"new"}  # neither the weights nor the statistics of the body
    assert moved(first["after"], second["before"]) == set()
    assert moved(second["before"], second["after"]) == {"one", "norm", "new"}
    assert (len(first["rates"]), len(second["rates"])) == (8, 24)
    assert first["rates"][[0, -1]] == pytest.approx([0.2 / 25, 0.2])
    peak = 0.2 / 2
    assert second["rates"][[0, 7, -1]] == pytest.approx([peak / 5, peak, peak / 1e5])


def test_one_history_of_both_parts(tuned):
    model, _, _, history = tuned
    assert history is model.history  # before an evaluation, which has its own in an older Keras
    assert history.epoch == [0, 1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= history.history.keys()
    assert {len(values) for values in history.history.values()} == {4}
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-5)
    assert (history.lr_max, history.range_test) == (0.2, None)


def test_the_model_is_left_as_it_was_found(tuned):
    model, optimizer, _, _ = tuned
    assert model.optimizer is optimizer
    assert not optimizer.built
    before = weights_of(model)
    assert {layer.name for layer in model.layers if layer.trainable_variables} == {"new"}
    model.fit(X, Y, epochs=1, **QUIET)
    assert moved(before, weights_of(model)) == {"new"}


def linear():
    """The problem of the simulations, with its kernel in the body and its bias in the head."""
    inputs = keras.Input((3,))
    one = layers.Lambda(lambda x: x[:, :1] * 0 + 1)(inputs)
    parts = [layers.Dense(1, use_bias=False, name=name)(x) for name, x in (("body", inputs), ("head", one))]
    model = keras.Model(inputs, layers.Add()(parts))
    model.set_weights([sim.START[0], sim.START[1].reshape(1, 1)])
    return model


def cosine(start, end, count):
    share = np.arange(count) / (count - 1)
    return end + (start - end) / 2 * (1 + np.cos(np.pi * share))


def recipe(rule, base_lr, lr_mult, **settings):
    """fastai's, in NumPy: 10 updates of the head, 20 of all, each part from empty slots."""
    lr, up = base_lr / 2, 7
    parts = [
        (0.0, cosine(base_lr / 25, base_lr, 10), cosine(0.95, 0.85, 10)),
        (
            1 / lr_mult,
            np.concatenate([cosine(lr / 5, lr, up), cosine(lr, lr / 1e5, 21 - up)[1:]]),
            np.concatenate([cosine(0.95, 0.85, up), cosine(0.85, 0.95, 21 - up)[1:]]),
        ),
    ]
    weights = [part.astype(np.float64) for part in sim.START]
    for factor, rates, momenta in parts:
        slots = [{}, {}]
        for at, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
            gradients = sim.mse_gradient(weights, sim.batches()[at % sim.PER_EPOCH])
            for place, share in ((0, factor), (1, 1.0)):
                if share:
                    arguments = (weights[place], gradients[place], slots[place], at + 1, rate * share, momentum)
                    weights[place] = rule(*arguments, **settings)
    return weights


@pytest.mark.parametrize("lr_mult", [100, 4])
@pytest.mark.parametrize("name", ["sgd", "adamw", "scaled"])
def test_the_rates_are_those_of_the_recipe(name, lr_mult):
    """Every update of body and head, against a simulation; the model's optimizer has made updates already."""
    decay = {"weight_decay": 0.2}
    make, rule, lr, settings = {
        "sgd": (lambda: keras.optimizers.SGD(0.01, momentum=0.9), sim.sgd, 0.05, {}),
        "adamw": (lambda: keras.optimizers.AdamW(0.01, **decay), sim.adamw, 0.3, {}),
        "scaled": (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9)), sim.sgd, 0.05, {}),
    }[name]
    model = linear()
    model.compile(make(), "mse", steps_per_execution=3)
    model.fit(sim.X, sim.Y, verbose=0)
    model.set_weights([sim.START[0], sim.START[1].reshape(1, 1)])
    given = {"batch_size": sim.BATCH, "shuffle": False, "verbose": 0, "head": "head"}
    sconv.fine_tune(model, (sim.X, sim.Y), 2, base_lr=lr, lr_mult=lr_mult, **given)
    weights = [part.reshape(start.shape) for part, start in zip(model.get_weights(), sim.START, strict=True)]
    assert sim.distance(weights, recipe(rule, lr, lr_mult, **settings)) < sim.TOLERANCE
    assert sim.distance(weights, recipe(rule, lr, lr_mult * 1.5, **settings)) > 10 * sim.TOLERANCE


def test_what_was_spared_from_weight_decay_stays_spared():
    def kernel(decay, spared):
        model, optimizer = linear(), keras.optimizers.AdamW(0.01, weight_decay=decay)
        if spared:
            optimizer.exclude_from_weight_decay(var_list=[model.get_layer("body").kernel])
        model.compile(optimizer, "mse")
        given = {"head": "head", "lr_mult": 1, "batch_size": sim.BATCH, "shuffle": False, "verbose": 0}
        sconv.fine_tune(model, (sim.X, sim.Y), 1, 0, 0.3, **given)
        return model.get_layer("body").get_weights()[0]

    # The bias decays still, which the kernel notices.
    assert abs(kernel(1.0, True) - kernel(0.0, False)).max() < abs(kernel(1.0, False) - kernel(0.0, False)).max() / 3


@pytest.mark.parametrize(("freeze_epochs", "epochs", "peaks"), [(1, 1, [1, 0.5]), (2, 0, [1]), (0, 2, [0.5])])
def test_auto_finds_the_rate_of_what_is_trained_first(freeze_epochs, epochs, peaks, capsys):
    model, seen = own(), Seen()
    history = sconv.fine_tune(model, (X, Y), epochs, freeze_epochs, callbacks=[seen], verbose=2, **RANGE)
    assert [fit["rates"].max() for fit in seen.fits] == pytest.approx([history.lr_max * peak for peak in peaks])
    assert history.lr_max == history.range_test.suggestion
    assert history.epoch == list(range(freeze_epochs + epochs))
    assert capsys.readouterr().out.count("lr_max ") == 1
    assert ("one" in moved(seen.fits[0]["before"], seen.fits[0]["after"])) == (freeze_epochs == 0)


def test_what_is_frozen_in_a_body_that_learns_stays_frozen():
    model = own()
    model.get_layer("one").trainable = False
    before = weights_of(compiled(model))
    sconv.fine_tune(model, (X, Y), 1, 0, 0.1, **QUIET)
    assert moved(before, weights_of(model)) == {"norm", "new"}


@pytest.mark.parametrize("part", [0, 1])
def test_a_fit_that_is_cut_short_leaves_the_model_as_it_was_found(part):
    class Cut(Seen):
        def on_epoch_end(self, epoch, logs=None):
            self.driven = self.model.optimizer
            if len(self.fits) == part + 1:
                raise KeyboardInterrupt

    model, cut = own(), Cut()
    model.get_layer("one").trainable = False
    optimizer = compiled(model).optimizer
    with pytest.raises(KeyboardInterrupt):
        sconv.fine_tune(model, (X, Y), 2, 1, 0.1, callbacks=[cut], **QUIET)
    before = weights_of(model)
    assert (model.optimizer, attached_to(cut.driven)) == (optimizer, None)
    model.fit(X, Y, **QUIET)
    assert moved(before, weights_of(model)) == {"norm", "new"}


@pytest.mark.slow
def test_killed_in_the_second_part_it_goes_on_from_there(tmp_path):
    class Killed(Seen):
        def on_epoch_end(self, epoch, logs=None):
            if len(self.fits) == 2 and epoch == 1:
                raise KeyboardInterrupt

    def run(directory, *callbacks):
        keras.utils.set_random_seed(3)
        model = own()
        settings = {"checkpoint": directory, "callbacks": list(callbacks), "verbose": 0}
        return model, sconv.fine_tune(model, (X, Y), 3, **settings, **RANGE)

    whole, expected = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Killed())
    resumed, history = run(tmp_path / "cut")
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == expected.history
    assert history.lr_max == expected.lr_max


# --- head and body --------------------------------------------------------------------------------------------------


def nested(*after, before=()):
    body = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization()], name="body")
    body.trainable = False
    return keras.Sequential([keras.Input((6,)), *before, body, *after])


def flat(*outputs):
    x = inputs = keras.Input((6,))
    for name in ("one", "two"):
        x = layers.Dense(4, name=name, trainable=False)(x)
    return keras.Model(inputs, [layers.Dense(3, name=name)(x) for name in outputs])


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.new, self.one = layers.Dense(3, name="new"), layers.Dense(4, name="one")
        self(np.zeros((1, 6)))

    def call(self, inputs):
        return self.new(self.one(inputs))


def new(name="new"):
    return layers.Dense(3, "softmax", name=name)


def normalised_first():
    """A nested model that has weights, but none to learn, is no body."""
    first = keras.Sequential([keras.Input((6,)), layers.Normalization()], name="scaled")
    return keras.Sequential([keras.Input((6,)), first, layers.Dense(4, name="one"), new()])


TOLD = {
    "a nested model": (lambda: nested(layers.Dense(4, name="hidden"), new()), None, ["body"], ["hidden", "new"]),
    "what adapts the input": (
        lambda: nested(new(), before=[layers.Dense(6, name="adapts")]),
        None,
        ["body"],
        ["adapts", "new"],
    ),
    "the last layer": (lambda: flat("new"), None, ["one", "two"], ["new"]),
    "the last layer, normalised": (
        lambda: keras.Sequential(
            [keras.Input((6,)), layers.Dense(4, name="one"), new(), layers.BatchNormalization(name="norm")]
        ),
        None,
        ["one"],
        ["new", "norm"],
    ),
    "nothing to learn in the nested": (normalised_first, None, ["one"], ["new"]),
    "a name": (lambda: flat("new"), "two", ["one", "new"], ["two"]),
    "two names": (lambda: flat("a", "b"), ["a", "b"], ["one", "two"], ["a", "b"]),
    "a subclass, told": (Subclass, ["new"], ["one"], ["new"]),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_head_is_told_from_the_body(case):
    make, named, body, head = TOLD[case]
    model = make()
    flags = [layer.trainable for layer in model.layers]
    found = body_and_head(model, named)
    assert [[layer.name for layer in part] for part in found] == [body, head]
    assert [layer.trainable for layer in model.layers] == flags


REFUSED = {
    "two heads": (lambda: flat("a", "b"), {}, "head: got None .* one, two, a, b, expected the names"),
    "a subclass in what order": (Subclass, {}, "head: got None .* new, one, expected the names"),
    "no body": (lambda: keras.Sequential([keras.Input((6,)), new()]), {}, "head: got None .* new, expected the names"),
    "all nested": (nested, {}, "head: got None .* body, expected the names"),
    "all head": (lambda: nested(new()), {"head": ["body", "new"]}, "head: got .* expected the names"),
    "an unknown name": (lambda: nested(new()), {"head": "old"}, "^head: got 'old', expected one of body, new$"),
    "no names": (lambda: nested(new()), {"head": 3}, "^head: got 3, expected the names of layers$"),
    "no weights": (lambda: keras.Sequential([new()]), {}, "model: got .* no weights yet, expected one that is built"),
    "a frozen head": (lambda: flat("new"), {"head": "two"}, "^head: got two, which is frozen, expected layers"),
    "no epochs": (lambda: nested(new()), {"epochs": 0, "freeze_epochs": 0}, "epochs: got 0 and freeze_epochs=0"),
    "half an epoch": (lambda: nested(new()), {"freeze_epochs": 0.5}, "freeze_epochs: got 0.5, expected a whole number"),
    "no rate": (lambda: nested(new()), {"base_lr": 0}, "base_lr: got 0, expected a finite number above 0"),
    "a faster body": (lambda: nested(new()), {"lr_mult": 0.5}, "lr_mult: got 0.5, expected .* of at least 1"),
    "div": (lambda: nested(new()), {"div": 0.5}, "div: got 0.5, expected .* of at least 1"),
    "pct_start": (lambda: nested(new()), {"pct_start": 1}, "pct_start: got 1, expected"),
    "lr_max": (lambda: nested(new()), {"lr_max": 0.1}, "lr_max: got 0.1, expected base_lr, which decides it here"),
    "a checkpoint": (lambda: nested(new()), {"checkpoint": 3}, "checkpoint: got 3, expected a directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case):
    make, settings, told = REFUSED[case]
    model = compiled(make())
    before = weights_of(model)
    with pytest.raises(checks.UserError, match=told) as error:
        sconv.fine_tune(model, (X, Y), **{"epochs": 1, "base_lr": 0.1, **settings})
    assert "\n" not in str(error.value)
    assert moved(before, weights_of(model)) == set()


def test_an_optimizer_with_groups_is_refused():
    model = compiled(nested(new()), group_parameters(keras.optimizers.SGD(momentum=0.9), l2=0.1))
    with pytest.raises(checks.SettingError, match="optimizer: got one that group_parameters was called on"):
        sconv.fine_tune(model, (X, Y), 1, base_lr=0.1)


@pytest.mark.slow
def test_a_backbone_of_keras_applications():
    shape = (32, 32, 3)
    backbone = keras.applications.MobileNetV2(shape, alpha=0.35, include_top=False, weights=None)
    backbone.trainable = False
    inputs = keras.Input(shape)
    model, seen = compiled(keras.Model(inputs, new()(layers.GlobalAveragePooling2D()(backbone(inputs))))), Seen()
    images = RANDOM.random((24, *shape), np.float32)
    sconv.fine_tune(model, (images, Y[:24]), 1, base_lr=0.1, callbacks=[seen], update_bn=False, **QUIET)
    first, second = seen.fits
    assert moved(first["before"], first["after"]) == {"new"}
    before, after = second["before"][backbone.name], second["after"][backbone.name]
    learned = {v.name for v, a, b in zip(backbone.weights, before, after, strict=True) if (a != b).any()}
    assert learned == {"kernel", "gamma", "beta", "moving_mean", "moving_variance"}
    assert not any(layer.trainable for layer in backbone.layers)
