"""The workers of one training: who they are, by device.hosts, TF_CONFIG or Slurm, and whether all have come."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks

MULTI_WORKER = "multi_worker"
_EXAMPLE = "device.hosts=[a:1234,b:1234] device.index=0, the index another on each machine"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
_PAUSE = 0.2  # seconds between two tries to reach the chief
_LONGEST = 2**20  # bytes that a worker says
_AT_ONCE = 5.0  # seconds in which it says them, once it has come
_FOR_OTHERS = 2.0  # seconds in which those who are on their way still come to hear what is wrong
_KINDS = ("chief", "worker")  # of tasks in TF_CONFIG


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, one list for all of them, and which of them this is; worker 0 is the chief."""

    hosts: tuple[str, ...]
    index: int


def find(hosts: Any, index: Any, port: int) -> Cluster:
    """The workers that are given, else those of TF_CONFIG, else Slurm's, whose ports begin at `port`.

    Raises SettingError or SettingTypeError about a list that no training could start with.
    """
    setting = "device.hosts"
    if hosts is None and os.environ.get("TF_CONFIG"):
        setting = "TF_CONFIG"
        hosts, index = _of_tensorflow(os.environ["TF_CONFIG"])
    elif hosts is None and is_slurm_step():
        setting = "SLURM_STEP_NODELIST"
        hosts, index = _of_slurm(port)
    elif hosts is None:
        raise checks.SettingError(f"{setting}: got null, and neither TF_CONFIG nor Slurm tells, expected {_EXAMPLE}")
    listed = checks.listed(setting, hosts, f"a list of at least two, such as {_EXAMPLE}", (2, 10_000))
    for host in listed:
        match = _ADDRESS.fullmatch(host) if isinstance(host, str) else None
        if match is None or not 0 < int(match[2]) < 2**16:
            raise checks.SettingError(f"{setting}: got {checks.shown(host)}, expected host:port")
        if listed.count(host) > 1:
            raise checks.SettingError(f"{setting}: got {host} more than once, expected another address of each worker")
    if index is None:
        raise checks.SettingError(f"device.index: got null beside device.hosts, expected {_EXAMPLE}")
    return Cluster(tuple(listed), checks.integer("device.index", index, at_most=len(listed) - 1))


def of(device: DictConfig) -> Cluster:
    """The workers of a device's settings."""
    hosts: Any = OmegaConf.to_container(device, resolve=True)
    return find(hosts["hosts"], hosts["index"], hosts["port"])


def is_spread(device: Any) -> bool:
    """Whether it is over several workers."""
    return bool(OmegaConf.select(device, "kind") == MULTI_WORKER)


def is_follower(device: Any) -> bool:
    """Whether this is a worker other than the chief, and leaves no run directory. Starts no TensorFlow."""
    if not is_spread(device):
        return False
    if device.hosts is None and not os.environ.get("TF_CONFIG") and is_slurm_step():
        return os.environ["SLURM_PROCID"] != "0"
    return of(device).index != 0


def is_slurm_step() -> bool:
    """Whether Slurm's `srun` has started this process as one of several."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1


def _of_tensorflow(text: str) -> tuple[list[Any], int]:
    try:
        told = json.loads(text)
        kinds, task = told["cluster"], told["task"]
        hosts = {kind: list(kinds.get(kind, [])) for kind in _KINDS}
        before = len(hosts["chief"]) if task["type"] == "worker" else 0
        if task["type"] in _KINDS and set(kinds) <= set(_KINDS):
            return [*hosts["chief"], *hosts["worker"]], before + int(task["index"])
    except (AttributeError, LookupError, TypeError, ValueError):
        pass
    raise checks.SettingError(
        f"TF_CONFIG: got {checks.shown(text)}, expected "
        '{"cluster": {"worker": ["a:1234", "b:1234"]}, "task": {"type": "worker", "index": 0}}'
    )


def _of_slurm(port: int) -> tuple[list[str], int]:
    """What TensorFlow's resolver makes of Slurm's variables; which GPUs are whose is Slurm's to say."""
    import tensorflow as tf

    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        hosts: list[str] = resolver.cluster_spec().job_tasks("worker")
    except (RuntimeError, ValueError) as error:
        raise checks.SettingError(
            f"device: got multi_worker under Slurm, whose variables do not fit: {error}"
        ) from None
    return hosts, resolver.task_id


def meet(cluster: Cluster, settings: str, timeout: float) -> None:
    """Wait until all workers have come, each told of the same hosts and the same `settings`.

    Done before TensorFlow, which would wait for an hour and not say for whom. Raises SettingError after `timeout`
    seconds, and where workers do not fit together.
    """
    until = time.monotonic() + timeout
    port = int(cluster.hosts[cluster.index].rpartition(":")[2])
    own = {"index": cluster.index, "hosts": list(cluster.hosts), "settings": settings}
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        at = cluster.hosts[cluster.index]
        raise checks.SettingError(
            f"device.hosts: cannot listen at {at}: {error.strerror}, expected a free port"
        ) from None
    with server:
        if cluster.index:
            _report(cluster, own, until, timeout)
        else:
            _receive(server, cluster, own, until, timeout)


def _receive(server: socket.socket, cluster: Cluster, own: Mapping[str, Any], until: float, timeout: float) -> None:
    """Of the chief: wait for all others, and tell them to begin, or why not."""
    with contextlib.ExitStack() as open_:
        came: dict[int, socket.socket] = {}
        said = ""
        while len(came) < len(cluster.hosts) - 1:
            server.settimeout(max(0.01, until - time.monotonic()))
            try:
                connection = open_.enter_context(server.accept()[0])
            except TimeoutError:
                missing = [at for number, at in enumerate(cluster.hosts) if number not in {0, *came}]
                late = f"device.hosts: {', '.join(missing)} did not come within {timeout:g} s, expected all of them"
                said = said or late
                break
            with contextlib.suppress(OSError, ValueError, LookupError):  # of somebody else, who knocked at the port
                told = _read(connection, _AT_ONCE)
                if misfit := _misfit(told, own, came):
                    said, until = said or misfit, min(until, time.monotonic() + _FOR_OTHERS)
                came[len(cluster.hosts) + len(came) if misfit else told["index"]] = connection
        for connection in came.values():
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps({"problem": said}).encode() + b"\n")
        if said:
            raise checks.SettingError(said)


def _misfit(told: Any, own: Mapping[str, Any], came: Mapping[int, Any]) -> str:
    """Why a worker cannot take part; empty where it can."""
    number = told["index"]
    if told["hosts"] != own["hosts"]:
        return f"device.hosts: worker {number} was told {checks.shown(told['hosts'])}, expected one list for all"
    if number in {0, *came}:
        return f"device.index: got {number} of two workers, expected another of each"
    if told["settings"] != own["settings"]:
        return f"worker {number} runs with other settings than worker 0, expected the same but for device.index"
    return ""


def _report(cluster: Cluster, own: Mapping[str, Any], until: float, timeout: float) -> None:
    """Of every other worker: find the chief, and wait for its word."""
    host, _, port = cluster.hosts[0].rpartition(":")
    late = (
        f"device.hosts: no word from worker 0, {cluster.hosts[0]}, within {timeout:g} s, expected it to be started too"
    )
    while time.monotonic() < until:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), max(0.01, until - time.monotonic())) as chief:
                chief.sendall(json.dumps(own).encode() + b"\n")
                # Anew, as the chief may have begun to wait later, and longer than it: at its end it has a word for all.
                problem = _read(chief, timeout + _AT_ONCE)["problem"]
        except (OSError, ValueError, LookupError):
            time.sleep(_PAUSE)
            continue
        if problem:
            raise checks.SettingError(problem)
        return
    raise checks.SettingError(late)


def _read(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """The one line that the other side says; ValueError where it is none of ours."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as file:
        told = json.loads(file.readline(_LONGEST))
    if not isinstance(told, dict):
        raise ValueError("not one of ours")
    return told
