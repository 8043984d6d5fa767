"""Under a distribution strategy the range test and the one-liner do what they do without; in one process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simulations as sim

SETTINGS = {"start_lr": 1e-3, "end_lr": 10.0, "max_steps": 60, "smoothing": 0.5}
ARRAYS = {"batch_size": sim.BATCH, "shuffle": False}


def train_on_two_replicas():
    """Print the losses of range tests and the weights of a trained model, from a process with two processors."""
    import keras
    import tensorflow as tf

    import sconv

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2

    class OwnStep(keras.Model):
        """The same regression, with a step and a tracker of its own."""

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
                share = loss / 2
            self.optimizer.apply(tape.gradient(share, self.trainable_variables))
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

    def line(kind=keras.Model):
        with strategy.scope():
            inputs = keras.Input((3,))
            model = kind(inputs, keras.layers.Dense(1)(inputs))
            model.tracker = keras.metrics.Mean(name="tracked")
            model.set_weights(sim.START)
            model.compile(keras.optimizers.SGD(0.0, momentum=0.9), "mse", jit_compile=False)
        return model

    def losses(model):
        found = sconv.lr_find(model, sim.X, sim.Y, **ARRAYS, **SETTINGS)
        assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), sim.START, strict=True))
        return found.losses.tolist()

    told, after = {"outside": losses(line()), "own step": losses(line(OwnStep))}, line()
    with strategy.scope():
        told["inside"] = losses(line())
    after.fit(sim.X, sim.Y, verbose=0, **ARRAYS)  # at a rate of 0
    told["after a fit"] = losses(after)
    history = sconv.fit_one_cycle(after, sim.X, sim.Y, epochs=2, range_test=SETTINGS, verbose=0, **ARRAYS)
    weights = [value.tolist() for value in after.get_weights()]
    print(json.dumps({"losses": told, "lr_max": history.lr_max, "weights": weights}))


def simulated():
    rates = np.geomspace(SETTINGS["start_lr"], SETTINGS["end_lr"], SETTINGS["max_steps"])
    weights, slots, losses = [part.astype(np.float64) for part in sim.START], [{}, {}], []
    for step, lr in enumerate(rates):
        x, y = sim.batches()[step % sim.PER_EPOCH]
        losses.append(float(np.mean((x @ weights[0] + weights[1] - y) ** 2)))
        gradients = sim.mse_gradient(weights, (x, y))
        weights = [sim.sgd(w, g, s, step, lr, 0.9) for w, g, s in zip(weights, gradients, slots, strict=True)]
    return losses


@pytest.mark.slow
def test_two_replicas():
    here = Path(__file__).parent
    places = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    code = "import test_replicas; test_replicas.train_on_two_replicas()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.splitlines()[-1])
    for name, losses in told["losses"].items():
        assert len(losses) > 20
        assert losses == pytest.approx(simulated()[: len(losses)], rel=2e-4), name
    from sconv.schedules import onecycle_fastai

    sim.check(list(map(np.array, told["weights"])), sim.sgd, onecycle_fastai(told["lr_max"]).sample(20))
