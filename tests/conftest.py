"""Runs for the tests: in this process where that will do, as a command of their own where it will not."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, open_dict

from sconv.runner.config import schema, targets, validate
from sconv.runner.job import Job

# Seconds at most for a command: many times what it takes, so that a busy machine fails no test.
PATIENCE = 300
BROWSER = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
]
TINY = (
    "dataset=synthetic",
    "dataset.shape=[6,6,1]",
    "dataset.classes=4",
    "dataset.train_size=80",
    "dataset.test_size=20",
    "model=mlp",
    "model.hidden=[16]",
    "epochs=2",
    "batch_size=8",
)


def pytest_collection() -> None:
    """No garbage is collected while everything is imported, of which all stays: a fifth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor is it looked through when a training begins, with a collection of Keras's."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same random numbers every time, in whatever order they run."""
    random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


def _compose(*overrides: str, hydra: bool = False) -> DictConfig:
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return hydra_compose("config", list(overrides), return_hydra_config=hydra)


@pytest.fixture(scope="session")
def compose() -> Callable[..., DictConfig]:
    """compose(*overrides): the configuration of `python -m sconv *overrides`."""
    return _compose


def _job(*overrides: str, directory: Path) -> Job:
    # TensorFlow may already run here, with a number of threads that can no longer be chosen.
    cfg = _compose("++device._target_=builtins.dict", *overrides, hydra=True)
    choices = {str(group): str(option) for group, option in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return Job(cfg, directory, choices, overrides)


@pytest.fixture(scope="session")
def job() -> Callable[..., Job]:
    """job(*overrides, directory=...): what a task is handed by `python -m sconv *overrides`."""
    return _job


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """train(*overrides): train something tiny in this process, or carry out another task=; returns its directory."""

    def run(*overrides: str, into: Path | None = None, tiny: Sequence[str] = TINY) -> Path:
        this = _job(*tiny, *overrides, directory=into or tmp_path_factory.mktemp("run"))
        validate.validate(this.cfg, this.in_sweep)
        targets.carry_out(this.cfg.task, this)
        return this.directory

    return run


@pytest.fixture(scope="session")
def finished_run(train: Callable[..., Path]) -> Path:
    """The directory of one tiny run that went well, 20 updates in 2 epochs; only to be looked at."""
    return train("lr_max=0.2", "name=tiny")


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    ours = ("HYDRA_FULL_ERROR", "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """command(*arguments, **environment): `python -m sconv` in an empty folder, tmp_path."""

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sconv", *arguments],
            cwd=tmp_path,
            env={**environment, **extra},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a head and with a fresh profile; tests that need one skip where there is none."""
    selenium = pytest.importorskip("selenium", reason="no selenium: pip install 'sconv[slow]'")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in programs.values():
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    from selenium.webdriver.chrome.service import Service

    options = selenium.webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in (*BROWSER, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield driver
    driver.quit()
