"""What Hydra tells of a run or a sweep: that it starts, and of a sweep that its jobs are done."""

from __future__ import annotations

import atexit
import contextlib
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
            directory, resumed = Path(config.hydra.run.dir), config.resume
            if resumed and directory.resolve() != Path(resumed).resolve():
                got = checks.shown(str(directory))
                raise checks.SettingError(f"hydra.run.dir: got {got} beside resume, expected resume=... alone")
            if cluster.is_follower(config.device):
                directory = _of_a_follower(resumed)
                with read_write(config):
                    config.hydra.run.dir = str(directory)
            _make("hydra.run.dir", directory)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _ending():
            self._directory = _checked_directory(config)
            _make("hydra.sweep.dir", self._directory)
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


def _of_a_follower(resumed: str | None) -> Path:
    """A directory of a worker's own until it ends, for what the chief leaves too; with what is gone on from in it."""
    directory = Path(tempfile.mkdtemp(prefix="sconv-worker-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if resumed:
        with contextlib.suppress(shutil.Error):  # of what the chief takes away meanwhile, which nobody needs
            shutil.copytree(resumed, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.keras", ".*.tmp"))
    return directory


def _make(setting: str, directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"cannot write {error.filename}: {error.strerror}, expected a folder of your own with room"
        raise checks.SettingError(f"{setting}: {said}") from error


def _checked_directory(config: DictConfig) -> Path:
    """Where the sweep puts its jobs. Raises SettingError for one that cannot be carried out, or not there."""
    launchers.check_swept(config.hydra.launcher._target_, config.hydra.overrides.task)
    if cluster.is_spread(config.device):
        raise checks.SettingError("device: got multi_worker with -m, expected one run: a sweep has hydra/launcher=ray")
    for name, _, value in (override.lstrip("+").partition("=") for override in config.hydra.overrides.task):
        if name == "resume":
            raise checks.SettingError(f"resume: got {value!r} with -m, expected resume_sweep= and the sweep's command")
    resumed, directory = config.resume_sweep, Path(config.hydra.sweep.dir).absolute()
    if resumed and not Path(resumed, "multirun.yaml").is_file():
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, expected the directory of a sweep")
    if not resumed or directory.resolve() != Path(resumed).resolve():
        runs.check_free("hydra.sweep.dir", directory)
    elif link := next((path.name for path in sorted(directory.iterdir()) if path.is_symlink()), None):
        # Whoever writes there would write elsewhere.
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, where {link} is a link, expected files of its own")
    return directory
