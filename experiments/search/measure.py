"""Searches with TPE, with and without the range test's suggestions, and at random: what each has found after n trials.

    python -m experiments.search.measure                             # everything, into results.csv beside this file
    python -m experiments.search.measure --tasks digits --repeats 1  # a small piece

The study, the samplers' settings and the first trials are those of hydra/sweeper=search; in place of its launcher the
training steps are written out below, so that a trial takes a second. Appends a row a trial; makes only the
searches that are not there.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
import keras
import numpy as np
import tensorflow as tf
from omegaconf import OmegaConf

import sconv
from sconv import runs
from sconv.datasets import digits, mnist_5k
from sconv.datasets.building.subset import select
from sconv.datasets.dataset import Split
from sconv.models import lenet5, mlp
from sconv.runner.config.schema import CONF
from sconv.runner.sweeps import search_space, trials

HERE = Path(__file__).resolve().parent
TRIALS, EPOCHS, BATCH = 20, 4, 32
SPACE = {
    "lr_max": "tag(log, interval(0.001, 10))",
    "momentum": "interval(0.5, 0.99)",
    "pct_start": "interval(0.1, 0.7)",
    "div_factor": "tag(log, interval(2, 100))",
}
TASKS = {
    "digits": (lambda: select(digits.load(), validation=0.3), lambda *shape: mlp.build(*shape, hidden=[64])),
    "mnist": (lambda: select(mnist_5k.load(), validation=0.5, train_size=1000), lenet5.build),
}
KINDS = {"random": ("random", False), "tpe": ("tpe", False), "tpe, range test": ("tpe", True)}
COLUMNS = ("task", "kind", "repeat", "trial", *SPACE, "status", "validation", "test", "epochs")


class Trainer:
    """Stands in for a launcher: trains one model from the same weights, under what each job's overrides say."""

    def __init__(self, task: str, repeat: int):
        load, build = TASKS[task]
        self.data, self.folder = load(), HERE
        keras.utils.set_random_seed(repeat)
        self.model = build(self.data.input_shape, self.data.classes)
        self.start = [weight.numpy() for weight in self.model.weights]
        steps = len(self.data.train) // BATCH
        shuffled = [np.random.default_rng((repeat, epoch)).permutation(len(self.data.train)) for epoch in range(EPOCHS)]
        self.order = np.concatenate([rows[: steps * BATCH].reshape(steps, BATCH) for rows in shuffled])
        self.velocities = [tf.Variable(tf.zeros_like(weight)) for weight in self.model.trainable_weights]
        self.fit = fit_of(self.model, self.velocities, self.data.train)

    def __call__(self, jobs: Sequence[Sequence[str]], first: int) -> list[Path]:
        assert len(jobs) == 1
        said = dict(override.split("=", 1) for override in jobs[0])
        values = {name: float(said[name]) for name in SPACE if name in said}
        self.model.set_weights(self.start)
        for velocity in self.velocities:
            velocity.assign(tf.zeros_like(velocity))
        if said.get("task") == "lr_find":
            self.range_test(values["momentum"])
            return [self.folder]
        directory = self.folder / f"{first}-trial"
        directory.mkdir()
        (directory / "summary.json").write_text(json.dumps(self.train(**values)))
        return [directory]

    def range_test(self, momentum: float) -> None:
        train = self.data.train
        self.model.compile(keras.optimizers.SGD(0.01, momentum=momentum), "sparse_categorical_crossentropy")
        found = sconv.lr_find(self.model, train.images, train.labels, batch_size=BATCH, momentum=momentum)
        directory = self.folder / "range_test"
        directory.mkdir()
        (directory / "lr_find.json").write_text(json.dumps({"suggestion": found.suggestions.get(found.rule)}))

    def train(self, lr_max: float, **cycle: float) -> dict:
        """One cycle; the summary of it that a run would have."""
        rates, momenta = sconv.schedules.onecycle_fastai(lr_max, **cycle).sample(len(self.order))
        curve = []
        for rows in np.split(np.arange(len(self.order)), EPOCHS):
            loss = self.fit(self.order[rows], rates[rows].astype("float32"), momenta[rows].astype("float32"))
            curve.append(self.accuracy(self.data.validation))
        summary = {"status": "finished" if np.isfinite(loss) else "diverged", "monitored": "validation"}
        test, final = {"accuracy": self.accuracy(self.data.test)}, {"val_accuracy": curve[-1]}
        return {**summary, "final": final, "test": test, "seconds": {"training": 0.0}, "epochs": curve}

    def accuracy(self, split: Split) -> float:
        return float(np.mean(self.model.predict_on_batch(split.images).argmax(1) == split.labels))


def fit_of(model: keras.Model, velocities: list[tf.Variable], train: Split) -> Callable[..., tf.Tensor]:
    """Stochastic gradient descent with momentum as Keras has it, under one rate and one momentum a step."""
    images, labels = tf.constant(train.images), tf.constant(train.labels)

    @tf.function
    def fit(order: tf.Tensor, rates: tf.Tensor, momenta: tf.Tensor) -> tf.Tensor:
        loss = tf.constant(0.0)
        for step in tf.range(tf.shape(order)[0]):
            with tf.GradientTape() as tape:
                guessed = model(tf.gather(images, order[step]), training=True)
                losses = keras.losses.sparse_categorical_crossentropy(tf.gather(labels, order[step]), guessed)
                loss = tf.reduce_mean(losses)
            slopes = tape.gradient(loss, model.trainable_weights)
            for weight, velocity, slope in zip(model.trainable_weights, velocities, slopes, strict=True):
                velocity.assign(momenta[step] * velocity - rates[step] * slope)
                weight.assign(weight + velocity)
        return loss

    return fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--into", type=Path, default=HERE, help="folder of results.csv")
    arguments = parser.parse_args()
    results = arguments.into / "results.csv"
    if not results.is_file():
        append(results, [COLUMNS])
    with open(results, newline="") as file:
        there = {tuple(row[:3]) for row in csv.reader(file)}
    for repeat in range(arguments.repeats):
        for task in arguments.tasks:
            missing = [kind for kind in KINDS if (task, kind, str(repeat)) not in there]
            trainer = Trainer(task, repeat) if missing else None
            for kind in missing:
                rows = one(task, kind, repeat, trainer)
                append(results, rows)
                print(task, kind, repeat, max(row[9] for row in rows), flush=True)


def append(path: Path, rows: list[tuple]) -> None:
    with open(path, "a", newline="") as file:
        csv.writer(file).writerows(rows)


def one(task: str, kind: str, repeat: int, trainer: Trainer) -> list[tuple]:
    """One search, a row a trial; none is pruned, so that all searches are of as many whole trainings."""
    name, seeded = KINDS[kind]
    space, _ = search_space.parse([f"{name}={values}" for name, values in SPACE.items()], {}, None)
    with tempfile.TemporaryDirectory() as folder:
        sampler = sampler_of(name, 1000 * repeat)
        asked = trials.Search(Path(folder), space, [], ["accuracy"], sampler, TRIALS, 1)
        study, trainer.folder = runs.open_study(asked.directory, ["maximize"]), asked.directory
        if seeded:
            trials.seed(study, asked, trainer)
        trials.run(study, asked, trainer)
        return [(task, kind, repeat, *row(trial, asked.directory)) for trial in study.trials]


def sampler_of(name: str, seed: int) -> Callable[[int], object]:
    """As conf/ has it, by the number of the trial."""
    settings = OmegaConf.load(CONF / "hydra" / "sweeper" / "sampler" / f"{name}.yaml")
    return lambda number: hydra.utils.instantiate(settings, seed=seed + number)


def row(trial: object, folder: Path) -> tuple:
    summary = json.loads((folder / f"{trial.number}-trial" / "summary.json").read_text())
    ended = summary["status"] == "finished"
    reached = [f"{runs.accuracy(summary, split) if ended else 0:.4f}" for split in runs.SPLITS]
    values = [f"{trial.params[name]:.6g}" for name in SPACE]
    return trial.number, *values, summary["status"], *reached, " ".join(f"{value:.4f}" for value in summary["epochs"])


if __name__ == "__main__":
    main()
