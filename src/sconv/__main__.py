"""The command line: the only file that knows it is one."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig
from rich.console import Console

from sconv import complaints, config, contracts, sweeps

log = logging.getLogger("sconv")


# What went wrong in the one job of a run that is no sweep. Raised through Hydra it would be told twice.
_failure: list[Exception] = []


def job(cfg: DictConfig) -> None:
    """Carry out one task; in a sweep, one that fails leaves its status behind and lets the rest go on."""
    hydra_config = HydraConfig.get()
    in_sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        contracts.drop_leftovers(cfg, hydra_config.overrides.task)
        if in_sweep and (before := sweeps.finished_before(cfg)):
            print(f"finished before: {before.name}")
            return
        get_method(cfg.task._target_)(cfg)
    except Exception as error:
        log.info("the run ended with an error", exc_info=True)
        if in_sweep:
            _complain(error)
        else:
            _failure.append(error)
    if in_sweep:
        print(sweeps.progress(hydra_config.job.num + 1), end="")


def main() -> None:
    """Entry point of `python -m sconv` and of the console script."""
    wants_trace = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing them
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: str(message)
    config.register()
    code = 0
    try:
        hydra.main(version_base="1.3", config_path=str(config.CONF), config_name="config")(job)()
        for error in _failure:
            raise error
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = complaints.INTERRUPTED
    except Exception as error:
        if wants_trace:
            traceback.print_exc()
        _complain(error)
        code = complaints.exit_code(error)
    for sweep in sweeps.started:
        code = max(code, get_method(sweep.outcome)(sweep.directory, Console(highlight=False)))
    sys.exit(code)


def _complain(error: BaseException) -> None:
    print(f"sconv: {complaints.line(error)}", file=sys.stderr)


if __name__ == "__main__":
    main()
