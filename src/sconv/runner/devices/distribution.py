"""Over what a training is spread: the replicas of one machine, or of several workers."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks
from sconv.runner.config import targets
from sconv.runner.devices import cluster
from sconv.runner.devices.cluster import MULTI_WORKER, Cluster
from sconv.runner.sweeps.resume import digest

MIRRORED = "mirrored"
# Of a configuration what workers may be told differently, and what the chief alone knows.
_OF_ONE_WORKER = ("device", "name", "resume", "checkpoint")


def start(cfg: DictConfig) -> Any:
    """Set the device up, with several workers once all have come; returns what it tells, for the record."""
    if cluster.is_spread(cfg.device):
        values: Any = OmegaConf.to_container(cfg, resolve=True)
        shared = {name: value for name, value in values.items() if name not in _OF_ONE_WORKER}
        cluster.meet(cluster.of(cfg.device), digest(shared), cfg.device.timeout)
    return targets.instantiate("device", cfg.device)


def strategy(device: DictConfig) -> Any:
    """What a model of this device is built under; None where it is built as always. Needs the device set up."""
    kind = OmegaConf.select(device, "kind")
    if kind == MIRRORED:
        return mirrored(device.replicas)
    return multi_worker(cluster.of(device), device.timeout) if kind == MULTI_WORKER else None


@functools.cache
def mirrored(replicas: int | None) -> Any:
    """One for the GPUs that are to be seen, or where there is none for so many parts of the CPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if replicas is not None and gpus:
        if replicas > len(gpus):
            raise checks.SettingError(f"device.replicas: got {replicas}, but TensorFlow found only {len(gpus)} GPUs")
        tf.config.set_visible_devices(gpus[:replicas], "GPU")
    elif not gpus:
        _divide_cpu(tf, replicas)
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _divide_cpu(tf: Any, replicas: int | None) -> None:
    if replicas is None:
        raise checks.SettingError(
            "device.replicas: got null where there is no GPU, expected a number: so many parts of the CPU, as a trial"
        )
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    except RuntimeError as error:
        raise checks.SettingError(f"device.replicas: got {replicas}, but TensorFlow already runs: {error}") from error


@functools.cache
def multi_worker(workers: Cluster, timeout: float) -> Any:
    """One for all GPUs of all workers, or where they have none for their CPUs; TensorFlow connects them."""
    import tensorflow as tf

    task = {"type": "worker", "index": workers.index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers.hosts}, "task": task})
    # Of what is sent; that a worker is gone TensorFlow knows by itself, from its heartbeats.
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
