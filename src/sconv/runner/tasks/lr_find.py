"""Range tests as a user asks for them: task=lr_find and lr_max=auto."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sconv import checks, runs
from sconv.datasets import Dataset
from sconv.lr_finder import plot
from sconv.lr_finder.result import RangeTest
from sconv.runner import build, plan
from sconv.runner.config import targets
from sconv.schedules import Schedule
from sconv.training import keras_internals

# What a range test does not depend on: two runs that differ only here share one.
_IRRELEVANT = ("task", "schedule", "epochs", "name", "lr_max", "experiment", "resume_sweep", "range_grid")


def lr_find(cfg: DictConfig) -> None:
    """task=lr_find: run the range test and leave its curve, its suggestions and its picture in a run directory."""
    with begin(cfg) as (cfg, run, schedule, dataset):
        test = carry_out(cfg, run, dataset, schedule.peak_momentum)
        _keep(run, cfg, schedule, test)
        console = Console(highlight=False, soft_wrap=True)
        for name, rate in test.suggestions.items():
            console.print(
                f"{name:<14} [bold]{rate:.3g}[/bold] (suggested)" if name == test.rule else f"{name:<14} {rate:.3g}"
            )
        say_where(run, console, "lr_find")
        run.record(lr_max=test.suggestion)


def find_lr_max(cfg: DictConfig, run: runs.RunWriter, schedule: Schedule, dataset: Dataset) -> float:
    """lr_max=auto: the pick of a range test with the parts of this very run; kept in its directory and told.

    In a sweep the test of a job that shares everything it depends on is taken over.
    """
    wanted = indifferent(cfg)
    found = _taken_over(run, _key(wanted, schedule))
    if found is None:
        test = carry_out(wanted, run, dataset, schedule.peak_momentum)
        _keep(run, wanted, schedule, test)
        found = {"suggestion": test.suggestion, "rule": test.rule}
    pick = float(found["suggestion"])
    origin = f", from {found['from']}" if "from" in found else ""
    run.record(lr_max=pick, lr_max_found_by=found["rule"])
    Console(highlight=False, soft_wrap=True).print(
        f"{'lr_max':<14} [bold]{pick:.3g}[/bold] ({found['rule']}{origin}; all suggestions: lr_find.json, lr_find.png)"
    )
    return pick


@contextlib.contextmanager
def begin(
    cfg: DictConfig, judge: Callable[[DictConfig], object] = lambda cfg: None
) -> Iterator[tuple[DictConfig, runs.RunWriter, Schedule, Dataset]]:
    """The run of a task that only tests: everything judged, also by `judge`, the device set up, what a test needs."""
    hydra = HydraConfig.get()
    with runs.RunWriter(Path(hydra.runtime.output_dir)) as run:
        task = str(hydra.runtime.choices["task"])
        run.record(task=task, seed=cfg.seed, versions=runs.versions(), git_commit=runs.git_commit())
        with Console().status("starting"):
            judge(cfg)
            plan.judge_range_test(cfg)
            schedule, dataset, _ = plan.judge(cfg)
            run.record(device=targets.instantiate("device", cfg.device))
        yield indifferent(cfg), run, schedule, dataset


@keras_internals.forgetting_gradients()
def carry_out(cfg: DictConfig, run: runs.RunWriter, dataset: Dataset, momentum: float | None) -> RangeTest:
    """One range test on a fresh model; an optimizer built without momentum has none to hold."""
    from sconv.lr_finder.finder import lr_find
    from sconv.training.attach import own_momentum

    model, stream = build.build(cfg, dataset)
    run.record(compute_dtypes=build.compute_dtypes(model))
    held = momentum if own_momentum(model.optimizer)[1] else None
    with Console().status("learning-rate range test"):
        return lr_find(model, stream, momentum=held, **cfg.lr_find)


def _keep(run: runs.RunWriter, cfg: DictConfig, schedule: Schedule, test: RangeTest) -> None:
    run.table("lr_find.csv", {"learning_rate": test.learning_rates, "loss": test.losses, "smoothed": test.smoothed})
    run.picture("lr_find", plot.png(test.plot()))
    outcome = {"suggestion": test.suggestions.get(test.rule), "rule": test.rule, "suggestions": test.suggestions}
    more = {"diverged_at": test.diverged_at, "problem": test.problem, "steps": len(test.losses)}
    settings = OmegaConf.to_container(cfg.lr_find)
    key = _key(cfg, schedule)
    run.facts("lr_find.json", {**outcome, **more, "momentum": schedule.peak_momentum, "settings": settings, "key": key})


def indifferent(cfg: DictConfig) -> DictConfig:
    """The configuration with an lr_max that says nothing: the range test has learning rates of its own."""
    cfg = copy.deepcopy(cfg)
    cfg.lr_max = checks.AUTO
    return plan.with_lr_max(cfg)


def _key(cfg: DictConfig, schedule: Schedule) -> str:
    """A fingerprint of all that a range test depends on; `cfg` is indifferent to lr_max."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    kept = {name: value for name, value in values.items() if name not in _IRRELEVANT}
    text = json.dumps([kept, schedule.peak_momentum, runs.versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _taken_over(run: runs.RunWriter, key: str) -> dict[str, Any] | None:
    """The outcome of the same test in another job of the sweep, copied into this run's directory; None without one."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    for other in runs.find(run.directory.parent):
        found = runs.read_facts(other, "lr_find.json")
        if found and found["key"] == key and found["suggestion"] is not None and other != run.directory:
            run.facts("lr_find.json", {**found, "from": found.get("from", other.name)})
            (run.directory / "lr_find.csv").write_bytes((other / "lr_find.csv").read_bytes())
            run.picture("lr_find", (other / "lr_find.png").read_bytes())
            return runs.read_facts(run.directory, "lr_find.json")
    return None


def say_where(run: runs.RunWriter, console: Console, name: str) -> None:
    """Tell where the picture is."""
    console.print(f"{'picture':<14} {os.path.relpath(run.directory / name)}.png")
