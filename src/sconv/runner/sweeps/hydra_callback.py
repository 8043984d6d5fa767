"""What Hydra tells of a run or a sweep: that it starts, and of a sweep that its jobs are done."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, read_write
from rich.console import Console

from sconv import checks, runs
from sconv.runner import errors
from sconv.runner.config import run_names
from sconv.runner.devices import cluster
from sconv.runner.sweeps import launchers

_OUTCOME = "sconv.runner.sweeps.outcome.outcome"


class SweepCallback(Callback):
    """Refuses a sweep that cannot be carried out before its first job, and ends one with a table and its exit code.

    A run or a sweep whose directory is wrong is refused before Hydra makes one.

    Hydra only warns of an error of a callback: what ends the program is a SystemExit.
    """

    def __init__(self) -> None:
        self._code = 0

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _ending():
            if resumed := config.resume:
                runs.check_own("resume", Path(resumed))
            if resumed and Path(directory := config.hydra.run.dir).resolve() != Path(resumed).resolve():
                got = checks.shown(directory)
                raise checks.SettingError(f"hydra.run.dir: got {got} beside resume, expected resume=... alone")
            if cluster.is_follower(config.device):
                with read_write(config.hydra):
                    config.hydra.run.dir = _of_a_follower(resumed)
            _make(config, "run", resumed)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        gc.enable()  # which the command line had put off: this process may wait for days, and no job is in it
        with _ending():
            _check_sweep(config)
            self._directory = _make(config, "sweep", config.resume_sweep)
            _tell_jobs(config)
        self._outcome = get_method(OmegaConf.select(config, "task._outcome_", default=_OUTCOME))
        # Also where the sweep is cut short: by Ctrl-C, or by a worker process that dies.
        atexit.register(self._tell)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        self._code = max(self._code, job_return.return_value or 0)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        atexit.unregister(self._tell)
        if code := max(self._code, self._tell()):
            sys.exit(code)

    def _tell(self) -> int:
        if not any(self._directory.glob("*/.hydra")):
            return 0  # refused before its first job
        code: int = self._outcome(self._directory, Console(highlight=False))
        return code


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise errors.Stop(error) from None


def _of_a_follower(resumed: str | None) -> str:
    """A directory of a worker's own until it ends, for what the chief leaves too; with what is gone on from in it."""
    directory = tempfile.mkdtemp(prefix="sconv-worker-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if resumed:
        with contextlib.suppress(shutil.Error):  # of what the chief takes away meanwhile, which nobody needs
            shutil.copytree(resumed, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.keras", ".*.tmp"))
    return directory


def _make(config: DictConfig, kind: str, resumed: str | None) -> Path:
    """Make the directory of a run or a sweep. A name of our own that is taken gets a number, of which Hydra is told.

    Making it takes it: of two processes that begin in one second one gets the name, the other the number. One that
    the user named may be there; a sweep's must hold no run.
    """
    setting, node = f"hydra.{kind}.dir", config.hydra[kind]
    wanted = Path(node.dir)
    told: Any = OmegaConf.to_container(node)
    ours = not resumed and told["dir"].startswith("${sconv.directory:")
    if kind == "sweep" and not ours and not (resumed and wanted.resolve() == Path(resumed).resolve()):
        runs.check_free(setting, wanted.absolute())
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            with contextlib.suppress(*[FileExistsError] * ours):
                path.mkdir(exist_ok=not ours)
                break
    except OSError as error:
        why = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror  # a file above it
        said = f"cannot write {node.dir}: {why}, expected a folder of your own with room"
        raise checks.SettingError(f"{setting}: {said}") from error
    if ours:
        with read_write(config.hydra):
            node.dir = str(path)
            config.hydra.overrides.hydra.append(f"{setting}='{path}'")
    return path.absolute()


def _tell_jobs(config: DictConfig) -> None:
    """Tell the jobs, which compose their configurations anew, what is alike in all of them."""
    hydra = config.hydra
    swept = {override.key_or_group for override in launchers.swept(hydra.overrides.task)}
    told = [run_names.setting_of(override) for override in hydra.overrides.task]
    alike = [*hydra.job.config.override_dirname.exclude_keys, *(name for name in told if name not in swept)]
    with read_write(hydra):
        names = ",".join(f"'{name}'" for name in alike)
        hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{names}]")


def _check_sweep(config: DictConfig) -> None:
    """Raise SettingError where a sweep cannot be carried out, or not in the directory that it is to go on in."""
    hydra = config.hydra
    launchers.check_swept(hydra.launcher._target_, hydra.overrides.task, hydra.sweeper._target_)
    if cluster.is_spread(config.device):
        raise checks.SettingError("device: got multi_worker with -m, expected one run: a sweep has hydra/launcher=ray")
    for name, _, value in (override.lstrip("+").partition("=") for override in hydra.overrides.task):
        if name == "resume":
            raise checks.SettingError(f"resume: got {value!r} with -m, expected resume_sweep= and the sweep's command")
    if (resumed := config.resume_sweep) is None:
        return
    if not Path(resumed, "multirun.yaml").is_file():
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, expected the directory of a sweep")
    if link := next((path.name for path in sorted(Path(resumed).iterdir()) if path.is_symlink()), None):
        # Whoever writes there would write elsewhere.
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, where {link} is a link, expected files of its own")
