"""What the peers with Keras share: the network, its weights, and the callbacks that wait for their turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.networks import CLASSES, NETWORKS
from benchmarks.worker import Task, Turns, images_and_labels
from sconv.runner.config import schema, targets
from sconv.runner.devices import setup

KINDS = {"Conv2D": "convolution", "DepthwiseConv2D": "convolution", "Dense": "dense", "BatchNormalization": "norm"}


def composed(task: Task) -> DictConfig:
    """The configuration with which the runner trains the task, as from the command line."""
    network = NETWORKS[task.network]
    settings = {name: "null" if value is None else value for name, value in network.settings.items()}
    overrides = [
        f"model={network.option}",
        *(f"model.{name}={value}" for name, value in settings.items()),
        "dataset=synthetic",
        f"dataset.shape={list(network.shape)}",
        f"dataset.train_size={max(task.batch * task.steps, CLASSES)}",
        f"dataset.test_size={CLASSES}",
        f"batch_size={task.batch}",
        f"epochs={task.epochs}",
        f"precision={task.precision}",
        f"lr_max={task.lr_max}",
        f"device.threads={task.threads}",
    ]
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return compose("config", overrides)


def stock(task: Task) -> keras.Model:
    """The network as stock Keras makes it, with the task's weights if their file is there; not compiled."""
    cfg = composed(task)
    setup.set_up("cpu", task.threads)
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(task.precision)
    given = {"input_shape": NETWORKS[task.network].shape, "classes": CLASSES}
    if "training_images" in targets.parameters("model", cfg.model._target_):
        given["training_images"] = images_and_labels(task)[0]
    return targets.instantiate("model", cfg.model, **given)


def flat(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers in the order in which they are computed, those of nested models too."""
    for layer in model.layers:
        yield from flat(layer) if isinstance(layer, keras.Model) else [layer]


def _weighted(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in flat(model) if type(layer).__name__ in KINDS]


def save_weights(model: keras.Model, path: str) -> None:
    """Write the weights as arrays that are called after their place and the kind of their layer."""
    arrays = {}
    for number, layer in enumerate(_weighted(model)):
        for place, array in enumerate(layer.get_weights()):
            arrays[f"{number:04}-{KINDS[type(layer).__name__]}-{place}"] = array
    np.savez(path, **arrays)


def load_weights(model: keras.Model, path: str) -> None:
    """Begin with the weights that `save_weights` wrote."""
    with np.load(path) as arrays:
        for number, layer in enumerate(_weighted(model)):
            mine = [name for name in sorted(arrays) if name.startswith(f"{number:04}-")]
            layer.set_weights([arrays[name] for name in mine])


class _Begin(keras.callbacks.Callback):
    def __init__(self, turns: Turns):
        super().__init__()
        self._turns = turns

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._turns.begin()


class _End(_Begin):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        pass

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._turns.end(logs["loss"])


def in_turn(turns: Turns, callbacks: list[Any]) -> list[Any]:
    """Callbacks of a fit that waits for its turn before every epoch; what they take is timed too."""
    return [_Begin(turns), *callbacks, _End(turns)]
