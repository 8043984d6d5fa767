"""The model that a run left behind, and what its outputs mean."""

from __future__ import annotations

import dataclasses
import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from sconv import checks, runs
from sconv.runner.config import targets
from sconv.runner.config.trusted import matches
from sconv.runner.tasks.keras_file import check_file, check_model

# Keras is imported inside functions: what can be refused without TensorFlow is refused before it starts.

log = logging.getLogger(__name__)


def run_directory(cfg: DictConfig) -> Path:
    """The directory `run` names, if a model was saved there."""
    if cfg.run is None:
        raise checks.SettingError(
            "run: got nothing, expected the directory of a run, such as outputs/<date>/<time>-..."
        )
    directory = Path(cfg.run)
    if not (directory / "model.keras").is_file():
        why = "has no model.keras" if directory.is_dir() else "is no directory"
        raise checks.SettingError(f"run: got {cfg.run!r}, which {why}, expected the directory of a finished run")
    return directory


def load_model(cfg: DictConfig, directory: Path) -> Any:
    """The model of a run, compiled as it was trained; by Keras's own loader, in its safe mode.

    Layers of a user's own are known to Keras once their module is imported: that of the run's `model._target_` is,
    where it matches one of the patterns of `allowed_targets`.
    """
    allowed = cfg.allowed_targets
    path = directory / "model.keras"
    foreign = check_file(path)
    import keras

    builder = _builder(directory)
    if builder and matches(builder, allowed):
        targets.function("model", builder)
    try:
        for name in foreign:  # which older Keras would import
            if keras.saving.get_registered_object(name) is None:
                raise TypeError(f"{name} is not registered")
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        first: BaseException = error
        while cause := first.__cause__ or first.__context__:
            first = cause
        hint = f"; if it needs classes of {builder}, allowed_targets=[{builder}] allows them"
        hint = hint if builder and not matches(builder, allowed) else ""
        told = textwrap.shorten(str(first), 200, placeholder=" ...")
        raise checks.DataError(f"run: {path} cannot be loaded: {told}{hint}") from error
    check_model(model, path)
    if cfg.accelerate:
        from sconv.training.acceleration import accelerate

        fused = accelerate(model)
        if not model.jit_compile:  # what XLA compiles runs the stock layers
            log.info("%s", dataclasses.replace(fused, convolutions=0))  # no gradients are taken here
    return model


def _builder(directory: Path) -> str | None:
    """The function that built a run's model, where it is told and none of ours."""
    try:
        model = runs.settings_of(directory).settings["model"]
    except (runs.BrokenRun, KeyError):
        return None
    target = model["_target_"] if isinstance(model, dict) and "_target_" in model else None
    return target if isinstance(target, str) and not target.startswith("sconv.") else None


def class_names(directory: Path, model: Any, otherwise: Sequence[str] = ()) -> list[str]:
    """What the model's classes are called: as its run tells, else as given, else by number."""
    outputs = max(2, int(model.output_shape[-1]))
    told = runs.read_facts(directory, "summary.json") or {}
    for names in (told.get("class_names"), otherwise):
        if isinstance(names, (list, tuple)) and len(names) == outputs:
            return [str(name) for name in names]
    return [str(number) for number in range(outputs)]


def probabilities(outputs: np.ndarray, loss: Any) -> np.ndarray:
    """Probabilities [count, classes] out of what a model gives: those, logits, or one output for the second of two."""
    import keras

    if getattr(loss, "from_logits", False):
        squash = keras.ops.sigmoid if outputs.shape[-1] == 1 else keras.ops.softmax
        outputs = keras.ops.convert_to_numpy(squash(outputs))
    return np.concatenate([1 - outputs, outputs], axis=-1) if outputs.shape[-1] == 1 else outputs
