"""Sweeps whose jobs run in worker processes, and those that need some."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import MissingConfigException
from hydra.types import HydraContext

from sconv import checks, runs
from sconv.runner import cli, errors
from sconv.runner.config.schema import CONF
from sconv.runner.devices import setup
from sconv.runner.sweeps import launchers
from sconv.runner.tasks import going_on
from sconv.training import keras_internals

PATIENCE = 600
PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "ray": "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "submitit": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
}
# Data whose loading kills the process once, in the job of seed 1, as soon as another job has finished.
KILLER = """
import os, pathlib, signal, time
from sconv.datasets import synthetic

def load(seed, folder):
    folder = pathlib.Path(folder)
    if seed == 1 and not (folder / "killed").exists():
        while not any('"finished"' in path.read_text() for path in folder.rglob("summary.json")):
            time.sleep(0.1)
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return synthetic.load((6, 6, 1), classes=4, train_size=80, test_size=20)
"""
RESOURCES = "{num_cpus: 1, num_gpus: 1, max_retries: 0}"
JOBS = ["-m", "seed=0,1,2", "model=mlp", "model.hidden=[16]", "epochs=2", "batch_size=8"]


@pytest.mark.parametrize(
    ("launcher", "overrides", "name"),
    [
        (launchers.BASIC, ["seed=0,1", "device.threads=1,2"], "device.threads"),
        (launchers.BASIC, ["device=auto,cpu"], "device"),
        (launchers.BASIC, ["device=glob(*)"], "device"),
        (launchers.BASIC, ["device.kind=auto,cpu"], "device.kind"),
        (PLUGINS["joblib"], ["device.threads=range(1,3)"], "device.threads"),
        (PLUGINS["ray"], ["device.threads=1,2"], "device.threads"),
        (launchers.BASIC, ["device.onednn=true,false"], "device.onednn"),
        (PLUGINS["submitit"], ["device.threads=1,2"], None),
        (launchers.BASIC, ["device.threads=1", "device=cpu", "seed=0,1"], None),
    ],
    ids=str,
)
def test_what_a_process_cannot_change(launcher, overrides, name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        if name is None:
            launchers.check_swept(launcher, overrides)
        else:
            with pytest.raises(checks.SettingError, match=rf"^{name}: .*hydra/launcher=submitit_local"):
                launchers.check_swept(launcher, overrides)


def test_onednn_is_decided_where_tensorflow_starts():
    is_on = keras_internals.onednn_is_on()
    setup._check_onednn(None)
    setup._check_onednn(is_on)
    with pytest.raises(checks.SettingError, match=rf"^device\.onednn: got {not is_on}, but .* expected null"):
        setup._check_onednn(not is_on)


def test_what_differs_where_a_run_goes_on_is_said(caplog):
    device = {"kind": "cpu", "threads": 2, "onednn": True}
    before = {"versions": runs.versions(), "device": {**device, "kind": "gpu"}}
    going_on.note_differences(before, device)
    going_on.note_differences({}, device)
    assert caplog.messages == []
    going_on.note_differences(before, {**device, "threads": 1, "onednn": False})
    assert caplog.messages == [
        "resume: threads was 2 and is 1: the numbers may be others",
        "resume: onednn was True and is False: the numbers may be others",
    ]


def test_refused_before_the_first_job(environment, tmp_path):
    ran = sconv(tmp_path, environment, "-m", "device.threads=1,2")
    assert ran.returncode == 2
    assert "device.threads: a process cannot change it" in ran.stderr
    assert not list(tmp_path.rglob(".hydra"))


def test_a_launcher_that_is_not_installed():
    error = MissingConfigException("", missing_cfg_file="hydra/launcher/submitit_slurm", options=["basic"])
    assert errors.line(error) == (
        "hydra/launcher: got 'submitit_slurm', which comes with pip install 'sconv[submitit]'"
    )


@pytest.mark.parametrize(
    ("told", "cores"), [("1", 1), ("4", 4), ("99", 8), ("0", 1), ("", 8), ("4,2", 8), (None, 8)], ids=str
)
def test_threads_are_those_a_launcher_leaves(monkeypatch, told, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told) if told is not None else monkeypatch.delenv("OMP_NUM_THREADS", False)
    assert setup._cores() == cores


def test_a_killed_run_is_told_from_one_that_runs(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    runs.RunWriter(tmp_path).__enter__()
    summary = runs.read_summary(tmp_path)
    assert summary["process"]["pid"] == os.getpid()
    assert not runs.killed(summary)
    assert not runs.alive(summary)  # it is this process, which waits for nobody

    def of(pid, host=summary["process"]["host"], status="running"):
        changed = {"status": status, "process": {"host": host, "pid": pid}}
        return runs.killed(changed), runs.alive(changed)

    assert of(ended.pid) == (True, False)
    assert of(os.getppid()) == (False, True)
    assert of(ended.pid, host="elsewhere") == of(ended.pid, status="finished") == (False, False)


def sconv(folder, environment, *arguments):
    path = os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "sconv", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": path, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def killing(folder):
    (folder / "killer.py").write_text(KILLER)
    return [*JOBS, "dataset._target_=killer.load", "+dataset.seed=${seed}", f"+dataset.folder={folder}"]


def found(folder):
    return {run.name[0]: runs.read_summary(run) for run in runs.find(folder)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "options"),
    [
        ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        # Of itself Ray would start the job once more.
        pytest.param(
            "ray",
            ["hydra/launcher=ray", "++hydra.launcher.ray={init: {num_cpus: 2}, remote: {max_retries: 0}}"],
            marks=pytest.mark.long,
        ),
        pytest.param("submitit", ["hydra/launcher=submitit_local"], marks=pytest.mark.long),
    ],
)
def test_a_kill_does_not_end_it(tmp_path, environment, launcher, options):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher", reason=f"needs sconv[{launcher}]")
    first = sconv(tmp_path, environment, *killing(tmp_path), *options)
    assert first.returncode == 1, first.stderr
    before = found(tmp_path)
    # What all jobs are told alike is in no name.
    assert {run.name for run in runs.find(tmp_path)} == {f"{number}-seed={number}" for number in before}
    assert (tmp_path / "killed").exists()
    assert before["1"]["status"] == "running"
    assert [line.split()[2] for line in first.stdout.splitlines() if line.startswith("1 seed=1 ")] == ["killed"]
    finished = {number for number, summary in before.items() if summary["status"] == "finished"}
    assert finished
    if launcher != "submitit":  # whose jobs have a terminal of their own, a file
        assert all(f"#{number} seed={number}" in first.stdout for number in finished)
        assert first.stdout.count(": finished; test acc") == len(finished)
    # Each in another process than the one that started them, with its share of the cores.
    assert len({summary["process"]["pid"] for summary in before.values()}) >= 2
    if launcher in ("joblib", "ray"):
        shares = {summary["device"]["threads"] for summary in before.values() if "device" in summary}
        assert shares == {max(1, setup._cores() // 2) if launcher == "joblib" else 1}

    (sweep,) = (tmp_path / "outputs" / "sweeps").glob("*/*")
    assert f"resume_sweep={sweep.relative_to(tmp_path)}" in first.stdout
    second = sconv(tmp_path, environment, *killing(tmp_path), *options, f"resume_sweep={sweep}")
    assert second.returncode == 0, second.stderr
    after = found(tmp_path)
    assert {summary["status"] for summary in after.values()} == {"finished"}
    assert len(after) == 3
    assert all(after[number] == before[number] for number in finished)
    if launcher == "joblib":  # as one process computes them
        threads = f"device.threads={shares.pop()}"
        alone = sconv(tmp_path, environment, *killing(tmp_path), threads, f"hydra.sweep.dir={tmp_path / 'alone'}")
        assert alone.returncode == 0, alone.stderr
        tables = [
            {run.name[0]: (run / "steps.csv").read_bytes() for run in runs.find(of)}
            for of in (sweep, tmp_path / "alone")
        ]
        assert tables[0] == tables[1]


# A callback that has submitit warn the job once, as it does before Slurm takes the machine away.
WARNING = """
import os, pathlib, signal
import keras
from sconv.models import mlp

def build(input_shape, classes, folder):
    model = mlp.build(input_shape, classes, hidden=[16])
    fit = model.fit

    def warned(*arguments, callbacks, **options):
        once = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: warn(batch, folder))
        return fit(*arguments, callbacks=[once, *callbacks], **options)

    vars(model)["fit"] = warned
    return model

def warn(batch, folder):
    mark = pathlib.Path(folder) / "warned"
    if batch == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGUSR2)
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_job_that_submitit_warns_is_queued_again_and_goes_on(tmp_path, environment):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs sconv[submitit]")
    (tmp_path / "warning.py").write_text(WARNING)
    data = ["dataset=synthetic", "dataset.shape=[6,6,1]", "dataset.train_size=80", "dataset.test_size=20"]
    model = ["model._target_=warning.build", f"+model.folder={tmp_path}", "epochs=2", "batch_size=8"]
    own = ["steps_per_execution=1", "checkpoint.every=[]", "hydra/launcher=submitit_local"]
    environment = {**environment, "SLURM_RESTART_COUNT": "1"}  # by which Slurm tells a job that was queued again
    ran = sconv(tmp_path, environment, "-m", "seed=0", *data, *model, *own)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "warned").exists()
    (run,) = runs.find(tmp_path)
    summary = runs.read_summary(run)
    assert summary["status"] == "finished"
    assert [each["step"] for each in summary["resumed"]] == [4]
    assert [int(line.split(",")[0]) for line in (run / "steps.csv").read_text().splitlines()[1:]] == list(range(20))


# A cluster of a head that computes nothing and two nodes with what the arguments say, until its input ends.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for _ in range(2):
    cluster.add_node(num_cpus=1, num_gpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
# Data that a job loads once jobs are under way on two nodes.
ON_NODES = """
import os, pathlib, time
import ray
from sconv.datasets import synthetic

def load():
    node = ray.get_runtime_context().get_node_id()
    pathlib.Path(f"node-{node}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    until = time.monotonic() + 300
    while len(list(pathlib.Path().glob("node-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    return synthetic.load((6, 6, 1), classes=4, train_size=80, test_size=20)
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_cluster_that_shares_no_disk_brings_back_what_its_nodes_leave(tmp_path, environment):
    """Two nodes of Ray that stand in another folder, each with a GPU that is one by name alone."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs sconv[ray]")
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "nodes.py").write_text(ON_NODES)
    path = os.pathsep.join([str(there), environment.get("PYTHONPATH", "")])
    nodes = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        cwd=there,
        env={**environment, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line.strip() for line in nodes.stdout if ":" in line)
        ray = f"++hydra.launcher.ray={{init: {{address: '{address}', object_store_memory: null}}, remote: {RESOURCES}}}"
        ran = sconv(here, environment, *JOBS, "dataset._target_=nodes.load", "hydra/launcher=ray", ray)
    finally:
        nodes.communicate("")
    assert ran.returncode == 0, ran.stderr
    assert [path.read_text() for path in there.glob("node-*")] == ["0", "0"]
    assert list(here.glob("node-*")) == []
    summaries = found(here)
    assert [summaries[number]["status"] for number in "012"] == ["finished"] * 3
    assert {summary["device"]["threads"] for summary in summaries.values()} == {1}
    for run in runs.find(there):
        (brought,) = here.rglob(run.name)
        left = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        checkpoints = {name for name in left if name.startswith("checkpoints")}
        arrived = {str(path.relative_to(brought)) for path in brought.rglob("*") if path.is_file()}
        assert checkpoints
        assert arrived == left.keys() - checkpoints
        assert all((brought / name).read_bytes() == left[name] for name in arrived - {"sconv.log"})
    (sweep,) = (here / "outputs" / "sweeps").glob("*/*")
    report = subprocess.run(
        [sys.executable, "-m", "sconv.report", str(sweep)], cwd=here, capture_output=True, text=True
    )
    assert (report.returncode, "3 seeds" in report.stdout) == (0, True), report.stderr


def test_the_script_that_slurm_would_get(tmp_path, monkeypatch):
    """As the launcher's configuration has it, on a machine that has no Slurm."""
    submitit = pytest.importorskip("submitit", reason="needs sconv[submitit]")
    from hydra.core.plugins import Plugins

    scripts = []
    asked = (
        *("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1"),
        *("hydra.launcher.cpus_per_task=4", "hydra.launcher.timeout_min=240", "hydra.launcher.mem_gb=16"),
        *("hydra.launcher.array_parallelism=2", "hydra.launcher.max_num_timeout=3"),
        "hydra.sweep.dir=sweep",
    )
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))

    def noted(executor, launcher, *jobs):
        slurm = executor._executor
        slurm.parameters["map_count"] = len(jobs[0])
        scripts.append(slurm._make_submission_file_text("run the job", "id"))
        return []

    monkeypatch.setattr(submitit.AutoExecutor, "map_array", noted)
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra_compose("config", list(asked), return_hydra_config=True)
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=None, callbacks=None), task_function=cli.job, config=cfg
    )
    launcher.launch([["seed=0"], ["seed=1"], ["seed=2"]], 0)
    (script,) = scripts
    golden = Path(__file__).with_name("slurm.sbatch")
    assert script.replace(str(tmp_path), "/there").splitlines() == golden.read_text().splitlines()
