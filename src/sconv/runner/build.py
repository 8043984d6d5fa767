"""From a plan to a compiled model and its batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sconv import checks
from sconv.datasets import Dataset
from sconv.runner.config import targets

if TYPE_CHECKING:
    import keras
import collections
import contextlib
from collections.abc import Iterator

from sconv.runner.config import limits
from sconv.training import model_contract
from sconv.training.execution import steps_per_execution
from sconv.training.model_contract import check_model


def build_model(settings: DictConfig, dataset: Dataset, loss: keras.Loss) -> keras.Model:
    """Call `_target_` with `input_shape`, `classes` and the other settings, and judge the model it returns.

    Raises SettingError, SettingTypeError, or what the builder raises.
    """
    given = {"input_shape": dataset.input_shape, "classes": dataset.classes}
    model = targets.instantiate("model", settings, **given)
    check_model(model, dataset, loss, settings._target_)
    return model


def build(cfg: DictConfig, dataset: Dataset) -> tuple[Any, Any]:
    """The compiled model and its training batches; the same configuration gives the same weights and batches again."""
    import keras

    from sconv.datasets.pipeline.batches import TrainingStream
    from sconv.training.parameter_groups import group_parameters

    keras.utils.clear_session()  # lets go of the last model of this process
    keras.utils.set_random_seed(cfg.seed)
    loss, augment = (targets.instantiate(part, cfg[part]) for part in ("loss", "augment"))
    # Keras takes no whole number for a rate: lr_max=1 means 1.0.
    whole = {name: cfg.optimizer[name] for name in (*limits.RATES, "learning_rate") if name in cfg.optimizer}
    floats = {name: float(value) for name, value in whole.items() if type(value) is int}
    optimizer = targets.instantiate("optimizer", cfg.optimizer, **floats)
    for part, built, kind in (("loss", loss, keras.Loss), ("optimizer", optimizer, keras.Optimizer)):
        if not isinstance(built, kind):
            raise checks.SettingTypeError(
                f"{part}: {cfg[part]._target_} returned a {type(built).__name__}, expected a keras.{kind.__name__}"
            )
    with _precision(cfg.precision):
        model = build_model(cfg.model, dataset, loss)
    depth = model_contract.label_depth(model, loss)
    stream = TrainingStream(dataset.train, cfg.batch_size, cfg.seed, augment, depth)
    group_parameters(optimizer, model, l2=cfg.l2, decay_all=cfg.decay_all, lr_factors=cfg.lr_factors)
    if model.dtype_policy.name == "mixed_float16":
        # Keras would do it by itself, but from a saved file it could not: no functional model saves its own policy.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    images, labels = next(iter(stream.batches))
    per_execution = cfg.steps_per_execution
    if per_execution == "auto":
        per_execution = steps_per_execution(model, images, stream.steps_per_epoch)
    # Past the end of an epoch Keras would go round idle, and not at all where the number overflows 32 bits.
    per_execution = min(int(per_execution), stream.steps_per_epoch)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], steps_per_execution=per_execution)
    _make_variables(model, images, labels)
    return model, stream


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Have the layers that are made meanwhile compute in `policy`: each keeps what it was made with."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def compute_dtypes(model: Any) -> dict[str, int]:
    """How many of the layers with weights compute in each type, those of nested models too."""
    counts: collections.Counter[str] = collections.Counter()
    for layer in model.layers:
        if hasattr(layer, "layers"):
            counts.update(compute_dtypes(layer))
        elif layer.weights:
            counts[layer.compute_dtype] += 1
    return dict(counts)


def _make_variables(model: Any, images: Any, labels: Any) -> None:
    """Have the optimizer and the metrics make their variables now.

    Inside the first step each would become a branch of its graph, and tracing would take twice as long.
    """
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(images, labels, model(images))
    model.reset_metrics()
