"""hydra/sweeper=search: from Hydra's configuration to the trials of a search, and what is said of them at the end."""

from __future__ import annotations

import importlib.util
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sconv import checks, runs
from sconv.runner.config import targets
from sconv.runner.sweeps import resume, search_space, trials
from sconv.runner.sweeps.trials import OBJECTIVES, Jobs, Search

_TRAINING = "sconv.runner.tasks.train.train"
_NEEDED = {"optuna.samplers.GPSampler": "torch", "optuna.samplers.CmaEsSampler": "cmaes"}
_OF_ONE_OBJECTIVE = ("optuna.samplers.CmaEsSampler",)


def carry_out(
    config: DictConfig,
    arguments: Sequence[str],
    loader: Any,
    check_legal: Callable[[Jobs], None],
    launch: Callable[[Jobs, int], Sequence[Any]],
) -> None:
    """Search as hydra.sweeper says, and tell what was best; `launch(jobs, first number)` returns Hydra's JobReturns.

    Raises SettingError or MissingError before the first job, or what Hydra raises of a job's overrides.
    """
    settings = config.hydra.sweeper
    _check(config, settings)
    space, shared = search_space.parse(arguments, settings.params or {}, loader)
    sampler, most = sampler_of(settings.sampler, space)
    check_legal([[*search_space.overrides(values), *shared] for values in _samples(space)])
    directory, n_trials = Path(config.hydra.sweep.dir), int(min(settings.n_trials, most))
    search = Search(directory, space, shared, list(settings.objectives), sampler, n_trials, settings.n_jobs)
    with runs.held("hydra.sweep.dir", directory):
        study = trials.opened(search)
        config.hydra.sweeper.n_trials = n_trials
        OmegaConf.save(config, directory / "multirun.yaml")

        def launched(jobs: Jobs, first: int) -> list[Path]:
            return [_directory(each) for each in launch(jobs, first)]

        if settings.range_test and most == math.inf:  # a grid is tried as it is
            trials.seed(study, search, launched)
        trials.run(study, search, launched)
    tell(study, search)


def tell(study: Any, search: Search) -> None:
    """Say what was best, and where to look."""
    best = [trial for trial in study.best_trials if trial.user_attrs["status"] == "finished"]
    for trial in best[: 1 if len(search.objectives) == 1 else None]:
        named = {"accuracy": f"{trial.user_attrs['monitored']} accuracy", "seconds": "seconds of training"}
        reached = zip(search.objectives, trial.values, strict=True)
        said = ", ".join(f"{named[objective]} {value:.4g}" for objective, value in reached)
        print(f"best   #{trial.number} {' '.join(search_space.overrides(trial.params))}: {said}")
    print(f"study  optuna-dashboard {checks.printable(os.path.relpath(search.directory / runs.STUDY))}", flush=True)


def _check(config: DictConfig, settings: DictConfig) -> None:
    """Refuse what cannot be searched so."""
    if importlib.util.find_spec("optuna") is None:
        raise checks.MissingError("hydra/sweeper: got 'search', which comes with pip install 'sconv[search]'")
    if config.task._target_ != _TRAINING:
        got = checks.shown(config.hydra.runtime.choices.task)
        raise checks.SettingError(f"task: got {got}, expected train: a search goes by what trainings reach")
    for name in ("n_trials", "n_jobs"):
        checks.integer(f"hydra.sweeper.{name}", settings[name], at_least=1)
    checks.boolean("hydra.sweeper.range_test", settings.range_test)
    checks.number("hydra.sweeper.prune_after", settings.prune_after, at_least=0, at_most=1)
    asked: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    objectives = checks.listed(
        "hydra.sweeper.objectives", asked["objectives"], f"some of {', '.join(OBJECTIVES)}", (1, 2)
    )
    for objective in objectives:
        checks.choice("hydra.sweeper.objectives", objective, OBJECTIVES)
    sampler = settings.sampler._target_
    if len(objectives) > 1 and sampler in _OF_ONE_OBJECTIVE:
        raise checks.SettingError(f"hydra.sweeper.objectives: got {len(objectives)}, of which {sampler} takes one")
    if sampler in _NEEDED and importlib.util.find_spec(_NEEDED[sampler]) is None:
        raise checks.MissingError(f"hydra/sweeper/sampler: {sampler} needs pip install {_NEEDED[sampler]}")
    if settings.pruner is not None:
        targets.instantiate("hydra.sweeper.pruner", settings.pruner)


def sampler_of(settings: DictConfig, space: search_space.Space) -> tuple[Callable[[int], Any], float]:
    """What makes a sampler for the trials from a number on, and how many trials it has at most."""
    given: dict[str, Any] = {}
    if "search_space" in settings:
        given["search_space"] = search_space.grid(space)
    seeded = "seed" in settings and settings.seed is not None

    def made(number: int) -> Any:
        # Of the number alone, so that a search that was killed goes on as if it had not been.
        seed = {"seed": settings.seed + number} if seeded else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            return targets.instantiate("hydra.sweeper.sampler", settings, **given, **seed)

    made(0)  # refused now, where it cannot be
    return made, math.prod(map(len, given["search_space"].values())) if given else math.inf


def _samples(space: search_space.Space) -> Iterator[dict[str, Any]]:
    """Values that name each option there is once."""
    middle = {name: search_space.middle(each) for name, each in space.items()}
    yield middle
    for name, each in space.items():
        for value in getattr(each, "choices", ()):
            yield {**middle, name: value}


def _directory(returned: Any) -> Path:
    """Where the run of a job is: an earlier one, where that was the same and has finished."""
    _ = returned.return_value  # raises what Hydra was told
    directory = Path(returned.hydra_cfg.hydra.runtime.output_dir)
    if (directory / "summary.json").is_file():
        return directory
    return resume.finished_before(returned.cfg) or directory
