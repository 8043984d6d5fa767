"""`as_keras` by its effect: the optimizer's updates are the table's, before and after a file."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import sconv
from sconv import checks
from sconv.schedules import cyclic, onecycle, onecycle_fastai, onecycle_smith, phases

POLICIES = [
    onecycle(0.3),
    onecycle_fastai(0.3, momentum=None),
    onecycle_smith(0.3),
    cyclic(0.3),
    phases(0.3, [{"pct": 0.4, "lr": [0.1, 1]}, {"pct": 0.6, "lr": [1, 0.2], "anneal": "polynomial", "power": 2}]),
]
STEPS = 120

# One update of a weight with a gradient of -1 is the learning rate.
CONTINUE = """
import sys
import keras, numpy as np, sconv
sconv.TableSchedule
model = keras.saving.load_model(sys.argv[1])
assert model.optimizer.get_config()["learning_rate"]["registered_name"] == "sconv>TableSchedule"
model.fit(np.ones((64, 1)), np.ones(64), batch_size=1, verbose=0, shuffle=False)
print(repr(model.get_weights()[0].item()))
"""


def rates_of(optimizer, updates, **compiled):
    """What each update takes off a weight of 0 under a gradient of -1, by a compiled step."""
    weight = keras.Variable(np.zeros((), np.float64), dtype="float64")
    optimizer.build([weight])

    @tf.function(**compiled)
    def step():
        weight.assign(0.0)
        optimizer.apply([tf.constant(-1.0, tf.float64)], [weight])
        return weight.value

    return np.array([float(step()) for _ in range(updates)])


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_update_has_the_rate_of_the_table(policy):
    expected = policy.sample(STEPS)[0].astype(np.float32)
    made = policy.as_keras(STEPS)
    saved = keras.optimizers.schedules.serialize(made)
    again = keras.optimizers.schedules.deserialize(saved)
    for schedule in (made, again):
        rates = rates_of(keras.optimizers.SGD(schedule), STEPS + 2)
        assert np.array_equal(rates[:STEPS], expected)
        assert set(rates[STEPS:]) == {expected[-1]}
    assert again.get_config() == made.get_config()


def test_under_xla_momentum_stays():
    """0.9 all through, where the policy itself would cycle it: a constant gradient then sums up geometrically."""
    steps, optimizer = 30, keras.optimizers.SGD(onecycle(0.3).as_keras(30), momentum=0.9)
    velocity, expected = 0.0, []
    for rate in onecycle(0.3).sample(steps)[0]:
        velocity = 0.9 * velocity + rate
        expected.append(velocity)
    np.testing.assert_allclose(rates_of(optimizer, steps, jit_compile=True), expected, rtol=1e-6)


@pytest.mark.slow
def test_a_file_goes_on_with_the_schedule_in_a_process_of_its_own(tmp_path, environment):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    rising = phases(0.5, [{"pct": 1, "lr": [0, 1]}])
    model.compile(keras.optimizers.SGD(rising.as_keras(128)), "mae")
    model.fit(np.ones((64, 1)), 1000 * np.ones(64), batch_size=1, verbose=0)
    model.save(tmp_path / "half.keras")
    half = model.get_weights()[0].item()
    # The loss falls with the weight: each update adds its rate.
    assert half == pytest.approx(rising.sample(128)[0][:64].sum(), rel=1e-5)
    code = CONTINUE.replace("np.ones(64)", "1000 * np.ones(64)")
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "half.keras")]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) == pytest.approx(rising.sample(128)[0].sum(), rel=1e-5)


def test_refusals():
    with pytest.raises(checks.SettingError, match=r"steps: got 2, expected at least .* for onecycle with its 3 phases"):
        onecycle(0.1).as_keras(2)
    with pytest.raises(checks.SettingTypeError, match="steps: got 'all'"):
        onecycle(0.1).as_keras("all")
    with pytest.raises(checks.SettingError, match="learning_rate: SGD already holds a schedule of its own"):
        sconv.attach(keras.optimizers.SGD(onecycle(0.1).as_keras(20), momentum=0.9), onecycle(0.1), steps=20)
