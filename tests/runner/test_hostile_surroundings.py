"""Surroundings that are against it: nobody listens, nothing but the run folder can be written, odd names."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PATIENCE, TINY

pytestmark = pytest.mark.slow  # each trains in a process of its own
ODD = 'it\'s "a" fôlder [b] $c ü'
COMMAND = [sys.executable, "-m", "sconv", *TINY, "epochs=20", "hydra.run.dir=outputs/run"]


def finished(folder):
    summary = json.loads((folder / "outputs" / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 200)
    assert (folder / "outputs" / "run" / "model.keras").is_file()


def test_a_closed_pipe_loses_no_training(tmp_path, environment):
    folder = tmp_path / ODD
    folder.mkdir()
    home = tmp_path / "home"
    home.touch()  # a home in which nothing can be made, whoever asks
    surroundings = {**environment, "LC_ALL": "C", "HOME": str(home), "PYTHONIOENCODING": "ascii"}
    surroundings = {name: value for name, value in surroundings.items() if name not in ("KERAS_HOME", "MPLCONFIGDIR")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(COMMAND, cwd=folder, env=surroundings, text=True, **pipes) as running:
        first = running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
        assert (running.wait(PATIENCE), first.split()[:2]) == (0, ["epoch", "1/20"]), said
    assert "Traceback" not in said
    finished(folder)
    reported = subprocess.run(
        [sys.executable, "-m", "sconv.report", "outputs"],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert reported.returncode == 0, reported.stderr
    assert (folder / "outputs" / "report" / "report.html").is_file()


def test_a_vanished_terminal_loses_no_training(tmp_path, environment):
    (tmp_path / "empty").mkdir()
    master, slave = pty.openpty()
    # A session of its own with this terminal: when it is closed, the system sends SIGHUP and writing fails.
    running = subprocess.Popen(
        COMMAND,
        cwd=tmp_path / "empty",
        env={**environment, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    while not re.search(rb"epoch \d+/20", shown):
        shown += os.read(master, 1024)
    os.close(master)
    running.send_signal(signal.SIGHUP)
    assert running.wait(PATIENCE) == 0
    finished(tmp_path / "empty")


def others_can_run_python():
    real = Path(sys.executable).resolve()
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root, to be somebody else")
def test_another_user_trains_with_an_installation_that_only_root_can_write(tmp_path, environment):
    if not others_can_run_python():
        pytest.skip(f"nobody but root can run {sys.executable}")
    # pytest's folders are for one user alone.
    folder = Path("/tmp") / f"sconv-test-{os.getpid()}"
    folder.mkdir()
    try:
        os.chown(folder, 65534, 65534)
        ran = subprocess.run(
            COMMAND,
            cwd=folder,
            env={**environment, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, ran.stderr
        finished(folder)
    finally:
        shutil.rmtree(folder)
