"""The command line: the only file that knows it is one."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from rich.console import Console

from sconv import checks, runs
from sconv.runner import errors
from sconv.runner.config import leftovers, schema, validate
from sconv.runner.sweeps import hydra_callback, launchers, resume

log = logging.getLogger("sconv")

schema.register()  # here, because a launcher's worker process imports this module for `job` and calls nothing else


# What went wrong in the job of a run that is no sweep, and its settings. Raised through Hydra it would be told twice.
_Failure = tuple[Exception, errors.Settings]
_failure: list[_Failure] = []
# Of these Hydra takes one at a time.
_COMMANDS = ("run", "multirun", "cfg", "info", "shell_completion")


def job(cfg: DictConfig) -> None:
    """Carry out one task; in a sweep, one that fails leaves its status behind and lets the rest go on."""
    hydra_config = HydraConfig.get()
    in_sweep = hydra_config.mode == RunMode.MULTIRUN
    has_workers = in_sweep and launchers.has_workers(hydra_config.launcher._target_)
    # What several processes say at once is a muddle: the one that started them tells what became of each job.
    with contextlib.redirect_stdout(io.StringIO()) if has_workers else contextlib.nullcontext():
        error = _carry_out(cfg, hydra_config, in_sweep)
    if error is not None and not in_sweep:
        _failure.append(error)
    elif error is not None and isinstance(error[0], runs.DirectoryTakenError):
        raise error[0]  # it has no directory to leave a status in: Hydra hands it on when all jobs have run
    elif error is not None and not has_workers:
        _complain(*error)
    if in_sweep and not has_workers:
        print(hydra_callback.progress(hydra_config.job.num + 1), end="")


def _carry_out(cfg: DictConfig, hydra_config: HydraConf, in_sweep: bool) -> _Failure | None:
    """Do what `job` is for; what goes wrong is returned, and left in the run directory."""
    directory = Path(hydra_config.runtime.output_dir)
    problem = None
    try:
        leftovers.drop(cfg, hydra_config)
        _name_choices(cfg, hydra_config)
        validate.judge(cfg, in_sweep)
        if in_sweep and (before := resume.finished_before(cfg)):
            print(f"finished before: {before.name}")
            return None
    except Exception as error:
        problem = error
    settings = cast(errors.Settings, OmegaConf.to_container(cfg, resolve=False))
    try:
        _claim(cfg, directory, hydra_config, in_sweep)
    except Exception as error:
        return error, settings
    try:
        if problem is not None:
            raise problem
        log.info("%s, sconv %s", cfg.task._target_, runs.versions()["sconv"])
        get_method(cfg.task._target_)(cfg)
    except Exception as error:
        log.info("the run ended with an error", exc_info=True)
        runs.note_error(directory, errors.line(error, settings))
        return error, settings
    return None


def _name_choices(cfg: DictConfig, hydra_config: HydraConf) -> None:
    """Have each group go by its function where no option was chosen, as by a run's own config.yaml."""
    plain = cast(errors.Settings, OmegaConf.to_container(cfg, resolve=False))
    named = {group: part["_target_"] for group, part in plain.items() if isinstance(part, dict) and "_target_" in part}
    node = cast(DictConfig, hydra_config)
    with read_write(node), open_dict(node):
        node.runtime.choices = {**named, **node.runtime.choices}


def _claim(cfg: DictConfig, directory: Path, hydra_config: HydraConf, in_sweep: bool) -> None:
    """Take the run directory, and leave the configuration there: Hydra would write it over that of another run."""
    parts = {"config": cfg, "hydra": HydraConfig.instance().cfg, "overrides": hydra_config.overrides.task}
    texts = {f"{name}.yaml": OmegaConf.to_yaml(part) for name, part in parts.items()}
    setting = "hydra.sweep.subdir" if in_sweep else "hydra.run.dir"
    runs.claim(setting, directory, texts, resumed=bool(cfg.resume_sweep))


def main() -> None:
    """Entry point of `python -m sconv` and of the console script."""
    # Starting makes many objects and no garbage; looking for some at each 700 takes a tenth of the time.
    gc.set_threshold(100_000)
    if not getattr(sys.flags, "safe_path", False) and not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())  # as `python -m` does: the user's own modules, for the console script too
    wants_trace = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing them
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no news of its own
    warnings.formatwarning = lambda message, *_, **__: str(message)
    _failure.clear()
    hydra_callback.started.clear()
    code = 0
    settings: errors.Settings = {}
    try:
        _judge_options()
        hydra.main(version_base="1.3", config_path=str(schema.CONF), config_name="config")(job)()
        for error, settings in _failure:  # noqa: B007 - used by the handler
            raise error
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = errors.INTERRUPTED
    except SystemExit as stopped:  # with which a callback of ours stops a sweep; Hydra only warns of its errors
        if not isinstance(stopped.code, checks.UserError):
            raise
        _complain(stopped.code, settings)
        code = errors.USER_ERROR
    except Exception as error:
        if wants_trace:
            traceback.print_exc()
        _complain(error, settings)
        code = errors.exit_code(error)
    for sweep in hydra_callback.started:
        if sweep.follower:
            try:
                sweep.follower.stop(wait=code != errors.INTERRUPTED)
            except KeyboardInterrupt:
                sweep.follower.stop(wait=False)
                code = errors.INTERRUPTED
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


def _complain(error: BaseException, settings: errors.Settings) -> None:
    print(f"sconv: {errors.line(error, settings)}", file=sys.stderr)
