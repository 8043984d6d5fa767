"""What can be got wrong in Python: a ValueError or TypeError in the words of the command line, and nothing done."""

from __future__ import annotations

import keras
import pytest

import sconv
from sconv import checks
from sconv.datasets import synthetic
from sconv.models import lenet5, mlp, resnet
from sconv.runner.config import targets
from sconv.runner.config.data import load_dataset
from sconv.runner.devices import setup
from sconv.schedules import Phase, Schedule, baseline, constant, onecycle, onecycle_fastai

NAN = float("nan")


def sgd(**arguments):
    return keras.optimizers.SGD(**{"learning_rate": 0.01, "momentum": 0.9, **arguments})


def decaying():
    return sgd(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))


# One row for each check and each family of functions: what is called, the error, the setting its message begins with,
# the value it shows, what it says is allowed. Every function's own settings are tried beside its tests.
CASES = [
    (lambda: onecycle(0), ValueError, "lr_max", "0", "above 0"),
    (lambda: constant(NAN), ValueError, "lr_max", "nan", "a finite number"),
    (lambda: onecycle_fastai(10**400), ValueError, "lr_max", "1000", "a finite number"),
    (lambda: onecycle_fastai("0.1"), TypeError, "lr_max", "'0.1'", "a finite number"),
    (lambda: onecycle_fastai(True), TypeError, "lr_max", "True", "a finite number"),
    (lambda: onecycle(1, pct_start=0.5), ValueError, "pct_start", "0.5", "below 0.5"),
    (lambda: onecycle_fastai(1, div_factor=0.5), ValueError, "div_factor", "0.5", "at least 1"),
    (lambda: onecycle_fastai(1, momentum=(0.85, 0.95)), ValueError, "momentum", "(0.85, 0.95)", "[high, low]"),
    (lambda: onecycle_fastai(1, momentum=(0.9,)), TypeError, "momentum", "(0.9,)", "a pair"),
    (lambda: onecycle_fastai(1, momentum=("a", "b")), TypeError, "momentum", "'a'", "below 1"),
    (lambda: onecycle_fastai(1, anneal=None), ValueError, "anneal", "None", "linear, cosine"),
    (lambda: baseline(1, drops=(0.5, 0.5)), ValueError, "drops", "(0.5, 0.5)", "rising order"),
    (lambda: baseline(1, drops=0.5), TypeError, "drops", "0.5", "a list"),
    (lambda: baseline(1, factor=2), ValueError, "factor", "2", "at most 1"),
    (lambda: Phase(1, (0.1, 0.2), (0.9, 1.0)), ValueError, "momentum", "1.0", "below 1"),
    (lambda: Schedule(()), ValueError, "phases", "()", "at least one"),
    (lambda: Schedule((Phase(0.5, (0.1, 0.2)),)), ValueError, "pct", "0.5", "expected 1"),
    (lambda: onecycle(1).sample(9), ValueError, "steps", "9", "at least 10"),
    (lambda: constant(1).sample(2.5), ValueError, "steps", "2.5", "a whole number"),
    (lambda: constant(1).sample("ten"), TypeError, "steps", "'ten'", "a whole number"),
    (lambda: sconv.attach("sgd", constant(1), 10), TypeError, "optimizer", "'sgd'", "keras.optimizers.Optimizer"),
    (lambda: sconv.attach(sgd(), 0.1, 10), TypeError, "schedule", "0.1", "sconv.schedules.Schedule"),
    (lambda: sconv.attach(sgd(), onecycle(1), 5), ValueError, "steps", "5", "at least 10"),
    (lambda: sconv.attach(decaying(), constant(1), 10), ValueError, "learning_rate", "SGD already", "a number"),
    (lambda: sconv.OneCycleScheduler(1, steps=2), ValueError, "steps", "2", "at least 3"),
    (lambda: sconv.OneCycleScheduler(1, phase_1_pct=1), ValueError, "phase_1_pct", "1", "below 1"),
    (lambda: sconv.OneCycleScheduler(1, mom_min=-1), ValueError, "mom_min", "-1", "at least 0"),
    (lambda: sconv.OneCycleScheduler(1, mom_max=0.5), ValueError, "mom_max", "0.5", "at least 0.85"),
    (lambda: sconv.OneCycleScheduler(1).plot(), ValueError, "plot", "nothing", "after fit"),
    (lambda: sconv.ScheduleCallback("onecycle"), TypeError, "schedule", "'onecycle'", "sconv.schedules.Schedule"),
    (lambda: synthetic.load(shape=28), TypeError, "shape", "28", "such as [28, 28, 1]"),
    (lambda: mlp.build((6,), 10, hidden=(0,)), ValueError, "hidden[0]", "0", "at least 1"),
    (lambda: lenet5.build((6, 6, 1), 10), ValueError, "input_shape", "(6, 6, 1)", "at least 8"),
    (lambda: resnet.build((32, 32, 3), 10, depth=21), ValueError, "depth", "21", "20, 26"),
    (lambda: setup.set_up("tpu"), ValueError, "device", "'tpu'", "auto, cpu, gpu"),
]


@pytest.mark.parametrize(
    ("call", "kind", "setting", "value", "allowed"), CASES, ids=[f"{case[2]}={case[3]}" for case in CASES]
)
def test_one_line(call, kind, setting, value, allowed):
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, checks.UserError)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{setting}: ")
    assert [word for word in (value, allowed) if word not in line.removeprefix(f"{setting}: ")] == []
    assert len(line) < 250


class Shouting:
    def __repr__(self):
        return "a\n" * 500


def test_a_value_is_shown_on_one_line_and_not_too_long():
    for call in (
        lambda: constant(Shouting()),
        lambda: sconv.attach(Shouting(), constant(1), 10),
        lambda: sconv.attach(sgd(), Shouting(), 10),
        lambda: sconv.ScheduleCallback(Shouting()),
        lambda: onecycle(1, momentum=Shouting()),
        lambda: onecycle(1, momentum=[0.5] * 500),
        lambda: lenet5.build([28] * 500, 10),
    ):
        with pytest.raises(checks.UserError) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 250


SAME_WORDS = [
    ("schedule.momentum=[0.85,0.95]", "schedule", lambda: onecycle_fastai(0.1, momentum=[0.85, 0.95])),
    ("schedule=baseline schedule.drops=[1.5]", "schedule", lambda: baseline(0.1, drops=[1.5])),
    ("dataset=synthetic dataset.shape=[28,0,1]", "dataset", lambda: synthetic.load([28, 0, 1])),
    ("lr_max=-1", "", lambda: onecycle_fastai(-1)),
]


@pytest.mark.parametrize(("overrides", "place", "call"), SAME_WORDS, ids=[case[0] for case in SAME_WORDS])
def test_the_command_line_says_the_same(compose, overrides, place, call):
    """With the setting's place before it, and nothing else."""
    cfg = compose(*overrides.split())
    with pytest.raises(checks.UserError) as ours:
        call()
    with pytest.raises(checks.UserError) as theirs:
        _ = targets.instantiate("schedule", cfg.schedule), load_dataset(cfg.dataset)
    assert type(theirs.value) is type(ours.value)
    assert str(theirs.value) == f"{place}{'.' * bool(place)}{ours.value}"
