"""Data as `fit` takes it: the same numbers whatever the form, and what is wrong is said before anything is done."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

import sconv
import simulations as sim
from sconv.checks import UserError
from sconv.datasets import synthetic

pytestmark = pytest.mark.filterwarnings("ignore:lr_find. the loss")

BATCH, PEAK = sim.BATCH, 0.05
SETTINGS = {"start_lr": 1e-3, "end_lr": 10.0, "max_steps": 60, "smoothing": 0.5}


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return sim.PER_EPOCH

    def __getitem__(self, index):
        return sim.batches()[index]


def endless():
    while True:
        yield from sim.batches()


def dataset():
    return tf.data.Dataset.from_tensor_slices((sim.X, sim.Y)).batch(BATCH)


COLUMNS = {name: sim.X[:, place] for place, name in enumerate("abc")}
ARRAYS = {"batch_size": BATCH, "shuffle": False}
# What is given, and the arguments that go with it; each is the data of the simulation.
FORMS = {
    "x, y": (lambda: (sim.X, sim.Y), ARRAYS),
    "(x, y)": (lambda: ((sim.X, sim.Y),), ARRAYS),
    "a dict": (lambda: (COLUMNS, sim.Y), ARRAYS),
    "pandas": (lambda: (pandas.DataFrame(sim.X), pandas.Series(sim.Y[:, 0])), ARRAYS),
    "PyDataset": (lambda: (Sequence(),), {"shuffle": False}),
    "generator": (lambda: (endless(),), {"steps_per_epoch": sim.PER_EPOCH}),
    "tf.data without a length": (lambda: (dataset().repeat(),), {"steps_per_epoch": sim.PER_EPOCH}),
    "tf.data with steps": (lambda: (dataset().filter(lambda x, y: True),), {}),
}


def line(form="", built=True):
    columns = [keras.Input((1,), name=name) for name in COLUMNS] if form == "a dict" else keras.Input((3,))
    joined = keras.layers.Concatenate()(columns) if form == "a dict" else columns
    outputs = keras.layers.Dense(1)(joined)
    model = keras.Model(dict(zip(COLUMNS, columns, strict=True)) if form == "a dict" else columns, outputs)
    model.set_weights(sim.START)
    if not built:
        model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", jit_compile=False)
    return model


@pytest.fixture(scope="module")
def expected():
    return sconv.lr_find(line(), dataset(), **SETTINGS).losses


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("form", FORMS)
def test_any_form(form, expected):
    make, options = FORMS[form]
    assert sconv.lr_find(line(form), *make(), **options, **SETTINGS).losses == pytest.approx(expected, rel=1e-4)
    model, seen = line(form), []
    steps = {"steps": 20} if form == "tf.data with steps" else {}
    one = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    history = sconv.fit_one_cycle(model, *make(), epochs=2, lr_max=PEAK, verbose=0, callbacks=one, **options, **steps)
    sim.check(model.get_weights(), sim.sgd, sconv.schedules.onecycle_fastai(PEAK).sample(20))
    assert len(seen) == len(history.epoch) == 2


def test_auto_with_x_and_y():
    model = line()
    history = sconv.fit_one_cycle(model, sim.X, sim.Y, epochs=2, range_test=SETTINGS, verbose=0, **ARRAYS)
    lrs, momenta = sconv.schedules.onecycle_fastai(history.lr_max).sample(20)
    sim.check(model.get_weights(), sim.sgd, (lrs, momenta))
    assert history.range_test.suggestion == history.lr_max


def test_weights_are_made_from_the_data_whatever_it_is():
    model = line(built=False)
    sconv.lr_find(model, Sequence(), **SETTINGS)
    weights = model.get_weights()
    sconv.lr_find(model, endless(), **SETTINGS)
    assert all(np.array_equal(one, other) for one, other in zip(weights, model.get_weights(), strict=True))


OWN = synthetic.load((3,), classes=2, train_size=40, test_size=8)
XY = (sim.X, sim.Y)
WRONG = [
    (XY, {"epochs": 0}, "epochs: got 0, expected a whole number of at least 1"),
    (XY, {"epochs": "two"}, "epochs: got 'two'"),
    (XY, {"initial_epoch": 9}, "initial_epoch: got 9"),
    (XY, {"max_lr": 0.1}, "max_lr: got 0.1, expected a setting, or an argument of fit; did you mean lr_max?"),
    (XY, {"ephocs": 1}, "ephocs: got 1, expected a setting, or an argument of fit; did you mean epochs?"),
    (XY, {"validation_data": 5}, "validation_data: got a int, expected (x, y)"),
    (XY, {"validation_data": sim.X}, "validation_data: got a ndarray, expected (x, y)"),
    (XY, {"validation_data": (sim.X, sim.Y[:-1])}, "validation_data: got 39 and 40 examples"),
    (XY, {"callbacks": ["tensorboard"]}, "callbacks: got 'tensorboard'"),
    (XY, {"callbacks": sconv.OneCycleScheduler(0.1)}, "callbacks: got OneCycleScheduler beside onecycle_fastai"),
    (XY, {"lr_max": 0.1, "range_test": {}}, "range_test: got {} and lr_max=0.1, expected one of them"),
    (
        XY,
        {"range_test": {"max_step": 10}},
        "max_step: got 10, expected a setting, or an argument of fit; did you mean m",
    ),
    (XY, {"range_test": {"epochs": 10}}, "epochs: got 10, expected none"),
    ((XY, 5), {}, "y: got 5, expected arrays; all else goes by name"),
    (XY, {"steps": 2}, "steps: got 2"),
    (XY, {"batch_size": 40, "epochs": 2}, "steps: got 2, expected"),
    ((sim.X, sim.Y[:-1]), {}, "data: got 39 and 40 examples in its arrays"),
    (
        ((*XY, sim.Y[:, 0]),),
        {"sample_weight": sim.Y[:, 0]},
        "sample_weight: got a ndarray beside (x, y, sample_weight)",
    ),
    ((dataset(),), {"batch_size": 8}, "batch_size: got a int beside a _BatchDataset, which makes the batches"),
    ((dataset(), sim.Y), {}, "y: got a ndarray beside a _BatchDataset"),
    ((endless(),), {}, "steps: got None"),
    ((OWN,), {"shuffle": True}, "shuffle: got a bool beside data of sconv's own"),
    (("mnist",), {}, "data: got str, expected"),
]


@pytest.mark.parametrize(("data", "options", "message"), WRONG, ids=[case[2][:44] for case in WRONG])
def test_what_is_wrong_is_said_before_anything_is_done(data, options, message, monkeypatch):
    fit = functools.wraps(keras.Model.fit)(lambda *_, **__: pytest.fail("there was a fit"))
    monkeypatch.setattr(keras.Model, "fit", fit)
    model = line()
    with pytest.raises(UserError) as caught:
        sconv.fit_one_cycle(model, *data, **options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_range_test_takes_no_epochs_and_does_not_evaluate():
    for name, value in (("epochs", 3), ("validation_data", XY), ("num_it", 3)):
        with pytest.raises(TypeError, match=f"^{name}: got "):
            sconv.lr_find(line(), *XY, **{name: value})
