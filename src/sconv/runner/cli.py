"""The command line: the only file that knows it is one."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import os
import re
import sys
import traceback
import warnings

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sconv import checks, output, runs
from sconv.runner import errors, stops
from sconv.runner.claiming import claim, setting_of
from sconv.runner.config import leftovers, schema, targets, validate
from sconv.runner.devices import cluster, setup, starting
from sconv.runner.job import Job, from_hydra
from sconv.runner.sweeps import resume
from sconv.runner.sweeps.brought import carrying
from sconv.runner.sweeps.progress import progress

log = logging.getLogger("sconv")

schema.register()  # here, because a launcher's worker process imports this module for `job` and calls nothing else

# Of these Hydra takes one at a time.
_COMMANDS = ("run", "multirun", "cfg", "info", "shell_completion")


def main() -> None:
    """Entry point of `python -m sconv` and of the console script."""
    gc.disable()  # until Hydra is ready: what is imported stays, and looking through it takes a fifth of that time
    output.outlast()
    if not getattr(sys.flags, "safe_path", False) and not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())  # as `python -m` does: the user's own modules, for the console script too
    wants_trace = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing them
    try:
        _check_arguments()
        hydra.main(version_base="1.3", config_path=str(schema.CONF), config_name="config")(job)()
    except KeyboardInterrupt as stopped:
        print("interrupted", file=sys.stderr)
        sys.exit(stops.exit_code(stopped))
    except errors.Stop as stopped:
        _tell(stopped.error, wants_trace)
        raise
    except Exception as error:
        _tell(error, wants_trace)
        sys.exit(errors.exit_code(error))
    finally:
        gc.enable()


def _tell(error: Exception, wants_trace: bool) -> None:
    if wants_trace:
        traceback.print_exception(error)
    errors.tell(error)


def job(cfg: DictConfig) -> int:
    """Carry out one task; in a sweep, one that fails leaves its status behind and lets the rest go on.

    Returns the exit code of a job of a sweep that has no directory to leave a status in, else 0.
    """
    gc.enable()
    _log_what_is_said(cluster.is_spread(cfg.device))
    this = from_hydra(cfg)
    # What several processes say at once is a muddle: of those in workers only the last line is shown.
    is_silent = this.has_workers or cluster.is_follower(cfg.device)
    with contextlib.redirect_stdout(io.StringIO()) if is_silent else contextlib.nullcontext():
        error = _carry_out(this)
    if error is not None and not this.in_sweep:
        raise errors.Stop(error)
    if error is not None and not this.has_workers:  # whose last line tells it
        errors.tell(error)
    # Another run's directory, or none at all, has no word of it.
    taken = isinstance(error, runs.DirectoryTakenError)
    if error is not None and (taken or not (this.directory / "summary.json").is_file()):
        if this.has_workers:
            raise error  # through Hydra, which hands it on when all jobs have run
        return errors.exit_code(error)
    if this.in_sweep:
        print(progress(this.directory, this.has_workers), end="", flush=True)
    return carrying(0, HydraConfig.get().sweep.dir, this.directory) if this.has_workers else 0


def _carry_out(this: Job) -> Exception | None:
    """Do the job; what goes wrong is returned, and left in the run directory once that is this job's own."""
    with contextlib.ExitStack() as ours:
        try:
            checks.keras_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")
            # Before anything that may import TensorFlow: what a configuration or a record names is imported to see it.
            setup.choose_onednn(OmegaConf.select(this.cfg, "device.onednn"))
            if before := resume.finished_before(this.cfg):
                print(f"finished before: {before.name}")
                return None
            ours.enter_context(runs.held(setting_of(this), this.directory))
            if (claimed := claim(this)) is None:
                print(f"finished before, nothing to do: {this.cfg.resume}")
                return None
        except Exception as error:
            return error
        try:
            with stops.at_once():
                return _done(claimed)
        except stops.Interrupted as stopped:
            if stopped.then is not None:
                stopped.then(stopped.number, None)
            raise


def _done(this: Job) -> Exception | None:
    try:
        validate.validate(this.cfg, this.in_sweep)
        leftovers.check_knobs(this.cfg, this.overrides)
        log.info("%s, sconv %s", this.cfg.task._target_, runs.versions()["sconv"])
        targets.carry_out(this.cfg.task, this)
    except Exception as error:
        log.info("the run ended with an error", exc_info=True)
        runs.note_error(this.directory, errors.line(error))
        return error
    return None


def _log_what_is_said(several_workers: bool) -> None:
    """Send what libraries say while a job runs to its log: warnings as they are, TensorFlow's start."""
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no news of its own
    warnings.formatwarning = lambda message, *_, **__: str(message)
    starting.prepare(several_workers)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_as_text)


def _as_text(record: logging.LogRecord) -> bool:
    """Have names of files in what is logged shown, and none obeyed by the terminal."""
    record.msg, record.args = "\n".join(map(checks.printable, record.getMessage().splitlines())), None
    return True


def _check_arguments() -> None:
    """Refuse what Hydra's parser would refuse with a page on its usage, and a number that nothing can hold."""
    for name, _, value in (argument.lstrip("+").partition("=") for argument in sys.argv[1:]):
        if re.search(r"\d{309}", value):
            raise checks.SettingError(f"{name}: got {checks.shown(value)}, expected a number that a float can hold")
        if value.lower() == "null" and (name.startswith("hydra/") or (schema.CONF / name).is_dir()):
            options = sorted(path.stem for path in (schema.CONF / name).glob("*.yaml"))
            raise checks.SettingError(f"{name}: got null, expected one of {', '.join(options) or 'its options'}")
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
    if given.config_path or given.config_name:  # such as a run's own: without what conf/config.yaml says of Hydra
        sys.argv.append("hydra.output_subdir=null")
    commands = [f"--{name}" for name in _COMMANDS if vars(given)[name]]
    if len(commands) > 1:
        raise checks.SettingError(f"{commands[0]}: got {' and '.join(commands)}, expected one of them")
