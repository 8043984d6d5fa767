"""task=lr_find and lr_max=auto: the range test with the parts of a run."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, output, runs
from sconv.datasets import Dataset
from sconv.lr_finder.result import RangeTest
from sconv.plots import figures
from sconv.runner.devices import distribution, precision
from sconv.runner.job import Job
from sconv.runner.plan import Plan, plan
from sconv.runner.sweeps.resume import NOT_OF_THE_JOB, digest
from sconv.runner.tasks import range_test_screen
from sconv.training import keras_internals

# What a range test does not depend on: two runs that differ only here share one.
_NOT_OF_THE_TEST = ("task", "schedule", "epochs", "name", "lr_max", "experiment", "range_grid", "progressive_resizing")
_IRRELEVANT = (*_NOT_OF_THE_TEST, *NOT_OF_THE_JOB)
# What a training that follows is not told.
_OF_THE_TEST = r"(task|lr_max|lr_find\.\w+|hydra\.run\.dir)="
# An optimizer's own learning rate, while a range test raises it.
_ANY = 1.0


def lr_find(job: Job) -> None:
    """Run the range test and leave its curve, its suggestions and its picture in a run directory."""
    with begin(job) as (job, run, planned):
        test = carry_out(job.cfg, run, planned.dataset, planned.schedule.peak_momentum)
        _keep(run, job.cfg, planned, test)
        console = Console(highlight=False, soft_wrap=True)
        if not job.in_sweep:
            range_test_screen.tell(test, console)
        for name, rate in test.suggestions.items():
            told = f"[bold]{rate:.3g}[/bold] (suggested)" if name == test.rule else f"{rate:.3g}"
            console.print(f"{name:<14} {told}")
        if test.good_rates is not None:
            console.print("{:<14} {:.2g} to {:.2g}".format("good rates", *test.good_rates))
        say_where(run, console, "lr_find")
        if test.problem is None and not job.in_sweep:
            console.print(f"{'next':<14} {_next_command(job, test.suggestion)}", markup=False)
        run.record(lr_max=test.suggestion)


def find_lr_max(job: Job, run: runs.RunWriter, planned: Plan) -> float:
    """lr_max=auto: the pick of a range test with the parts of this very run; kept in its directory and told.

    In a sweep the test of a job that shares everything it depends on is taken over.
    """
    found = _found_before(job, run, planned) if job.in_sweep else None
    if found is None:
        test = carry_out(job.cfg, run, planned.dataset, planned.schedule.peak_momentum)
        _keep(run, job.cfg, planned, test)
        found = {"suggestion": test.suggestion, "rule": test.rule}
    pick, place = float(found["suggestion"]), f"../{found['from']}/" if "from" in found else ""
    run.record(lr_max=pick, lr_max_found_by=found["rule"])
    Console(highlight=False, soft_wrap=True).print(
        f"{'lr_max':<14} [bold]{pick:.3g}[/bold] ({found['rule']}; all suggestions: "
        f"{place}lr_find.json, {place}lr_find.png)"
    )
    return pick


@contextlib.contextmanager
def begin(job: Job) -> Iterator[tuple[Job, runs.RunWriter, Plan]]:
    """The run of a task that only tests: all checked, the device set up, the precision found."""
    cfg = job.cfg
    with runs.RunWriter(job.directory) as run:
        run.record(task=job.choices["task"], seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit())
        with output.status("starting"):
            planned = plan(cfg, keep_data=job.in_sweep)
            run.record(device=distribution.start(cfg))
        yield precision.settle(job, run, planned.dataset), run, planned


@keras_internals.forgetting_gradients()
def carry_out(cfg: DictConfig, run: runs.RunWriter, dataset: Dataset, momentum: float | None) -> RangeTest:
    """One range test on a fresh model; an optimizer built without momentum has none to hold."""
    from sconv.lr_finder import finder
    from sconv.runner.build import build, record_model
    from sconv.training.attach import own_momentum

    own: dict[str, Any] = {"progressive_resizing": None}  # images that change in its course would move its loss too
    if cfg.freeze_epochs:
        own["freeze_epochs"] = cfg.lr_find.max_steps  # what is trained first
    cfg = cast(DictConfig, OmegaConf.merge(cfg, own))
    model, stream = build(cfg, dataset, _ANY)
    record_model(run, cfg, model)
    held = momentum if own_momentum(model.optimizer)[1] else None
    test = finder.LRFinder(momentum=held, **cfg.lr_find)
    with range_test_screen.watching(test, Console()):
        return finder.find(test, model, stream)


def _keep(run: runs.RunWriter, cfg: DictConfig, planned: Plan, test: RangeTest) -> None:
    run.table("lr_find.csv", {"learning_rate": test.learning_rates, "loss": test.losses, "smoothed": test.smoothed})
    run.picture("lr_find", figures.png(test.plot()))
    found = {name: vars(test)[name] for name in ("rule", "suggestions", "diverged_at", "problem", "caution")}
    asked = {"momentum": planned.schedule.peak_momentum, "settings": OmegaConf.to_container(cfg.lr_find)}
    outcome = {"suggestion": test.suggestions.get(test.rule), **found, "steps": len(test.losses)}
    run.facts("lr_find.json", {**outcome, **asked, "key": _key(cfg, planned)})


def _next_command(job: Job, pick: float) -> str:
    """The sweep to type: the pick, half of it and 2.5 times it, with what else the user asked for."""
    around = ",".join(f"{pick * factor:.2g}" for factor in (0.5, 1, 2.5))
    beside = [override for override in job.overrides if not re.match(_OF_THE_TEST, override.lstrip("+~"))]
    return shlex.join(["python", "-m", "sconv", "-m", f"lr_max={around}", *beside])


def _key(cfg: DictConfig, planned: Plan) -> str:
    """A fingerprint of all that a range test depends on."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    kept = {name: value for name, value in values.items() if name not in _IRRELEVANT}
    return digest([kept, planned.schedule.peak_momentum, runs.versions()])


def _found_before(job: Job, run: runs.RunWriter, planned: Plan) -> dict[str, Any] | None:
    """What the same test gave in another job of the sweep, with that job's name; None without one."""
    key = _key(job.cfg, planned)
    for other, found in runs.facts_of_others(job.directory, "lr_find.json"):
        if found.get("key") == key and isinstance(found.get("suggestion"), float):
            told = {**found, "from": found.get("from", other.name)}
            run.facts("lr_find.json", told)
            return told
    return None


def say_where(run: runs.RunWriter, console: Console, name: str) -> None:
    """Tell where the picture is."""
    where = checks.printable(os.path.relpath(run.directory / name))
    console.print(f"{'picture':<14} {where}.png", markup=False)
