"""One training over several replicas: parts of one processor, and processes that talk to each other."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from test_bad_input import carry_out, check

from conftest import PATIENCE
from sconv import checks, runs
from sconv.datasets import fashion_mnist
from sconv.datasets.building import keras_downloads
from sconv.runner.devices import cluster
from sconv.runner.devices.cluster import Cluster

HOSTS = ("a:1", "b:2")
OF_TENSORFLOW = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
WITH_CHIEF = {"cluster": {"chief": ["a:1"], "worker": ["b:2"]}, "task": {"type": "worker", "index": 0}}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}


# --- Who they are --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({}, (HOSTS, 1), Cluster(HOSTS, 1)),
        ({"TF_CONFIG": json.dumps(OF_TENSORFLOW)}, (["c:1", "d:1"], 0), Cluster(("c:1", "d:1"), 0)),
        ({"TF_CONFIG": json.dumps(OF_TENSORFLOW)}, (None, None), Cluster(HOSTS, 1)),
        ({"TF_CONFIG": json.dumps(WITH_CHIEF)}, (None, None), Cluster(HOSTS, 1)),
        (SLURM, (None, None), Cluster(("n1:70", "n1:71", "n2:70"), 2)),
    ],
    ids=["given", "before TF_CONFIG", "TF_CONFIG", "a chief", "Slurm"],
)
def test_who_the_workers_are(monkeypatch, environment, given, expected):
    for name in ("TF_CONFIG", *SLURM):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cluster.find(*given, port=70) == expected


TWO = "device=multi_worker device.hosts=[a:1,b:2]"
REFUSED = [
    ("device=multi_worker", {}, "device.hosts", "null", "device.hosts=[a:1234,b:1234]"),
    ("device=multi_worker device.hosts=[a:1] device.index=0", {}, "device.hosts", "'a:1'", "at least two"),
    ("device=multi_worker device.hosts=a:1 device.index=0", {}, "device.hosts", "'a:1'", "at least two"),
    ("device=multi_worker device.hosts=[a:1,b] device.index=0", {}, "device.hosts", "'b'", "host:port"),
    ("device=multi_worker device.hosts=[a:1,b:70000] device.index=0", {}, "device.hosts", "'b:70000'", "host:port"),
    ("device=multi_worker device.hosts=[a:1,a:1] device.index=0", {}, "device.hosts", "a:1", "another address"),
    (TWO, {}, "device.index", "null", "device.index=0"),
    (f"{TWO} device.index=2", {}, "device.index", "2", "at most 1"),
    (f"{TWO} device.index=0 device.timeout=0", {}, "device.timeout", "0", "above 0"),
    (f"{TWO} device.index=0 precision=auto", {}, "precision", "auto", "the same one"),
    (f"{TWO} device.index=0 task=predict images=x run=y", {}, "device", "multi_worker", "auto, cpu or gpu"),
    (f"-m seed=0,1 {TWO} device.index=0", {}, "device", "multi_worker", "hydra/launcher=ray"),
    (f"{TWO} device.index=1 resume=nowhere", {}, "resume", "'nowhere'", "the directory of a run"),
    ("device=multi_worker", {"TF_CONFIG": "{"}, "TF_CONFIG", "'{'", '"worker"'),
    ("device=mirrored device.replicas=0", {}, "device.replicas", "0", "at least 1"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory, environment):
    root = tmp_path_factory.mktemp("refused")
    cases = [
        {"folder": str(root / str(place)), "arguments": shlex.split(case[0]), "environment": case[1]}
        for place, case in enumerate(REFUSED)
    ]
    return carry_out(cases, environment)


@pytest.mark.parametrize("place", range(len(REFUSED)), ids=[case[0] for case in REFUSED])
def test_refused_in_one_line_before_tensorflow(refused, place):
    _, _, setting, value, allowed = REFUSED[place]
    check(refused[place], setting, value, allowed)
    assert not refused[place]["tensorflow"]


# --- Whether all have come -----------------------------------------------------------------------------------------


def ports(count):
    with_ports = [socket.create_server(("localhost", 0)) for _ in range(count)]
    found = tuple(f"localhost:{server.getsockname()[1]}" for server in with_ports)
    for server in with_ports:
        server.close()
    return found


def meet(*workers, timeout=1.0):
    """What each of (cluster, settings) is told, all at once; empty where it may begin."""
    said = {}

    def one(place, of, settings):
        try:
            cluster.meet(of, settings, timeout)
            said[place] = ""
        except checks.SettingError as error:
            said[place] = str(error)

    threads = [threading.Thread(target=one, args=(place, *worker)) for place, worker in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [said[place] for place in range(len(workers))]


def test_all_have_come_also_where_somebody_else_knocks():
    hosts = ports(3)
    three = [(Cluster(hosts, place), "same") for place in range(3)]
    name, _, port = hosts[0].partition(":")

    def stranger():
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"{}\n"):
            for _ in range(50):
                try:
                    with socket.create_connection((name, int(port))) as connection:
                        connection.sendall(words)
                        break
                except OSError:
                    threading.Event().wait(0.02)

    knocking = threading.Thread(target=stranger)
    knocking.start()
    threading.Event().wait(0.05)
    waiting = threading.Thread(target=lambda: result.extend(meet(three[0], three[2], timeout=20)))
    result = []
    waiting.start()
    knocking.join()
    assert meet(three[1], timeout=20) == [""]
    waiting.join()
    assert result == ["", ""]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "{2} did not come within 1 s"),
        ([(lambda hosts: Cluster(hosts, 1), "same")], "device.index: got 1 of two workers"),
        ([(lambda hosts: Cluster((*hosts[:2], "localhost:1"), 1), "same")], "device.hosts: worker 1 was told"),
        ([(lambda hosts: Cluster(hosts, 2), "other")], "worker 2 runs with other settings than worker 0"),
    ],
    ids=["missing", "two of one index", "other hosts", "other settings"],
)
def test_workers_that_do_not_fit(monkeypatch, others, words):
    # Two of one index on one machine: the second could not listen either.
    monkeypatch.setattr(socket, "create_server", reusing(socket.create_server))
    hosts = ports(3)
    workers = [(Cluster(hosts, 0), "same"), (Cluster(hosts, 1), "same"), *((of(hosts), told) for of, told in others)]
    told = meet(*workers, timeout=20 if others else 1)
    assert words.replace("{2}", hosts[2]) in told[0]
    assert set(told) == {told[0]}  # also those who had come are told


def reusing(create):
    return lambda address: create(address, reuse_port=True)


def test_a_chief_that_never_comes_and_a_port_that_is_taken():
    hosts = ports(2)
    (alone,) = meet((Cluster(hosts, 1), "same"))
    assert f"no word from worker 0, {hosts[0]}, within 1 s" in alone
    with socket.create_server(("", int(hosts[1].partition(":")[2]))):
        (taken,) = meet((Cluster(hosts, 1), "same"))
    assert f"cannot listen at {hosts[1]}: Address already in use" in taken


# --- What they train -----------------------------------------------------------------------------------------------

# A model that ends its worker with a signal at a step, where the environment says so. Without a kink, past which two
# ways to round would go apart.
DESERTER = """
import os
import keras
from keras import layers

def build(input_shape, classes):
    convolved = [layers.Rescaling(1 / 255), layers.Conv2D(8, 5, 2, activation="tanh"), layers.AveragePooling2D(2)]
    dense = [layers.Flatten(), layers.Dense(32, "tanh"), layers.Dense(classes, "softmax")]
    model = keras.Sequential([keras.Input(input_shape), *convolved, *dense])
    fit = model.fit
    step, number = map(int, os.environ.get("DESERT", "-1 0").split())

    def watched(*arguments, callbacks, **options):
        def desert(batch, logs):
            if int(model.optimizer.iterations.numpy()) == step:
                os.kill(os.getpid(), number)
        return fit(*arguments, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=desert), *callbacks],
                   **options)

    vars(model)["fit"] = watched
    return model
"""
# 26 batches an epoch, of which the last has 7: it divides by no number of workers.
SIZE, BATCH, EPOCHS = 1607, 64, 2
STEPS = EPOCHS * -(-SIZE // BATCH)


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """A folder, and the command of a training on Fashion-MNIST."""
    there = keras_downloads.home() / "datasets" / "fashion-mnist"
    if not all((there / name).is_file() for name in fashion_mnist.FILES):
        pytest.skip(f"Fashion-MNIST is not on this machine: {there}")
    folder = tmp_path_factory.mktemp("clothes")
    (folder / "deserter.py").write_text(DESERTER)
    data = f"dataset=fashion_mnist dataset.train_size={SIZE} dataset.validation=0.02 batch_size={BATCH}"
    training = f"epochs={EPOCHS} steps_per_execution=1 'checkpoint.every=[20steps]'"
    found = "lr_max=auto lr_find.max_steps=60 lr_find.suggestion=valley"
    return folder, shlex.split(f"{data} {training} {found} model._target_=deserter.build allowed_targets=[deserter.*]")


@pytest.fixture(scope="module")
def one_process(clothes, environment):
    """The run of one process, and that of two parts of its processor."""
    folder, command = clothes
    cases = [
        {"folder": str(folder), "arguments": [*command, *shlex.split(words)]}
        for words in ("device=mirrored device.replicas=2 hydra.run.dir=mirrored", "hydra.run.dir=alone")
    ]
    results = carry_out(cases, environment)
    assert [result["code"] for result in results] == [0, 0], results
    return folder


class Workers:
    """Processes of one training; `say` gives what each said and how it ended."""

    def __init__(self, clothes, environment, count, arguments, desert=None):
        folder, _ = clothes
        hosts = f"device.hosts=[{','.join(ports(count))}]"
        (folder / "temporary").mkdir(exist_ok=True)
        own = {**environment, "PYTHONPATH": os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])}
        own |= {"TMPDIR": str(folder / "temporary")}
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "sconv", *arguments, "device=multi_worker", hosts, f"device.index={place}"],
                cwd=folder,
                env={**own, **({"DESERT": desert} if place == count - 1 and desert else {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in range(count)
        ]
        try:
            said = [process.communicate(timeout=PATIENCE) for process in processes]
        finally:
            for process in processes:
                process.kill()
        self.codes = [process.returncode for process in processes]
        self.out, self.err = zip(*said, strict=True)
        self.left = sorted(path.name for path in (folder / "temporary").glob("sconv-worker-*"))


def columns(run, name="steps.csv"):
    with open(run / name, newline="") as file:
        return list(csv.DictReader(file))


def files(run):
    names = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    return sorted(re.sub(r"tfevents.*", "tfevents", name) for name in names)


def check_same(one, other):
    """Rates to the last digit, losses and weights as near as sums in another order come."""
    ours, theirs = columns(one), columns(other)
    assert len(ours) == STEPS
    for name in ("step", "learning_rate", "momentum"):
        assert [row[name] for row in ours] == [row[name] for row in theirs]
    for name in ("steps.csv", "epochs.csv"):
        for metric in [metric for metric in columns(one, name)[0] if "loss" in metric or "acc" in metric]:
            pair = [[float(row[metric]) for row in columns(run, name)] for run in (one, other)]
            np.testing.assert_allclose(*pair, rtol=2e-5, err_msg=metric)
    weights = [keras.saving.load_model(run / "model.keras").get_weights() for run in (one, other)]
    assert max(float(np.abs(ours - theirs).max()) for ours, theirs in zip(*weights, strict=True)) < 1e-6
    summaries = [runs.read_summary(run) for run in (one, other)]
    assert summaries[0]["lr_max"] == summaries[1]["lr_max"]
    assert summaries[0]["test"]["accuracy"] == summaries[1]["test"]["accuracy"]


@pytest.mark.slow
def test_parts_of_a_processor_train_what_one_does(one_process):
    check_same(one_process / "alone", one_process / "mirrored")
    assert runs.read_summary(one_process / "mirrored")["device"]["replicas"] == 2


@pytest.mark.slow
def test_two_workers_interrupted_then_one_killed_end_where_one_process_does(one_process, clothes, environment):
    folder, command = clothes
    run = folder / "two"
    first = Workers(clothes, environment, 2, [*command, "hydra.run.dir=two"], f"10 {int(signal.SIGTERM)}")
    # A signal to one ends both, after the same step, with a checkpoint; and says how to go on.
    assert first.codes == [143, 143], first.err
    assert "resume         python -m sconv resume=two" in first.out[0]
    assert "device=multi_worker" in first.out[0]
    assert first.out[1] == ""
    assert (runs.read_summary(run)["status"], runs.read_summary(run)["steps"]) == ("interrupted", 11)
    assert first.left == []

    resume = ["resume=two", "allowed_targets=[deserter.*]"]
    second = Workers(clothes, environment, 2, resume, f"45 {int(signal.SIGKILL)}")
    assert second.codes == [1, -signal.SIGKILL]
    assert second.err[0] == (
        "sconv: device: worker 1 is gone or stands still, expected all until the end; resume=... on each goes on\n"
    )
    assert runs.read_summary(run)["status"] == "failed"

    third = Workers(clothes, environment, 2, resume)
    assert third.codes == [0, 0], third.err
    assert third.err == ("", "")
    summary = runs.read_summary(run)
    assert summary["status"] == "finished"
    assert [each["step"] for each in summary["resumed"]] == [11, 31]
    check_same(folder / "alone", run)
    assert len(second.left) == 1  # of the one that was killed
    assert third.left == second.left


@pytest.mark.slow
@pytest.mark.long
def test_three_workers_train_what_one_process_does(one_process, clothes, environment):
    folder, command = clothes
    three = Workers(clothes, environment, 3, [*command, "hydra.run.dir=three"])
    assert three.codes == [0, 0, 0], three.err
    assert three.out[1:] == ("", "")
    check_same(folder / "alone", folder / "three")
    # Written once: the same files, as many of each.
    assert files(folder / "three") == files(folder / "alone")
    assert three.left == []


# --- A GPU ---------------------------------------------------------------------------------------------------------

TINY = "dataset=synthetic dataset.shape=[12,12,1] dataset.train_size=83 dataset.test_size=21 epochs=2 batch_size=8"
NORMALISED = """
import keras
from keras import layers

def build(input_shape, classes):
    convolved = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    head = [layers.Flatten(), layers.Dropout(0.1), layers.Dense(classes, "softmax", dtype="float32")]
    return keras.Sequential([keras.Input(input_shape), *convolved, *head])
"""
OF_A_GPU = "precision=mixed_float16 device.deterministic=true model._target_=normalised.build"


def trained_twice(folder, environment, words, gpus="-1"):
    """The summary of a run that was carried out twice, in one process, with the same bits."""
    (folder / "normalised.py").write_text(NORMALISED)
    cases = [
        {
            "folder": str(folder),
            "arguments": shlex.split(f"{TINY} {OF_A_GPU} {words} hydra.run.dir={name}"),
            "environment": {"CUDA_VISIBLE_DEVICES": gpus},
        }
        for name in ("first", "again")
    ]
    results = carry_out(cases, environment)
    assert [result["code"] for result in results] == [0, 0], results
    first, again = folder / "first", folder / "again"
    assert (first / "steps.csv").read_bytes() == (again / "steps.csv").read_bytes()
    assert len(columns(first)) == 22
    assert isinstance(keras.saving.load_model(first / "model.keras").optimizer, keras.optimizers.LossScaleOptimizer)
    return runs.read_summary(first)


@pytest.mark.slow
def test_what_a_gpu_is_told_on_two_parts_of_a_processor(environment, tmp_path):
    """Loss scaling, statistics of normalisation and dropout over replicas, deterministic."""
    summary = trained_twice(tmp_path, environment, "device=mirrored device.replicas=2 update_bn=true")
    assert summary["device"]["replicas"] == 2
    assert summary["compute_dtypes"]["float16"] == 2
    assert summary["batch_statistics"].startswith("of 1 layer")


@pytest.mark.slow
@pytest.mark.gpu
def test_a_gpu(environment, tmp_path):
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow finds no GPU here")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    summary = trained_twice(tmp_path, environment, "device=gpu device.xla=true", visible)
    assert summary["device"]["kind"] == "gpu"
    assert summary["accelerated"] is None  # XLA fuses the stock layers
