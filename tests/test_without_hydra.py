"""The library in an environment without Hydra: imported whole, and used."""

from __future__ import annotations

import subprocess
import sys

USE = """
import sys
for name in ("hydra", "omegaconf"):
    sys.modules[name] = None  # as if it were not installed: every import of it fails
import keras, numpy as np, sconv
from sconv.datasets import synthetic
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.models import mlp
from sconv.schedules import onecycle

for name in sconv.__all__:
    getattr(sconv, name)
import sconv.report.__main__, sconv.runs
data = synthetic.load((6, 6, 1), classes=4, train_size=320, test_size=40)
keras.utils.set_random_seed(0)

def compiled():
    model = mlp.build((6, 6, 1), 4, hidden=[16])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def accuracy(model):
    return model.evaluate(data.test.images, data.test.labels, verbose=0, return_dict=True)["accuracy"]

model = compiled()
cycle = sconv.OneCycleScheduler(0.3)
model.fit(data.train.images, data.train.labels, epochs=4, verbose=0, callbacks=[cycle])
print("callback", len(cycle.lrs), accuracy(model))

model = compiled()
sconv.attach(model.optimizer, onecycle(0.3), steps=40)
model.fit(TrainingStream(data.train, 32, seed=0).batches, epochs=4, verbose=0)
sconv.detach(model.optimizer)
print("attach", int(model.optimizer.iterations), accuracy(model))

found = sconv.lr_find(model := compiled(), data, max_steps=100)
print("lr_find", 100, float(1e-3 < found.suggestion < 10))

history = sconv.fit_one_cycle(model, data, epochs=4, range_test={"max_steps": 100, "suggestion": "valley"}, verbose=0)
print("fit_one_cycle", len(history.epoch), accuracy(model))
"""


def test_the_library_needs_no_hydra(tmp_path, environment):
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USE], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    told = [line.split() for line in ran.stdout.splitlines()]
    assert [(name, int(count)) for name, count, _ in told] == [
        ("callback", 40),
        ("attach", 40),
        ("lr_find", 100),
        ("fit_one_cycle", 4),
    ]
    assert all(float(learned) > 0.9 for _, _, learned in told)
