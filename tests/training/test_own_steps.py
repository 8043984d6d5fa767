"""Models with a training step of their own: each update's loss is recorded, or what is missing is said."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import sconv
from sconv import schedules
from sconv.checks import SettingError

X = np.random.default_rng(0).random((120, 12)).astype("float32")
BATCH, UPDATES = 12, 20


class Autoencoder(keras.Model):
    """After keras.io's VAE: parts but no call, a step and loss trackers of its own."""

    def __init__(self, told="tracker"):
        super().__init__()
        inputs = keras.Input((12,))
        hidden = keras.layers.Dense(8, "relu")(inputs)
        self.encoder = keras.Model(inputs, [keras.layers.Dense(2)(hidden), keras.layers.Dense(2)(hidden)])
        self.decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(12, "sigmoid")])
        self.seed_generator = keras.random.SeedGenerator(1)
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")
        self.told, self.seen = told, []

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            mean, log_variance = self.encoder(data)
            noise = keras.random.normal(keras.ops.shape(mean), seed=self.seed_generator)
            decoded = self.decoder(mean + keras.ops.exp(0.5 * log_variance) * noise)
            kl_loss = -0.5 * keras.ops.mean(1 + log_variance - mean**2 - keras.ops.exp(log_variance))
            loss = keras.ops.sum(keras.losses.binary_crossentropy(data, decoded)) + kl_loss
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.total_loss_tracker.update_state(loss)
        self.kl_loss_tracker.update_state(kl_loss)
        tf.py_function(lambda value: self.seen.append(float(value)), [loss], [])
        if self.told == "nothing":
            return {"kl_loss": self.kl_loss_tracker.result()}
        return {
            "loss": self.total_loss_tracker.result() if self.told == "tracker" else loss,
            "kl_loss": self.kl_loss_tracker.result(),
        }


def autoencoder(told="tracker", **compiled):
    keras.utils.set_random_seed(0)
    model = Autoencoder(told)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False, **compiled)
    return model


@pytest.mark.parametrize(
    ("compiled", "told"),
    [({}, "value"), ({"steps_per_execution": 7}, "tracker"), ({"run_eagerly": True}, "tracker")],
    ids=str,
)
def test_the_loss_of_each_update_is_the_steps_own(compiled, told):
    model = autoencoder(told, **compiled)
    rows = []
    callback = sconv.ScheduleCallback(schedules.constant(0.01), write=lambda *columns: rows.append(columns))
    model.fit(X, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    assert len(model.seen) == UPDATES
    np.testing.assert_allclose(np.concatenate([row[3] for row in rows]), model.seen, rtol=1e-4)
    np.testing.assert_array_equal(callback.losses, np.concatenate([row[3] for row in rows]))
    assert not vars(model).keys() & {"train_step", "compute_loss"}
    assert "result" not in vars(model.total_loss_tracker)


def test_a_range_test_of_such_a_model():
    model = autoencoder()
    before = [value.numpy() for value in model.variables]
    test = sconv.lr_find(model, X, batch_size=BATCH, start_lr=1e-4, end_lr=100.0, max_steps=150)
    np.testing.assert_allclose(test.losses, model.seen[: len(test.losses)], rtol=1e-4)
    assert 1e-3 < test.suggestion < 10
    assert all(np.array_equal(old, new) for old, new in zip(before, model.variables, strict=True))


def test_a_step_that_tells_no_loss_is_told_what_is_missing():
    model = autoencoder("nothing")
    with pytest.raises(SettingError, match=r"^train_step: got logs of kl_loss, expected a loss among them") as caught:
        sconv.lr_find(model, X, batch_size=BATCH)
    assert "\n" not in str(caught.value)
    assert len(model.seen) == 1
    # Where none is asked for, it trains.
    model.fit(X, batch_size=BATCH, verbose=0, callbacks=[sconv.OneCycleScheduler(0.01)])
