"""precision=auto: bfloat16 where it is there and faster for the very model, else float32."""

from __future__ import annotations

import dataclasses
import functools
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, output, runs
from sconv.datasets import Dataset
from sconv.runner.job import Job
from sconv.runner.sweeps.resume import digest
from sconv.training import keras_internals, processor

# TensorFlow is imported inside functions: what can be refused without it is refused before it starts.

log = logging.getLogger(__name__)

PLAIN, HALF = "float32", "mixed_bfloat16"
# How Linux calls arithmetic in bfloat16, of x86 and of ARM; TensorFlow tells of none but also of what it emulates.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_COMPUTE_CAPABILITY = (8, 0)  # of NVIDIA's GPUs that have it
# Of the trial: alternating rounds of a few steps each, and what a step in bfloat16 must be below, in float32's.
_ROUNDS, _STEPS = 5, 3
_FASTER = 0.95
# What the time of a step depends on.
_RELEVANT = ("model", "dataset", "loss", "batch_size", "accelerate", "device")
_ANY_RATE = 1e-6


def settle(job: Job, run: runs.RunWriter, dataset: Dataset) -> Job:
    """The job with a precision in the place of auto, which is recorded and told; in a sweep, as an equal job found it.

    Needs the device set up. Warns of a bfloat16 that is emulated.
    """
    asked = job.cfg.precision
    if asked != checks.AUTO:
        if asked == HALF and (lacking := _lacking()):
            log.warning("precision: got %s, which will be slow: %s", HALF, lacking)
        run.record(precision={"chosen": asked, "because": "asked for"})
        return job
    values: Any = OmegaConf.to_container(job.cfg, resolve=True)
    key = digest([[values[name] for name in _RELEVANT], values["optimizer"]["_target_"]])
    chosen, because = (_chosen_before(job, key) if job.in_sweep else None) or _choose(job.cfg, dataset)
    run.record(precision={"chosen": chosen, "because": because, "key": key})
    Console(highlight=False, soft_wrap=True).print(f"{'precision':<14} [bold]{chosen}[/bold] ({because})")
    return dataclasses.replace(job, cfg=_with(job.cfg, precision=chosen))


def _choose(cfg: DictConfig, dataset: Dataset) -> tuple[str, str]:
    """A precision, and why."""
    if lacking := _lacking():
        return PLAIN, lacking
    with output.status("trying bfloat16"), keras_internals.forgetting_gradients():
        plain = _step(cfg, dataset, PLAIN)
        try:
            half = _step(cfg, dataset, HALF)
        except Exception as error:  # of a user's own layers
            return PLAIN, f"bfloat16 fails: {str(error).splitlines()[0]}"
        times = [(_seconds(plain), _seconds(half)) for _ in range(_ROUNDS)]
    # Within a round, so that what else the machine does falls on both.
    ratio = statistics.median(one / other for other, one in times)
    return HALF if ratio < _FASTER else PLAIN, f"a step in bfloat16 takes {ratio:.2f} of the time"


def _step(cfg: DictConfig, dataset: Dataset, precision: str) -> Callable[[], Any]:
    """A training step, warm. Nothing of it stays: `build` begins with the seed, whatever was before."""
    from sconv.runner.build import build

    model, stream = build(_with(cfg, precision=precision, steps_per_execution=1), dataset, _ANY_RATE)
    step = functools.partial(model.train_on_batch, *next(iter(stream.whole)))
    for _ in range(2):  # the first is traced, the second finds out how to compute
        step()
    return step


def _seconds(step: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(_STEPS):
        step()
    return time.perf_counter() - began


def _lacking() -> str | None:
    """Why the device has no bfloat16; None where it has."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        # Other vendors' GPUs tell nothing.
        if details.get("compute_capability", _COMPUTE_CAPABILITY) < _COMPUTE_CAPABILITY:
            return f"{details.get('device_name', gpu.name)} has no bfloat16"
    return None if gpus or processor.flags() & _CPU_FLAGS else "this processor has no bfloat16"


def _with(cfg: DictConfig, **values: Any) -> DictConfig:
    return cast(DictConfig, OmegaConf.merge(cfg, values))


def _chosen_before(job: Job, key: str) -> tuple[str, str] | None:
    """What another job of the sweep found for the same model; None without one."""
    for _, summary in runs.facts_of_others(job.directory, "summary.json"):
        found = summary.get("precision")
        if isinstance(found, dict) and found.get("key") == key and found.get("chosen") in (PLAIN, HALF):
            return found["chosen"], str(found.get("because"))
    return None
