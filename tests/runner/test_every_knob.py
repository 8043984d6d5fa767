"""Every knob does something: each leaf of the configuration, given another value, changes what it is there to change.

A new leaf without a line here makes `test_no_knob_is_left_out` red. Most are seen by their effect on training: the loss
of each update, and what the last weights give on the test split.
"""

from __future__ import annotations

import csv
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from hydra import initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from conftest import TINY
from sconv import checks
from sconv.datasets import synthetic
from sconv.runner import resuming
from sconv.runner.config import data
from sconv.runner.config.schema import CONF
from sconv.runner.tasks import going_on
from sconv.runs.settings import Settings, write_settings
from sconv.training import checkpoint_file
from sconv.training.recording import Diverged

RANGE_TEST = ("task=lr_find", "lr_find.start_lr=1e-3", "lr_find.end_lr=1e3", "lr_find.max_steps=60")
GRID = ("task=range_grid", "range_grid.l2=[0.0]", "lr_find.start_lr=1e-3", "lr_find.max_steps=40")
EVALUATE = ("task=evaluate", "allowed_targets=[test_every_knob.*]")
PREDICT = ("task=predict", "run={runs}/first")
HERE = "test_every_knob"


class Knob(NamedTuple):
    """Another value for a leaf, where it is seen, and what is given beside it so that it has something to act on."""

    other: str
    seen: str = "training"
    beside: tuple[str, ...] = ()


# A range test in which there is a fall to be read.
LEARNED = ("lr_find.max_steps=200", "dataset.noise=0.5", "lr_find.smoothing=0.9")
KNOBS = {
    "task._target_": Knob("sconv.runner.tasks.lr_find.lr_find", "files", RANGE_TEST[1:]),
    "dataset._target_": Knob(f"{HERE}.other_data"),
    "dataset.classes": Knob("[0,1]"),
    "dataset.train_size": Knob("40"),
    "dataset.validation": Knob("0.25"),
    "augment._target_": Knob("sconv.datasets.pipeline.augmentation.flip"),
    "model._target_": Knob(f"{HERE}.linear"),
    "model.scale": Knob("0.01"),
    "optimizer._target_": Knob(f"{HERE}.adam"),
    "optimizer.momentum": Knob("0.5", beside=("schedule.momentum=null",)),  # else the schedule drives it
    "optimizer.nesterov": Knob("true"),
    "optimizer.weight_decay": Knob("0.1"),
    "optimizer.global_clipnorm": Knob("0.01"),
    "optimizer.use_ema": Knob("true"),
    "optimizer.ema_momentum": Knob("0.5", beside=("optimizer.use_ema=true",)),
    "schedule._target_": Knob("sconv.schedules.onecycle"),
    "schedule.lr_max": Knob("0.05"),
    "schedule.momentum": Knob("[0.9,0.5]"),
    "schedule.div_factor": Knob("5"),
    "schedule.final_div_factor": Knob("2"),
    "schedule.pct_start": Knob("0.5"),
    "schedule.anneal": Knob("linear"),
    "device._target_": Knob("builtins.dict", "device"),
    "device.kind": Knob("gpu", "device", ("device.kind=cpu",)),
    "device.threads": Knob("3", "started"),
    "device.xla": Knob("true", "compiled"),
    "device.deterministic": Knob("true", "started", ("device.threads=3",)),
    "device.onednn": Knob("true", "started", ("device.onednn=false",)),
    "loss._target_": Knob("keras.losses.CategoricalFocalCrossentropy"),
    "loss.label_smoothing": Knob("0.1"),
    "loss.from_logits": Knob("true", beside=(f"model._target_={HERE}.logits",)),
    "lr_max": Knob("0.05"),
    "lr_find.start_lr": Knob("1e-2", "range_test"),
    "lr_find.end_lr": Knob("1e2", "range_test"),
    "lr_find.max_steps": Knob("50", "range_test"),
    "lr_find.smoothing": Knob("0.5", "range_test"),
    "lr_find.stop_factor": Knob("1e9", "range_test", LEARNED),
    "lr_find.suggestion": Knob("minimum", "range_test", LEARNED),
    "lr_find.anneal": Knob("linear", "range_test"),
    "range_grid.l2": Knob("[0.1]", "range_grid"),
    "range_grid.weight_decay": Knob("[0.1]", "range_grid", ("range_grid.l2=null",)),
    "range_grid.momentum": Knob("[0.5]", "range_grid"),
    "range_grid.batch_size": Knob("[16]", "range_grid"),
    "weight_decay": Knob("0.1"),
    "l2": Knob("0.1"),
    "decay_all": Knob("true", beside=("l2=0.1",)),
    "lr_factors": Knob("{dense: 0.1}"),
    "freeze_epochs": Knob("1", beside=("lr_factors={dense: 0.1}",)),
    "progressive_resizing": Knob("[0.5,1]", beside=(f"model._target_={HERE}.pooled",)),
    "epochs": Knob("1"),
    "batch_size": Knob("16"),
    "seed": Knob("1"),
    "precision": Knob("mixed_bfloat16"),
    "accelerate": Knob("false", "fused", (f"model._target_={HERE}.normalised",)),
    "update_bn": Knob("false", beside=(f"model._target_={HERE}.normalised",)),
    "steps_per_execution": Knob("5", "steps_per_execution", ("steps_per_execution=2",)),
    "checkpoint.every": Knob("[3steps]", "checkpoints"),
    "checkpoint.keep": Knob("1", "checkpoints"),
    "on_divergence": Knob("restart", "restarts"),
    "name": Knob("mine", "directory"),
    "resume": Knob("{runs}/first", "directory"),
    "resume_allow": Knob("[epochs]", "taken_up", ("resume={runs}/first", "epochs=3")),
    "resume_sweep": Knob("{runs}", "sweep"),
    "run": Knob("{runs}/second", "evaluation", (*EVALUATE, "run={runs}/first")),
    "images": Knob("{runs}/images/1.png", "predictions", (*PREDICT, "images={runs}/images/0.png")),
    "allowed_targets": Knob("[test_every_knob.*]", "evaluation", ("task=evaluate", "run={runs}/second")),
}
# What may not be changed, and why.
REFUSED = {"optimizer.learning_rate": "the schedule drives it, from the first update to the last"}
# What only another task reads, and the tests that show it.
OF_ANOTHER_TASK = {"dataset._examples_": "task=show: tests/datasets/test_options.py"}


def other_data(**settings):
    return synthetic.load([6, 6, 1], classes=4, train_size=80, test_size=20, noise=0.9)


def logits(input_shape, classes, **settings):
    layers = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def normalised(input_shape, classes, **settings):
    layers = [keras.layers.BatchNormalization(), linear(input_shape, classes)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def pooled(input_shape, classes, **settings):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input(input_shape), *layers, keras.layers.Dense(classes, "softmax")])


def linear(input_shape, classes, **settings):
    return keras.Sequential([logits(input_shape, classes), keras.layers.Softmax()])


def adam(**settings):
    return keras.optimizers.Adam(0.1)


def leaves(node, path=""):
    """The names of all that is no mapping with something in it."""
    if not isinstance(node, dict) or not node:
        return [path]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}" if path else str(key))]


def leaves_of(cfg):
    return leaves(OmegaConf.to_container(cfg, resolve=False))


def column(path, *names):
    with open(path, newline="") as file:
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, compose, train):
    """Two runs of somebody whose data is not trusted, some images, and what a sweep leaves."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("first", 0), ("second", 1)):
        train(f"seed={seed}", into=folder / name)
        (folder / name / ".hydra").mkdir()
        OmegaConf.save({"dataset": {"_target_": f"{HERE}.other_data"}}, folder / name / ".hydra" / "config.yaml")
    settings = OmegaConf.to_container(compose(*TINY), resolve=True)
    write_settings(folder / "first", Settings(settings, {}, [], str(Path.cwd())))
    (folder / "images").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    (folder / "multirun.yaml").write_text("")
    return folder


@pytest.fixture(scope="module")
def look(compose, train, job, runs, tmp_path_factory):
    """look(seen, *overrides): what can be seen of a configuration; kept, so that many share what they compare with."""

    def training(*overrides):
        directory = train(*overrides)
        final = json.loads((directory / "summary.json").read_text())["final"]
        return column(directory / "steps.csv", "loss"), final["val_loss"]

    def range_test(*overrides):
        directory = train(*RANGE_TEST, *overrides)
        told = json.loads((directory / "lr_find.json").read_text())
        return column(directory / "lr_find.csv", "loss", "smoothed"), told["suggestion"]

    def device(*overrides):
        return instantiate(compose(*overrides).device)

    def sweep(*overrides):
        cfg = compose(*overrides, hydra=True)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return Path(cfg.hydra.sweep.dir).parts[:2]

    def started(*overrides):
        settings = OmegaConf.to_container(compose(*overrides).device)
        said = subprocess.run([sys.executable, "-c", STARTED, json.dumps(settings)], capture_output=True, check=True)
        return said.stdout

    def checkpoints(*overrides):
        """What there was after each that was written."""
        there, prune = [], checkpoint_file.prune

        def watched(directory, *arguments, **options):
            prune(directory, *arguments, **options)
            there.append(sorted(path.name for path in directory.iterdir()))

        with mock.patch.object(checkpoint_file, "prune", watched):
            train(*overrides)
        return there

    def restarts(*overrides):
        """How often a run was tried again whose loss is never finite."""
        with pytest.raises(Diverged), mock.patch.object(going_on, "_MOST_RESTARTS", 1):
            train("lr_max=1e30", *overrides, into=(folder := tmp_path_factory.mktemp("restarts")))
        return len(json.loads((folder / "summary.json").read_text()).get("restarts", []))

    def taken_up(*overrides):
        return resuming.taken_up(job(*overrides, directory=runs / "first")).cfg.epochs

    def fused(*overrides):
        with mock.patch.object(
            tf.compat.v1.nn, "fused_batch_norm", wraps=tf.compat.v1.nn.fused_batch_norm
        ) as operation:
            train(*overrides)
        return operation.called

    seen = {
        "training": training,
        "fused": fused,
        "range_test": range_test,
        "range_grid": lambda *overrides: column(train(*GRID, *overrides) / "range_grid.csv", "loss"),
        "files": lambda *overrides: {path.name for path in train(*overrides).glob("*.*")},
        "steps_per_execution": lambda *overrides: saved(train(*overrides)).steps_per_execution,
        "compiled": lambda *overrides: saved(train(*overrides)).jit_compile,
        "evaluation": lambda *overrides: (train(*overrides, tiny=()) / "classes.csv").read_text(),
        "predictions": lambda *overrides: (train(*overrides, tiny=()) / "predictions.csv").read_text(),
        "checkpoints": checkpoints,
        "restarts": restarts,
        "taken_up": taken_up,
        "directory": lambda *overrides: Path(compose(*overrides, hydra=True).hydra.run.dir).name.split("-")[4:],
        "sweep": sweep,
        "device": device,
        "started": started,
    }

    @functools.cache
    def look(what, *overrides):
        try:
            return seen[what](*(override.replace("{runs}", str(runs)) for override in overrides))
        except Exception as error:
            if told := checks.user_error(error):
                return str(told)
            raise

    return look


STARTED = """
import json, sys
from hydra.utils import instantiate
instantiate(json.loads(sys.argv[1]))
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled
from sconv.training import keras_internals
threads = tf.config.threading.get_intra_op_parallelism_threads()
print(threads, is_op_determinism_enabled(), keras_internals.onednn_is_on())
"""


@pytest.mark.filterwarnings("ignore:lr_find")
def test_a_range_test_is_made_on_whole_images(look):
    model = f"model._target_={HERE}.pooled"
    assert look("range_test", model) == look("range_test", model, "progressive_resizing=[0.5,1]")


def saved(directory):
    return keras.saving.load_model(directory / "model.keras")


def test_no_knob_is_left_out(compose):
    assert sorted([*KNOBS, *REFUSED, *OF_ANOTHER_TASK]) == sorted(leaves_of(compose()))


@pytest.mark.filterwarnings("ignore:lr_find")
@pytest.mark.parametrize("leaf", KNOBS)
def test_a_knob_of_the_default_configuration(look, leaf):
    other, seen, beside = KNOBS[leaf]
    assert look(seen, *beside) != look(seen, *beside, f"{leaf}={other}")


@pytest.mark.parametrize("leaf", REFUSED)
def test_what_could_change_nothing_is_refused(train, leaf):
    with pytest.raises(checks.SettingError, match=f"^{leaf}: got 0.5, which the schedule overrides"):
        train(f"{leaf}=0.5")


# --- The options ---------------------------------------------------------------------------------------------------
# A value for each leaf by its name, and what an option needs beside it for one of its leaves to act on.

SCHEDULES = {
    "lr_max": "0.5",
    "momentum": "0.5",
    "div_factor": "7",
    "final_div_factor": "3",
    "pct_start": "0.2",
    "anneal": "exponential",
    "drops": "[0.25]",
    "factor": "0.5",
    "warmup_pct": "0.25",
    "decay_pct": "0.4",
    "cycles": "2",
    "cycle_mult": "1",
    "mode": "triangular2",
    "gamma": "0.25",
    "power": "2",
    "phases": "[{pct: 1, lr: [1, 0.5]}]",
    "epochs": "4",
    "freeze_epochs": "2",
}
SCHEDULES_BESIDE = {
    "cyclic.gamma": "schedule.mode=exp_range",
    "published/smith2017_fig1a.gamma": "schedule.mode=exp_range",
    "published/smith2017_fig1a.mode": "schedule.cycles=2",
    "cosine.div_factor": "schedule.warmup_pct=0.2",
    "warmup_stable_decay.anneal": "schedule.final_div_factor=10",
    "fine_tune.epochs": "freeze_epochs=1",
}
OPTIMIZERS = {
    "learning_rate": "0.02",
    "momentum": "0.5",
    "nesterov": "true",
    "rho": "0.5",
    "beta_1": "0.5",
    "beta_2": "0.5",
    "adam_beta_1": "0.5",
    "adam_beta_2": "0.5",
    "weight_decay": "0.3",
    "adam_weight_decay": "0.3",
    "global_clipnorm": "0.1",
    "use_ema": "true",
    "ema_momentum": "0.5",
}
MODELS = {
    "scale": "0.5",
    "hidden": "[8]",
    "dropout": "0.25",
    "width": "4",
    "widen_factor": "2",
    "growth_rate": "4",
    "logit_scale": "1",
    "widths": "[4,4,4]",
    "activation": "gelu",
    "norm_momentum": "0.9",
    "frozen": "true",
    "backbone._target_": "keras.applications.MobileNet",
}
DEPTHS = {"wide_resnet": "16", "densenet40": "10"}  # each family counts in its own way
# Smaller than they come, and without a download.
MODELS_BESIDE = {
    **dict.fromkeys(("resnet20", "resnet56", "resnet110"), ("model.depth=8",)),
    "wide_resnet": ("model.depth=10",),
    "densenet40": ("model.depth=7",),
    "mobilenet_v2": ("model.weights=null", "model.frozen=false"),  # frozen and random, it gives nothing at all
}
AUGMENTATIONS = {"padding": "2", "alternating": "true", "size": "3", "alpha": "1"}
SYNTHETIC = {
    "shape": "[5,5,1]",
    "classes": "3",
    "train_size": "40",
    "test_size": "12",
    "noise": "0.9",
    "seed": "1",
    "validation": "0.25",
}
# Told apart above or where it is said, by effect as well.
ELSEWHERE = {
    "_target_": "another function is another option",
    "weights": "a download; tests/models/test_transfer.py",
    "backbone._partial_": "Hydra's own: the function itself, not what it returns",
}


def options(group):
    return sorted(str(path.relative_to(CONF / group).with_suffix("")) for path in (CONF / group).rglob("*.yaml"))


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def idle(compose, group, option, values, see, beside=()):
    """The leaves of an option that are not among `values`, or whose value there changes nothing that `see` sees."""
    given = (f"{group}={option}", *beside)
    names = [leaf for leaf in leaves_of(compose(*given)[group]) if leaf not in ELSEWHERE]
    found = [name for name in names if name not in values]
    seen = functools.cache(lambda *overrides: see(compose(*overrides)))
    for name in (name for name in names if name in values):
        own = SCHEDULES_BESIDE.get(f"{option}.{name}") if group == "schedule" else None
        own = "optimizer.use_ema=true" if name == "ema_momentum" else own
        both = (*given, *([own] if own else []))
        if same(seen(*both), seen(*both, f"{group}.{name}={values[name]}")):
            found.append(name)
    return found


@pytest.mark.parametrize("option", options("schedule"))
def test_every_leaf_of_a_schedule_changes_its_table(compose, option):
    def table(cfg):
        rates, momenta = instantiate(cfg.schedule, _convert_="all").sample(120)
        return rates, np.array(np.nan if momenta is None else momenta)

    assert idle(compose, "schedule", option, SCHEDULES, table) == []


@pytest.mark.slow
@pytest.mark.parametrize("option", options("optimizer"))
def test_every_leaf_of_an_optimizer_changes_the_weights_of_some_updates(compose, option):
    gradients = np.random.default_rng(0).standard_normal((6, 3, 2)) * np.array([1, 9, 0.1, 3, 0.5, 2])[:, None, None]

    def weights(cfg):
        layer = keras.layers.Dense(2, kernel_initializer="ones", bias_initializer="ones")
        layer.build((None, 3))
        optimizer = instantiate(cfg.optimizer, _convert_="all")
        optimizer.build(layer.trainable_variables)
        for gradient in gradients.astype(np.float32):
            optimizer.apply([tf.constant(gradient), tf.constant(gradient[0])])
        optimizer.finalize_variable_values(layer.trainable_variables)
        return layer.get_weights()

    assert idle(compose, "optimizer", option, OPTIMIZERS, weights) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
@pytest.mark.parametrize("option", options("model"))
def test_every_leaf_of_a_model_changes_what_it_gives(compose, option):
    """As in training, from the same seed; or how many of its weights are trained, or what averages it keeps."""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)

    def outputs(cfg):
        keras.utils.set_random_seed(0)
        model = instantiate(cfg.model, input_shape=images.shape[1:], classes=4, _convert_="all")
        given, averages = np.asarray(model(images, training=True)), model.non_trainable_weights
        return given, np.array(len(model.trainable_variables)), *(np.asarray(average) for average in averages)

    values = {"depth": DEPTHS.get(option, "14"), **MODELS}
    assert idle(compose, "model", option, values, outputs, MODELS_BESIDE.get(option, ())) == []


@pytest.mark.parametrize("option", options("augment"))
def test_every_leaf_of_an_augmentation_changes_the_batch(compose, option):
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (16, 12, 12, 1)), tf.float32)
    labels, key = tf.one_hot(random.integers(0, 4, 16), 4), tf.constant([0, 1])

    def batch(cfg):
        return [part.numpy() for part in instantiate(cfg.augment, _convert_="all")(images, labels, key)]

    assert idle(compose, "augment", option, AUGMENTATIONS, batch) == []


def test_every_leaf_of_the_synthetic_data_changes_them(compose):
    """Those of the other datasets need files or downloads: tests/datasets."""

    def arrays(cfg):
        loaded = data.load_dataset(cfg.dataset)
        return loaded.train.images, loaded.test.images, np.array(len(loaded.train)), np.array(loaded.classes)

    beside = ["dataset.train_size=60", "dataset.test_size=20"]
    assert idle(compose, "dataset", "synthetic", SYNTHETIC, arrays, beside) == []


# What only some devices have, and the tests that show it.
OF_SOME_DEVICES = {
    "replicas": "tests/runner/test_workers.py",
    **dict.fromkeys(("hosts", "index", "port", "timeout"), "the same"),
}


@pytest.mark.parametrize("option", options("device"))
def test_the_devices_have_the_same_leaves(compose, option):
    device = compose(f"device={option}").device
    assert set(leaves_of(device)) - OF_SOME_DEVICES.keys() == set(leaves_of(compose().device))
    assert device.kind == option
