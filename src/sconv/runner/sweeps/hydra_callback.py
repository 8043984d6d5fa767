"""What Hydra tells of a sweep: that it starts, and that its jobs are done."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, runs
from sconv.runner import errors
from sconv.runner.sweeps import launchers

_OUTCOME = "sconv.runner.sweeps.outcome.outcome"


class SweepCallback(Callback):
    """Refuses a sweep that cannot be carried out before its first job, and ends one with a table and its exit code.

    Hydra only warns of an error of a callback: what ends the program is a SystemExit.
    """

    def __init__(self) -> None:
        self._code = 0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            self._directory = _checked_directory(config)
        except Exception as error:
            raise errors.Stop(error) from None
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


def _checked_directory(config: DictConfig) -> Path:
    """Where the sweep puts its jobs. Raises SettingError for one that cannot be carried out, or not there."""
    launchers.check_swept(config.hydra.launcher._target_, config.hydra.overrides.task)
    for name, _, value in (override.lstrip("+").partition("=") for override in config.hydra.overrides.task):
        if name == "resume":
            raise checks.SettingError(f"resume: got {value!r} with -m, expected resume_sweep= and the sweep's command")
    resumed, directory = config.resume_sweep, Path(config.hydra.sweep.dir).absolute()
    if resumed and not Path(resumed, "multirun.yaml").is_file():
        raise checks.SettingError(f"resume_sweep: got {resumed!r}, expected the directory of a sweep")
    if not resumed or directory.resolve() != Path(resumed).resolve():
        runs.check_free("hydra.sweep.dir", directory)
    return directory
