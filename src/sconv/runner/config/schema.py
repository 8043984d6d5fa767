"""The configuration: where `conf/` is, and the types of the flat knobs.

Composing a configuration imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from sconv.runner.config import run_names

# Inside the package in a wheel, at the top of the repository in a checkout.
_PACKAGED = Path(__file__).resolve().parents[2] / "conf"
CONF = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[4] / "conf"


@dataclass
class Config:
    """The knobs and the groups; Hydra refuses a value of another type and a name that is not here."""

    task: Any = MISSING
    # Which part of it; for any dataset, see sconv.runner.config.data.load_dataset.
    dataset: Any = field(default_factory=lambda: {"classes": None, "train_size": None, "validation": None})
    augment: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    device: Any = MISSING
    loss: dict[str, Any] = MISSING
    lr_max: Any = MISSING  # a number, or auto
    lr_find: Any = MISSING
    range_grid: Any = MISSING
    # Its default may come with the optimizer, which is composed before config.yaml has its say.
    weight_decay: float | None = None
    l2: float | None = MISSING
    decay_all: bool = MISSING
    lr_factors: Any = None  # a mapping would take no new names from the command line
    freeze_epochs: int = 0
    progressive_resizing: Any = None
    epochs: int = MISSING
    batch_size: int = MISSING
    seed: int = MISSING
    precision: str = MISSING
    accelerate: bool = True
    update_bn: Any = MISSING  # true, false, or auto
    steps_per_execution: Any = MISSING
    name: str | None = None
    checkpoint: Any = field(default_factory=lambda: {"every": ["1epoch", "5min"], "keep": 2})
    on_divergence: str = "stop"
    resume: str | None = None
    resume_allow: list[str] = field(default_factory=list)
    resume_sweep: str | None = None
    run: str | None = MISSING
    images: str | None = MISSING
    allowed_targets: list[str] = field(default_factory=list)


def register() -> None:
    """Tell Hydra about the schema and OmegaConf about the resolvers that `conf/config.yaml` uses."""
    ConfigStore.instance().store(name="schema", node=Config)
    # Hydra copies the store, of which there is only one, a hundred times for --help, which took most of its time.
    ConfigStore.__deepcopy__ = lambda store, _: store  # type: ignore[attr-defined]
    resolvers: dict[str, Callable[..., Any]] = {
        "directory": run_names.directory,
        "run_name": run_names.run_name,
        "job_name": run_names.job_name,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(f"sconv.{name}", function, replace=True)
