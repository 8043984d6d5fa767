"""The command line: the only file that knows it is one."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, complaints, config, contracts, runs, sweeps

log = logging.getLogger("sconv")


# What went wrong in the job of a run that is no sweep, and its settings. Raised through Hydra it would be told twice.
_failure: list[tuple[Exception, complaints.Settings]] = []
# Of these Hydra takes one at a time.
_COMMANDS = ("run", "multirun", "cfg", "info", "shell_completion")


def job(cfg: DictConfig) -> None:
    """Carry out one task; in a sweep, one that fails leaves its status behind and lets the rest go on."""
    hydra_config = HydraConfig.get()
    in_sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        config.judge(cfg, in_sweep)
        contracts.drop_leftovers(cfg, hydra_config.overrides.task)
        if in_sweep and (before := sweeps.finished_before(cfg)):
            print(f"finished before: {before.name}")
            return
        get_method(cfg.task._target_)(cfg)
    except Exception as error:
        log.info("the run ended with an error", exc_info=True)
        settings = cast(complaints.Settings, OmegaConf.to_container(cfg, resolve=False))
        runs.note_error(Path(hydra_config.runtime.output_dir), complaints.line(error, settings))
        if in_sweep:
            _complain(error, settings)
        else:
            _failure.append((error, settings))
    if in_sweep:
        print(sweeps.progress(hydra_config.job.num + 1), end="")


def main() -> None:
    """Entry point of `python -m sconv` and of the console script."""
    wants_trace = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing them
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no news of its own
    warnings.formatwarning = lambda message, *_, **__: str(message)
    config.register()
    _failure.clear()
    sweeps.started.clear()
    code = 0
    settings: complaints.Settings = {}
    try:
        _judge_options()
        hydra.main(version_base="1.3", config_path=str(config.CONF), config_name="config")(job)()
        for error, settings in _failure:  # noqa: B007 - used by the handler
            raise error
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = complaints.INTERRUPTED
    except Exception as error:
        if wants_trace:
            traceback.print_exc()
        _complain(error, settings)
        code = complaints.exit_code(error)
    for sweep in sweeps.started:
        if not any(sweep.directory.glob("*/.hydra")):
            continue  # refused before its first job
        code = max(code, get_method(sweep.outcome)(sweep.directory, Console(highlight=False)))
    sys.exit(code)


def _judge_options() -> None:
    """Refuse what Hydra's parser would refuse with a page on its usage."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        given, rest = parser.parse_known_args()
    except argparse.ArgumentError as error:
        raise checks.SettingError(f"{error.argument_name}: {error.message}; see --help") from error
    if rest:
        flags = [flag for flag in parser._option_string_actions if flag.startswith("--")]
        hint = checks.nearest(rest[0], flags) if rest[0].startswith("-") else ", expected all name=value side by side"
        raise checks.SettingError(f"{rest[0]}: not understood{hint}; see --help")
    commands = [f"--{name}" for name in _COMMANDS if vars(given)[name]]
    if len(commands) > 1:
        raise checks.SettingError(f"{commands[0]}: got {' and '.join(commands)}, expected one of them")


def _complain(error: BaseException, settings: complaints.Settings) -> None:
    print(f"sconv: {complaints.line(error, settings)}", file=sys.stderr)


if __name__ == "__main__":
    main()
