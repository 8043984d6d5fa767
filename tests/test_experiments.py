"""Every whole recipe composes, builds and takes two steps, on made-up data of the right shape."""

from __future__ import annotations

import copy
import functools

import keras
import numpy as np
import pytest
from hydra.utils import instantiate

from sconv.datasets import Dataset, Split, updates
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.runner import build
from sconv.runner.config import schema
from sconv.training import model_contract
from sconv.training.callbacks import ScheduleCallback
from sconv.training.parameter_groups import group_parameters

pytestmark = pytest.mark.slow  # trains or builds large models, or starts a browser

EXPERIMENTS = sorted(path.stem for path in (schema.CONF / "experiment").glob("*.yaml"))
# Shape, classes and training examples of what cannot be had without a download.
CIFAR10 = ((32, 32, 3), 10, 50_000)
DATA = {
    "cifar10": CIFAR10,
    "cifar100": ((32, 32, 3), 100, 50_000),
    "mnist": ((28, 28, 1), 10, 60_000),
    "mnist_5k": ((28, 28, 1), 10, 4_000),
    "fashion_mnist": ((28, 28, 1), 10, 60_000),
    "cats_vs_dogs": ((96, 96, 3), 2, 18_610),
}


@pytest.fixture(scope="module")
def kept(compose):
    """kept(*overrides): as compose, once; only to be looked at."""
    return functools.cache(functools.partial(compose, hydra=True))


@pytest.fixture
def cfg(kept, name):
    return copy.deepcopy(kept(f"experiment={name}"))


def made_up(cfg, batch):
    shape, classes, _ = DATA.get(cfg.hydra.runtime.choices.dataset, CIFAR10)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * batch, *shape)).astype(np.uint8)
    split = Split(images, np.arange(2 * batch) % classes)
    return Dataset("made up", split, split, tuple(map(str, range(classes))))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_schedule_fits_its_updates(cfg, name):
    size = cfg.dataset.train_size or DATA.get(cfg.hydra.runtime.choices.dataset, CIFAR10)[2]
    rates, _ = instantiate(cfg.schedule, _convert_="all").sample(updates(name, size, cfg.epochs, cfg.batch_size))
    assert rates.max() == pytest.approx(cfg.lr_max, rel=1e-12)


# Of the papers, not of our files: updates in all; start, peak and last value of the learning rate; momentum at its
# highest and its lowest (None: left to the optimizer); batch; L2, and whether of all parameters; Nesterov; augment.
PRINTED = {
    "avanwyk_cats_vs_dogs": (5 * 582, 2e-4, 5e-3, 2e-8, None, 32, None, False, None, "none"),
    "avanwyk_fashion_mnist": (3 * 1875, 2e-4, 5e-3, 2e-8, None, 32, None, False, None, "none"),
    "smith2017_fig1a": (10_000, 0.1, 3.0, 0.1, (0.9, 0.9), 1000, 1e-4, True, False, "flip"),
    "smith2017_fig1a_baseline": (80_000, 0.35, 0.35, 0.0035, (0.9, 0.9), 1000, 1e-4, True, False, "flip"),
    "smith2017_limited_data": (10_000, 0.1, 3.0, 0.1, (0.9, 0.9), 1000, 1e-4, True, False, "flip"),
    "smith2017_limited_data_baseline": (80_000, 0.35, 0.35, 0.0035, (0.9, 0.9), 1000, 1e-4, True, False, "flip"),
    "smith2018_mnist_lenet": (12 * 118, 0.01, 0.1, 1e-5, (0.95, 0.8), 512, 5e-4, True, False, "none"),
    "smith2018_mnist_lenet_baseline": (
        *(85 * 118, 0.01, 0.01, 0.01 * (1 + 1e-4 * 85 * 118) ** -0.75, (0.9, 0.9), 512, 5e-4, True, False, "none"),
    ),
    "smith2018_cifar10_wrn": (50 * 98, 0.1, 1.0, 1e-4, (0.95, 0.85), 512, 1e-4, True, True, "flip"),
    "smith2018_cifar10_densenet": (50 * 98, 0.1, 4.0, 1e-4, (0.9, 0.85), 512, 1e-6, True, True, "flip"),
    "smith2018_cifar100_resnet56": (25 * 98, 0.1, 0.5, 1e-4, (0.95, 0.85), 512, 1e-4, True, True, "flip"),
    "gugger2018_resnet56": (9_310, 0.08, 0.8, 0.0008, (0.95, 0.85), 512, 1e-4, True, False, "standard"),
    "page2018_resnet9": (24 * 98, 0.0, 0.4, 0.0, None, 512, 5e-4, True, True, "standard_cutout"),
}


def test_every_recipe_of_full_size_is_checked():
    own = {"fine_tune", "cifar10_fast"}  # of no paper
    assert {name for name in EXPERIMENTS if not name.endswith("_cpu")} - own == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_its_figures_are_those_printed(cfg, name):
    total, start, peak, last, momentum, batch, l2, everywhere, nesterov, augment = PRINTED[name]
    size = cfg.dataset.train_size or DATA[cfg.hydra.runtime.choices.dataset][2]
    assert updates(name, size, cfg.epochs, cfg.batch_size) == total
    rates, momenta = instantiate(cfg.schedule, _convert_="all").sample(total)
    assert [rates[0], rates.max(), rates[-1]] == pytest.approx([start, peak, last], rel=2e-3, abs=1e-12)
    assert momenta is None if momentum is None else (momenta.max(), momenta.min()) == pytest.approx(momentum)
    assert (cfg.batch_size, cfg.l2, cfg.decay_all) == (batch, l2, everywhere)
    assert (cfg.optimizer.get("nesterov"), cfg.hydra.runtime.choices.augment) == (nesterov, augment)
    assert cfg.optimizer.get("momentum", 0.9) == (0.0 if name.startswith("avanwyk") else 0.9)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("schedule", ["baseline", "onecycle"])
def test_another_schedule_takes_its_place(compose, kept, name, schedule):
    recipe, other = compose(f"experiment={name}", f"schedule={schedule}"), kept(f"schedule={schedule}")
    assert recipe.schedule.lr_max == recipe.lr_max
    left_alone = {"momentum"} if name.startswith("avanwyk") else set()  # RMSprop's, by that recipe
    for key in {*recipe.schedule, *other.schedule} - left_alone - {"lr_max"}:
        assert recipe.schedule[key] == other.schedule[key]


# ResNets of 56 layers and more and a MobileNet on large images, for which those of the other recipes stand in.
DEEP = ("smith2017", "smith2018_cifar100", "gugger2018", "avanwyk_cats_vs_dogs")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name.startswith(DEEP) and not name.endswith("_cpu") else [])
        for name in EXPERIMENTS
    ],
)
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
def test_it_builds_and_takes_two_steps(cfg):
    keras.utils.set_random_seed(0)
    if "weights" in cfg.model:
        cfg.model.weights = None
    dataset = made_up(cfg, batch=4)
    loss, augment, optimizer = (instantiate(cfg[part], _convert_="all") for part in ("loss", "augment", "optimizer"))
    model = build._build_model(cfg.model, dataset, loss)
    group_parameters(optimizer, model, l2=cfg.l2, decay_all=cfg.decay_all, lr_factors=cfg.lr_factors)
    model.compile(optimizer, loss, jit_compile=False)
    stream = TrainingStream(dataset.train, 4, 0, augment, model_contract.label_depth(model, loss))
    before = [variable.numpy() for variable in model.trainable_variables]
    policy = ScheduleCallback(instantiate(cfg.schedule, _convert_="all"), 100)
    with pytest.warns(UserWarning, match="planned for steps=100"):
        history = model.fit(stream.batches, epochs=1, shuffle=False, verbose=0, callbacks=[policy])
    assert int(model.optimizer.iterations) == 2
    assert np.isfinite(history.history["loss"][0])
    after = model.trainable_variables
    assert any(not np.array_equal(one, other.numpy()) for one, other in zip(before, after, strict=True))
