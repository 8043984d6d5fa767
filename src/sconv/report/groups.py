"""Runs that differ only in their seed, and what tells such groups apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sconv import checks, runs
from sconv.report.reading import read
from sconv.runs import Run

# All but the seed are not about what is trained.
NOT_THE_SETTING = ("seed", "name", "resume_sweep", "resume", "resume_allow", "checkpoint", "on_divergence")

DEFAULT_BASELINE = "schedule=baseline"
LONGEST = 200  # characters of a setting as it is shown


@dataclass(frozen=True)
class Group:
    """Runs of one configuration; `config` is flat (`schedule.lr_max`) and without NOT_THE_SETTING."""

    label: str
    config: dict[str, Any]
    choices: dict[str, str]
    runs: tuple[Run, ...]

    @property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if run.summary["status"] == "finished"]

    @property
    def diverged(self) -> list[Run]:
        return [run for run in self.runs if run.summary["status"] == "diverged"]

    @property
    def monitored(self) -> str | None:
        """The split that accuracies by epoch are of, "validation" or "test"; None where no run got as far."""
        return next((run.summary["monitored"] for run in self.runs if "monitored" in run.summary), None)

    def accuracies(self, split: str) -> list[float]:
        """What the finished runs end at on a split; nothing on one that they have not."""
        found = [runs.accuracy(run.summary, split) for run in self.finished]
        return [value for value in found if value is not None]

    @property
    def ends_at(self) -> float:
        """Mean accuracy that the finished runs end at, on the split that they monitored: what choices go by."""
        return float(np.mean(self.accuracies(self.monitored or "test")))

    def node(self, name: str) -> dict[str, Any]:
        """The settings below one name, such as those of the dataset."""
        return {key: value for key, value in self.config.items() if key.partition(".")[0] == name}

    @property
    def statuses(self) -> Counter[str]:
        return Counter(run.summary["status"] for run in self.runs)


def gather(paths: Sequence[Path]) -> tuple[list[Group], list[str]]:
    """The groups of all training runs at or below `paths`, and a line for each thing left out."""
    found, notes = read(paths)
    by_config: dict[str, list[Run]] = {}
    for run in found:
        by_config.setdefault(json.dumps(_setting(run), sort_keys=True, default=str), []).append(run)
    if not by_config:
        raise checks.UserError("; ".join(["report: no training runs to compare", *notes]))
    kept = [_one_a_seed(members, notes) for members in by_config.values()]
    configs = [_setting(members[0]) for members in kept]
    named = labels(configs, [members[0].choices for members in kept])
    groups = [
        Group(label, config, members[0].choices, tuple(members))
        for label, config, members in zip(named, configs, kept, strict=True)
    ]
    notes += [note for group in groups for note in _mixtures(group)]
    return groups, notes


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as one level of dotted names."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        result.update(flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return result


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values are not the same in all of the flat `configs`."""
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if any(_differ(name, config, configs[0]) for config in configs)]


def varying(choices: Sequence[Mapping[str, str]]) -> list[str]:
    """The groups of options that are not the same in all of `choices`."""
    return [name for name in differing(choices) if not name.startswith("hydra/")]


def settings(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    """Each setting in which the groups differ, with its value in each of them; - where a group has none."""
    configs = [group.config for group in groups]
    return [(worded(name), [worded(config.get(name, "-")) for config in configs]) for name in differing(configs)]


def monitored(groups: Sequence[Group]) -> str:
    """What the accuracies of `groups` by epoch are of: "validation", "test", or "validation or test" where they mix."""
    found = {group.monitored for group in groups}
    return " or ".join(split for split in runs.SPLITS if split in found) or "test"


def matching(groups: Sequence[Group], wanted: str) -> list[Group]:
    """The groups that `wanted` names: `schedule=baseline`, several settings with blanks between, or a whole label."""
    labelled = [group for group in groups if group.label == wanted]
    if labelled:
        return labelled
    pairs = [pair.partition("=") for pair in wanted.split()]
    if not pairs or not all(key and value for key, _, value in pairs):
        raise checks.UserError(f"baseline: got {wanted!r}, expected settings such as schedule=baseline")

    def has(group: Group, key: str, value: str) -> bool:
        return group.choices.get(key) == value or (key in group.config and str(group.config[key]) == value)

    return [group for group in groups if all(has(group, key, value) for key, _, value in pairs)]


def labels(configs: Sequence[dict[str, Any]], choices: Sequence[dict[str, str]]) -> list[str]:
    """What tells each group from the others: options by name, the rest as it is given on the command line."""
    varied = varying(choices) or ["schedule"]
    parts = [[options.get(name, f"no {name}") for name in varied] for options in choices]
    # Inside a node whose option varies, only what varies under the same option is news.
    for name in differing(configs):
        node = name.partition(".")[0]
        for number, (config, options) in enumerate(zip(configs, choices, strict=True)):
            alike = [
                other
                for other, its in zip(configs, choices, strict=True)
                if node not in varied or its.get(node) == options.get(node)
            ]
            if name in config and any(_differ(name, other, config) for other in alike):
                parts[number].append(f"{name}={config[name]}")
    return [worded(" ".join(worded(word) for word in words), 3 * LONGEST) or "?" for words in parts]


def worded(value: Any, longest: int = LONGEST) -> str:
    """A setting as a text of at most `longest` characters."""
    text = str(value).strip()
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _differ(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (name in one, one.get(name)) != (name in other, other.get(name))


def _setting(run: Run) -> dict[str, Any]:
    return flat({key: value for key, value in run.config.items() if key not in NOT_THE_SETTING})


def _one_a_seed(members: list[Run], notes: list[str]) -> list[Run]:
    """The newest of several runs of one seed, a finished one first: they are the same experiment, not two samples."""
    newest: dict[Any, Run] = {}
    by_age = sorted(members, key=lambda run: str(run.summary.get("started", "")))
    for run in sorted(by_age, key=lambda run: run.summary["status"] == "finished"):
        seed = run.config.get("seed")
        if seed in newest:
            said = f"left out: {newest[seed].directory}: seed {seed} was run again in {run.directory.name}"
            notes.append(checks.printable(said))
        newest[seed] = run
    return [newest[seed] for seed in sorted(newest, key=str)]


def _mixtures(group: Group) -> list[str]:
    """What should have been the same in all runs of a group, and is not."""
    notes = []
    for what in ("device", "versions", "git_commit"):
        if len({json.dumps(run.summary.get(what), sort_keys=True) for run in group.runs}) > 1:
            notes.append(f"{group.label}: its runs differ in {what.replace('_', ' ')}")
    if len({run.summary["monitored"] for run in group.runs if "monitored" in run.summary}) > 1:
        notes.append(f"{group.label}: some of its runs monitored the validation split, some the test split")
    return notes
