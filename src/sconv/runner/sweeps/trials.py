"""The trials of a search: Optuna says what to try, a launcher tries it, the run directories tell what came of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sconv import checks, runs
from sconv.runner.sweeps import search_space
from sconv.runner.sweeps.trial import RANGE_TEST

# Optuna is imported inside functions: without it there is a line to be said.

# What a run is judged by, and which end of it is the better one.
OBJECTIVES = {"accuracy": "maximize", "seconds": "minimize"}
# Of what the range test suggests.
_FACTORS = (1, 0.5, 2)

Jobs = Sequence[Sequence[str]]
Launch = Callable[[Jobs, int], Sequence[Path]]


@dataclass(frozen=True)
class Search:
    """What is asked for; `sampler(number)` samples the trials from that number on, whatever process asked before."""

    directory: Path
    space: search_space.Space
    shared: list[str]
    objectives: list[str]
    sampler: Callable[[int], Any]
    n_trials: int
    n_jobs: int

    @property
    def description(self) -> dict[str, Any]:
        """What must be the same where it is taken up again, as plain values."""
        from optuna.distributions import distribution_to_json

        space = {name: distribution_to_json(each) for name, each in self.space.items()}
        shared = [each for each in self.shared if not each.startswith("resume_sweep=")]
        return {"objectives": self.objectives, "space": space, "shared": shared}


def opened(search: Search) -> Any:
    """The study in the search's directory, made where there is none. Raises SettingError where it is of another."""
    runs.mend_study(search.directory)
    study = runs.open_study(search.directory, [OBJECTIVES[objective] for objective in search.objectives])
    asked = search.description
    if study.user_attrs.get("search", asked) != asked:
        raise checks.SettingError(
            f"resume_sweep: got {checks.shown(os.path.relpath(search.directory))}, the search of another command, "
            "expected the same parameters and objectives"
        )
    study.set_user_attr("search", asked)
    return study


def seed(study: Any, search: Search, launch: Launch) -> None:
    """Have the first trials of a new study try what a range test suggests as lr_max, half of it and twice."""
    from optuna.distributions import FloatDistribution

    within = search.space.get("lr_max")
    if not isinstance(within, FloatDistribution) or within.step or study.trials:
        return
    directory = search.directory / RANGE_TEST
    if not (directory / "lr_find.json").is_file():
        others = {name: search_space.middle(each) for name, each in search.space.items() if name != "lr_max"}
        shared = [each for each in search.shared if not each.startswith("task=")]
        test = [*search_space.overrides(others), *shared, "task=lr_find", f"hydra.sweep.subdir={RANGE_TEST}"]
        launch([test], 0)
    pick = (runs.read_facts(directory, "lr_find.json") or {}).get("suggestion")
    tried = [pick * factor for factor in _FACTORS if within.low <= pick * factor <= within.high] if pick else []
    for rate in tried:
        study.enqueue_trial({"lr_max": rate})
    first = ", ".join(f"{rate:.3g}" for rate in tried) or "none"
    found = f"suggests lr_max={pick:.3g}" if pick else "suggests no lr_max"
    print(f"range test {found}; tried first: {first}", flush=True)


def run(study: Any, search: Search, launch: Launch) -> None:
    """Carry out what a killed search left running, then new trials until there are as many as are asked for."""
    cautioned = False
    for numbers in itertools.chain(_left(study, search), _new(study, search)):
        trials = study.get_trials(deepcopy=False)
        values = [{name: trials[number].params[name] for name in search.space} for number in numbers]
        jobs = [[*search_space.overrides(each), *search.shared] for each in values]
        for number, directory in zip(numbers, launch(jobs, numbers[0]), strict=True):
            summary = _summary(directory)
            _record(study, search, number, summary)
            if summary.get("monitored") == "test" and not cautioned:
                print("the search goes by the test split; dataset.validation=0.1 holds out another", flush=True)
                cautioned = True


def _left(study: Any, search: Search) -> Iterator[list[int]]:
    """The trials that a killed search left running, those at once that the launcher can number; told, if they ended."""
    from optuna.trial import TrialState

    running = []
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        summary = _summary(next(search.directory.glob(f"{trial.number}-*"), search.directory))
        if set(trial.params) != set(search.space):
            study.tell(trial.number, state=TrialState.FAIL)
        elif summary["status"] in ("finished", "diverged", "pruned"):
            _record(study, search, trial.number, summary)
        else:
            running.append(trial.number)
    for _, run in itertools.groupby(enumerate(running), lambda each: each[1] - each[0]):
        numbers = [number for _, number in run]
        yield from (numbers[first : first + search.n_jobs] for first in range(0, len(numbers), search.n_jobs))


def _new(study: Any, search: Search) -> Iterator[list[int]]:
    """Trials to come, as many as are missing: what failed before is made up for, what fails now is not."""
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])
    missing = search.n_trials - len(ended)
    while missing > 0:
        waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
        study.sampler = search.sampler(len(study.trials) - len(waiting))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            asked = [study.ask(search.space).number for _ in range(min(search.n_jobs, missing))]
        missing -= len(asked)
        yield asked


def _record(study: Any, search: Search, number: int, summary: Mapping[str, Any]) -> None:
    """Tell the study what became of a trial; one that was interrupted goes on when the search is taken up again."""
    from optuna.trial import TrialState

    status = summary["status"]
    if status in ("running", "interrupted"):
        return
    trial = runs.running_trial(study, number)
    trial.set_user_attr("status", status)
    trial.set_user_attr("monitored", summary.get("monitored"))
    if status == "pruned":
        study.tell(number, state=TrialState.PRUNED)
    elif status in ("finished", "diverged"):
        # A grid that is exhausted would stop a study that runs by itself, and this one does not.
        with contextlib.suppress(RuntimeError):
            study.tell(number, _values(study, search, summary))
    else:
        study.tell(number, state=TrialState.FAIL)


def _values(study: Any, search: Search, summary: Mapping[str, Any]) -> list[float]:
    """What a run reached; one that diverged the worst there is, for of a failure some samplers would learn nothing."""
    seconds = summary["seconds"]["training"]
    if summary["status"] == "finished":
        reached = {"accuracy": runs.accuracy(summary, summary["monitored"]), "seconds": seconds}
        return [float(reached[objective]) for objective in search.objectives]
    place = search.objectives.index("seconds") if "seconds" in search.objectives else None
    known = [trial.values[place] for trial in study.trials if trial.values] if place is not None else []
    worst = {"accuracy": 0.0, "seconds": max([seconds, *known])}
    return [worst[objective] for objective in search.objectives]


def _summary(directory: Path) -> dict[str, Any]:
    try:
        return runs.read_summary(directory)
    except runs.BrokenRun:
        return {"status": "failed"}
