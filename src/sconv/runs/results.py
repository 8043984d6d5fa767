"""What a run reached, each number under the name of the split that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SPLITS = ("validation", "test")


def monitored(validation: object) -> str:
    """The split that is evaluated after each epoch: validation where there is such a split, else test."""
    return "test" if validation is None else "validation"


def result(summary: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Loss and accuracy on one of SPLITS when it was last evaluated; empty where it was not."""
    if split == "test":
        return summary.get("test") or {}
    return _last(summary) if summary.get("monitored") == "validation" else {}


def accuracy(summary: Mapping[str, Any], split: str) -> float | None:
    """Accuracy on one of SPLITS when it was last evaluated; None where it was not."""
    return result(summary, split).get("accuracy")


def splits(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of SPLITS that a table of these runs has a column for: test always, validation where one has it."""
    held_out = any(accuracy(summary, "validation") is not None for summary in summaries)
    return list(SPLITS) if held_out else ["test"]


def completed(summary: dict[str, Any], validation: object) -> dict[str, Any]:
    """The summary of a run written before summaries said which split was monitored, with that and with `test`.

    `validation` is the share that its configuration held out, or None.
    """
    # A `test` beside `final` was then only written where there was a validation split.
    if "test" in summary or validation is not None:
        return {**summary, "monitored": "validation"}
    return {**summary, "monitored": "test", "test": _last(summary)}


def _last(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Loss and accuracy of the last epoch on the split that was monitored."""
    final = summary.get("final") or {}
    return {name: final.get(f"val_{name}") for name in ("loss", "accuracy") if final}
