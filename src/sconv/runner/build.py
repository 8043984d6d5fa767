"""From a configuration to a compiled model and its batches. Starts TensorFlow."""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

import keras
from omegaconf import DictConfig, OmegaConf

from sconv import checks, runs
from sconv.datasets import Dataset
from sconv.datasets.pipeline import resizing
from sconv.datasets.pipeline.batches import TrainingStream, first_images
from sconv.runner.config import targets, validate
from sconv.runner.devices import distribution
from sconv.training import keras_building, keras_workers, replicas
from sconv.training.acceleration import accelerate
from sconv.training.execution import steps_per_execution
from sconv.training.model_contract import check_model, check_sizes, label_depth, note_weaknesses
from sconv.training.parameter_groups import group_parameters

log = logging.getLogger(__name__)

SEEN = 1_000  # training images that a model's statistics are computed from


def build(cfg: DictConfig, dataset: Dataset, learning_rate: float) -> tuple[keras.Model, TrainingStream]:
    """The compiled model and its training batches; the same configuration gives the same weights and batches again.

    `learning_rate` is the optimizer's own, which a schedule drives. Raises SettingError, SettingTypeError, or what the
    functions of the configuration raise.
    """
    keras.utils.clear_session()  # lets go of the last model of this process
    keras.utils.set_random_seed(cfg.seed)
    loss = _build(cfg, "loss", keras.Loss)
    strategy = distribution.strategy(cfg.device)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        with _precision(cfg.precision):
            model = _build_model(cfg.model, dataset, loss)
        if cfg.accelerate:
            accelerate(model)
        optimizer = _build_optimizer(cfg, model, learning_rate, math.ceil(len(dataset.train) / cfg.batch_size))
    augment = targets.instantiate("augment", cfg.augment)
    share = functools.partial(replicas.shared_out, strategy=model.distribute_strategy)
    resize = _resizing(cfg.progressive_resizing, cfg.epochs, model, dataset)
    depth = label_depth(model, loss)
    stream = TrainingStream(dataset.train, cfg.batch_size, cfg.seed, augment, depth, share, resize)
    images, labels = next(iter(stream.whole))
    per_execution = cfg.steps_per_execution
    if per_execution == "auto" and replicas.several_workers(model.distribute_strategy):
        per_execution = 1  # each would find another by its own clock, and every step waits for the others anyway
    elif per_execution == "auto":
        per_execution = steps_per_execution(model, images, stream.steps_per_epoch)
    # Past the end of an epoch Keras would go round idle, and not at all where the number overflows 32 bits.
    per_execution = min(int(per_execution), stream.steps_per_epoch)
    xla = OmegaConf.select(cfg, "device.xla")
    compiled = {"steps_per_execution": per_execution, "jit_compile": "auto" if xla is None else xla}
    with model.distribute_strategy.scope():
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], **compiled)
        _make_variables(model, images, labels)
    if strategy is not None:
        _spread(model, strategy, cfg.batch_size, len(dataset.train))
    return model, stream


def record_model(run: runs.RunWriter, cfg: DictConfig, model: keras.Model) -> None:
    """Put what `build` made into the summary; of the first model of a run, also say it, and what is weak in it."""
    # On a GPU Keras has XLA compile the step, which runs the stock layers: it fuses them by itself.
    fused = accelerate(model) if cfg.accelerate and not model.jit_compile else None
    if "compute_dtypes" not in run.summary:
        note_weaknesses(model, cfg.model._target_)
        if fused is not None:
            log.info("%s", fused)
    run.record(compute_dtypes=compute_dtypes(model), accelerated=fused.outcome if fused else None)


def compute_dtypes(model: keras.Model) -> dict[str, int]:
    """How many of the layers with weights compute in each type, those of nested models too."""
    counts: collections.Counter[str] = collections.Counter()
    for layer in model.layers:
        if hasattr(layer, "layers"):
            counts.update(compute_dtypes(layer))
        elif layer.weights:
            counts[layer.compute_dtype] += 1
    return dict(counts)


def _build(cfg: DictConfig, part: str, kind: type, **given: Any) -> Any:
    """What a part's function returns for its settings, if it is of that kind."""
    built = targets.instantiate(part, cfg[part], **given)
    if not isinstance(built, kind):
        raise checks.SettingTypeError(
            f"{part}: {cfg[part]._target_} returned a {type(built).__name__}, expected a keras.{kind.__name__}"
        )
    return built


def _build_model(settings: DictConfig, dataset: Dataset, loss: keras.Loss) -> keras.Model:
    """Call `_target_` with `input_shape`, `classes` and the other settings, and check the model it returns.

    A function with a parameter `training_images` gets some of them: statistics of the data are part of its model.
    """
    given = {"input_shape": dataset.input_shape, "classes": dataset.classes}
    if "training_images" in targets.parameters("model", settings._target_) and "training_images" not in settings:
        given["training_images"] = first_images(dataset.train, SEEN)
    model = targets.instantiate("model", settings, **given)
    check_model(model, dataset, loss, settings._target_)
    return model


def _resizing(shares: Any, epochs: int, model: keras.Model, dataset: Dataset) -> resizing.Resizing | None:
    """What shrinks the training images of the first epochs, if anything does and the model takes it."""
    if shares is None:
        return None
    if len(dataset.input_shape) != 3:
        raise checks.SettingError(
            f"progressive_resizing: got {list(shares)} and inputs of shape {dataset.input_shape}, expected images"
        )
    resize = resizing.progressive(tuple(shares), epochs)
    shapes = {resizing.shape_of(share, dataset.input_shape) for share in shares}
    check_sizes(model, sorted(shapes), "progressive_resizing")
    return resize


def _build_optimizer(
    cfg: DictConfig, model: keras.Model, learning_rate: float, steps_per_epoch: int
) -> keras.Optimizer:
    """The optimizer with its parameter groups; under mixed_float16 with the loss scaled."""
    # Keras takes no whole number for a rate: momentum=1 means 1.0.
    whole = {str(name): value for name, value in cfg.optimizer.items() if type(value) is int}
    floats = {name: float(value) for name, value in whole.items() if name in validate.RATES}
    optimizer = _build(cfg, "optimizer", keras.Optimizer, learning_rate=float(learning_rate), **floats)
    frozen_for = cfg.freeze_epochs * steps_per_epoch // (optimizer.gradient_accumulation_steps or 1)
    groups = {"l2": cfg.l2, "decay_all": cfg.decay_all, "lr_factors": cfg.lr_factors}
    group_parameters(optimizer, model, **groups, frozen_for=frozen_for)
    if model.dtype_policy.name == "mixed_float16":
        # Keras would do it by itself, but from a saved file it could not: no functional model saves its own policy.
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Have the layers that are made meanwhile compute in `policy`: each keeps what it was made with."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _make_variables(model: keras.Model, images: Any, labels: Any) -> None:
    """Have the optimizer and the metrics make their variables now.

    Inside the first step each would become a branch of its graph, and tracing would take twice as long.
    """
    model.optimizer.build(model.trainable_variables)
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return keras_building.build_all(model, (images, labels))
    model.compute_metrics(images, labels, model(images))
    model.reset_metrics()


def _spread(model: keras.Model, strategy: Any, batch_size: int, examples: int) -> None:
    """Have a model compute over all replicas what it would alone."""
    parts = strategy.num_replicas_in_sync
    sizes = {batch_size, examples % batch_size or batch_size}
    if min(sizes) < parts:
        raise checks.SettingError(
            f"batch_size: got {batch_size}, which leaves a batch of {min(sizes)} for {parts} replicas, expected one "
            f"that leaves each an example of every batch of the {examples}"
        )
    if any(size % parts for size in sizes):
        replicas.weigh(model)
    keras_workers.work_round(model)
