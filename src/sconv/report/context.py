"""What the runs of a report were made of: with it a picture alone, or a screenshot, still means something."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sconv import runs
from sconv.report.groups import Group, worded

OURS = ("sconv.", "keras.")  # whose functions an option names; any other one is named itself
MOST = 8  # values of one kind that are listed
SHOWN_VERSIONS = ("sconv", "tensorflow", "keras", "numpy", "python")


def context(groups: Sequence[Group]) -> dict[str, str]:
    """What to know of all groups, by its name; where they differ the values of each, one after the other."""
    every = [run for group in groups for run in group.runs]
    found: dict[str, list[Any]] = {
        **{node: [_option(group, node) for group in groups] for node in ("dataset", "model", "optimizer")},
        "epochs": sorted((group.config.get("epochs") for group in groups), key=_rising),
        "batch size": [group.config.get("batch_size") for group in groups],
        "device": [_device(run.summary.get("device")) for run in every],
        "versions": [_versions(run.summary.get("versions")) for run in every],
        "trained": _days([str(run.summary.get("started", ""))[:10] for run in every]),
        "command": [runs.command(run.directory) for run in every],
    }
    return {name: text for name, values in found.items() if (text := _listed(values, name))}


def line(context: Mapping[str, str]) -> str:
    """All of it in one paragraph."""
    return " · ".join(f"{name} {text}" for name, text in context.items())


def _option(group: Group, node: str) -> str | None:
    target = str(group.config.get(f"{node}._target_", OURS[0]))
    return group.choices.get(node) if target.startswith(OURS) else target


def _rising(value: Any) -> tuple[float, str]:
    return (value if isinstance(value, (int, float)) else math.inf), str(value)


def _device(device: Any) -> str | None:
    if not isinstance(device, dict):
        return device and str(device)
    gpus = device.get("gpus")
    names = [str(name) for name in gpus] if isinstance(gpus, list) else []
    return ", ".join([*(names or [str(device.get("kind", "?"))]), f"{device.get('threads', '?')} threads"])


def _versions(versions: Any) -> str | None:
    if not isinstance(versions, dict):
        return versions and str(versions)
    return ", ".join(f"{name} {versions[name]}" for name in SHOWN_VERSIONS if name in versions)


def _days(days: Iterable[str]) -> list[str]:
    known = sorted(day for day in days if day)
    return [" to ".join(dict.fromkeys([known[0], known[-1]]))] if known else []


def _listed(values: Iterable[Any], name: str) -> str:
    texts = list(dict.fromkeys(worded(value) for value in values if value not in (None, "")))
    more = [f"and {len(texts) - MOST} more"] if len(texts) > MOST else []
    return (" | " if name in ("command", "versions") else ", ").join(texts[:MOST] + more)
