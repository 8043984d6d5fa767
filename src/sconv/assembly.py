"""From a configuration to the parts of a run: what is wanted is judged first, then data and model are put together."""

from __future__ import annotations

import collections
import contextlib
import copy
import math
import time
from collections.abc import Iterator
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sconv import checks, contracts, devices, limits, readings
from sconv.datasets import Dataset, updates
from sconv.datasets.dataset import MOST_UPDATES
from sconv.schedules import Schedule

# Keras is imported inside functions: what can be judged without TensorFlow is judged before it starts.

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Seconds of a training step from which on one step a call is best.
SLOW = 0.05
# Stands for an lr_max that is still to be found: any value shows what else is wrong.
_PLACEHOLDER = 1.0


def judge(cfg: DictConfig) -> tuple[Schedule, Dataset, int]:
    """The schedule, the data and the number of updates, with everything refused that would fail later.

    Where `lr_max` is auto the schedule is the one for an lr_max of 1.
    """
    if not wants_lr_max(cfg):
        checks.lr_max(cfg.lr_max)
    schedule = build_schedule(with_lr_max(cfg))
    checks.integer("epochs", cfg.epochs, at_least=1)
    checks.integer("batch_size", cfg.batch_size, at_least=1)
    checks.integer("seed", cfg.seed, at_most=2**32 - 1)  # NumPy takes no larger one
    checks.choice("precision", cfg.precision, PRECISIONS)
    if cfg.steps_per_execution != "auto":
        checks.integer("steps_per_execution", cfg.steps_per_execution, at_least=1)
    if wants_lr_max(cfg):
        judge_range_test(cfg)
    devices.hold_threads(OmegaConf.select(cfg, "device.threads"))
    with devices.quiet_start():  # some datasets come through TensorFlow
        dataset = contracts.load_dataset(cfg.dataset)
    parts = OmegaConf.select(cfg, "optimizer.gradient_accumulation_steps") or 1
    steps = updates(dataset.name, len(dataset.train), cfg.epochs, cfg.batch_size) // int(parts)
    schedule.sample(steps)
    return schedule, dataset, steps


def build_schedule(cfg: DictConfig) -> Schedule:
    """The schedule, for an lr_max that is a number. Raises SettingError, or SettingTypeError where it is none."""
    schedule = instantiate(cfg.schedule, _convert_="all")
    if not isinstance(schedule, Schedule):
        kind, source = type(schedule).__name__, cfg.schedule._target_
        raise checks.SettingTypeError(f"schedule: {source} returned a {kind}, expected a sconv.schedules.Schedule")
    return schedule


def judge_range_test(cfg: DictConfig) -> None:
    """Refuse settings of the range test that would fail later."""
    checks.integer("max_steps", cfg.lr_find.max_steps, at_most=MOST_UPDATES)
    readings.RangeTestSettings(**cfg.lr_find)


def wants_lr_max(cfg: DictConfig) -> bool:
    """Whether lr_max is to be found by a range test."""
    return isinstance(cfg.lr_max, str) and cfg.lr_max == checks.AUTO


def with_lr_max(cfg: DictConfig, value: float | None = None) -> DictConfig:
    """The configuration with `value` for an lr_max of auto; None stands in for one that is still to be found."""
    if not wants_lr_max(cfg):
        return cfg
    cfg = copy.deepcopy(cfg)
    cfg.lr_max = _PLACEHOLDER if value is None else value
    return cfg


def build(cfg: DictConfig, dataset: Dataset) -> tuple[Any, Any]:
    """The compiled model and its training batches; the same configuration gives the same weights and batches again."""
    import keras

    from sconv.datasets.streams import TrainingStream
    from sconv.parameter_groups import group_parameters

    keras.utils.clear_session()  # lets go of the last model of this process
    keras.utils.set_random_seed(cfg.seed)
    loss, augment = (instantiate(cfg[part], _convert_="all") for part in ("loss", "augment"))
    # Keras takes no whole number for a rate: lr_max=1 means 1.0.
    whole = {name: cfg.optimizer[name] for name in (*limits.RATES, "learning_rate") if name in cfg.optimizer}
    floats = {name: float(value) for name, value in whole.items() if type(value) is int}
    optimizer = instantiate(cfg.optimizer, _convert_="all", **floats)
    for part, built, kind in (("loss", loss, keras.Loss), ("optimizer", optimizer, keras.Optimizer)):
        if not isinstance(built, kind):
            raise checks.SettingTypeError(
                f"{part}: {cfg[part]._target_} returned a {type(built).__name__}, expected a keras.{kind.__name__}"
            )
    with _precision(cfg.precision):
        model = contracts.build_model(cfg.model, dataset, loss)
    depth = contracts.label_depth(model, loss)
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


def flat_knobs(cfg: DictConfig) -> dict[str, Any]:
    """The knobs at the top of the configuration that are plain values."""
    return {str(key): cfg[key] for key in cfg if isinstance(cfg[key], (int, float, str))}


def steps_per_execution(model: Any, images: Any, steps_per_epoch: int) -> int:
    """About a second of training for each return to Python, at least ten returns an epoch; a power of two.

    A training step costs about three forward passes; a forward pass is timed outside a compiled function, which
    overrates small models a little. One that takes SLOW seconds hides the return by itself: several of them in a
    loop would only take longer to compile.
    """
    model(images)
    began = time.perf_counter()
    model(images)
    step = 3 * (time.perf_counter() - began)
    most = 1.0 if step > SLOW else max(1.0, min(1.0 / step, steps_per_epoch / 10))
    return 2 ** int(math.log2(most))
