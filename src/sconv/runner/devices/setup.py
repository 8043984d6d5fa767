"""Where a run computes: device and threads. Starts TensorFlow, and keeps it quiet while it does."""

from __future__ import annotations

import os
import sys
from typing import Any

from sconv import checks
from sconv.runner.devices import cluster, distribution, starting
from sconv.runner.devices.cluster import MULTI_WORKER
from sconv.runner.devices.distribution import MIRRORED
from sconv.training import keras_internals


def set_up(
    kind: str = "auto",
    threads: int | None = None,
    xla: bool | None = None,
    deterministic: bool = False,
    replicas: int | None = None,
    hosts: Any = None,
    index: int | None = None,
    port: int = 8888,
    timeout: float = 300.0,
    onednn: bool | None = None,
) -> dict[str, Any]:
    """Choose the device and fix the number of threads; return what was chosen, for the record.

    `kind` is auto, cpu, gpu, mirrored or multi_worker; `threads` those of one CPU operation, None for one a core, or
    for OMP_NUM_THREADS. `xla` is for whoever compiles the model. `onednn` is whether TensorFlow computes with it, None
    for its own choice, or that of TF_ENABLE_ONEDNN_OPTS. The others are of the kinds whose options have them. Raises
    SettingError where there is no GPU, or where TensorFlow already runs with other settings.
    """
    checks.choice("device", kind, ("auto", "cpu", "gpu", MIRRORED, MULTI_WORKER))
    wanted = int(threads or _cores())
    choose_onednn(onednn)
    with starting.to_log():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        _fix_threads(tf, wanted)
        _check_onednn(onednn)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        if kind == "gpu" and not gpus:
            found = ", ".join(device.name for device in tf.config.list_physical_devices()) or "nothing"
            raise checks.SettingError(f"device: got gpu, but TensorFlow found only {found}; use device=cpu")
        if kind == "cpu":
            tf.config.set_visible_devices([], "GPU")
            gpus = []
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        spread: dict[str, Any] = {}
        if kind == MIRRORED:
            spread = {"replicas": distribution.mirrored(replicas).num_replicas_in_sync}
        elif kind == MULTI_WORKER:
            workers = cluster.find(hosts, index, port)
            over = distribution.multi_worker(workers, timeout)
            spread = {"replicas": over.num_replicas_in_sync, "hosts": list(workers.hosts)}
        tf.constant(0.0)
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    kind = "gpu" if gpus else "cpu"
    return {"kind": kind, "gpus": names, "threads": wanted, "onednn": keras_internals.onednn_is_on(), **spread}


def hold_threads(threads: int | None) -> None:
    """Have TensorFlow start with so many threads, should something start it before `set_up` does."""
    if "tensorflow" not in sys.modules:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(int(threads or _cores()))


def choose_onednn(wanted: Any) -> None:
    """Have TensorFlow start with oneDNN or without it; what is neither leaves it to others."""
    if isinstance(wanted, bool) and "tensorflow" not in sys.modules:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = str(int(wanted))


def _cores() -> int:
    """The cores this process may use: launchers that divide a machine between workers say so in OMP_NUM_THREADS."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, int(told))) if told.isdigit() else usable


def _fix_threads(tf: Any, wanted: int) -> None:
    now = tf.config.threading.get_intra_op_parallelism_threads()
    now = now or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or _cores()
    if now == wanted:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(wanted)
    except RuntimeError as error:
        raise checks.SettingError(
            f"device.threads: got {wanted}, but TensorFlow already runs with {now} and cannot change them; "
            "a sweep over threads needs a process for each job: hydra/launcher=submitit_local"
        ) from error


def _check_onednn(wanted: bool | None) -> None:
    is_on = keras_internals.onednn_is_on()
    if wanted not in (None, is_on):
        raise checks.SettingError(
            f"device.onednn: got {wanted}, but TensorFlow runs {'with' if is_on else 'without'} it here and cannot "
            "change that, expected null, or a process of its own with a TensorFlow that has it"
        )
