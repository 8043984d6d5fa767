"""All that a running `fit` is made of, taken down for a checkpoint and put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from sconv import checks
from sconv.training import keras_internals, snapshot
from sconv.training.attach import attached_to, inner

# Of what a checkpoint holds: one more whenever older ones could no longer be put back.
_FORMAT = 1
# What may be another than it was, and what of a schedule is then.
ALLOWED = {"epochs": ("updates",), "lr_max": ("lr_max", "phases")}


def settings(model: keras.Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a fit to be taken up again; the schedule keeps its own."""
    return {
        "format": _FORMAT,
        "epochs": params["epochs"],
        "steps_per_epoch": params.get("steps"),
        "steps_per_execution": model.steps_per_execution,
        "optimizer": type(inner(model.optimizer)).__name__,
        "seed": keras_internals.global_seed(),
    }


def take(model: keras.Model, schedule: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state of a fit between two executions; `schedule` is what `schedule_state` gave."""
    history = model.history
    return {
        "variables": snapshot.Snapshot(model).state(),
        "schedule": schedule,
        "history": {"epoch": history.epoch, "logs": history.history},
    }


def put_back(
    model: keras.Model, state: Mapping[str, Any], source: str, finished: bool, allow: Collection[str] = ()
) -> None:
    """Restore what `take` gave; SettingError where it is of another model or schedule. `source` is for the error."""
    snapshot.restore(model, state["variables"])
    _put_back_schedule(model, state["schedule"], source, finished, allow)
    history = model.history
    history.epoch, history.history = list(state["history"]["epoch"]), dict(state["history"]["logs"])


def schedule_state(model: keras.Model) -> dict[str, Any] | None:
    """How far the schedule that drives this fit is; None without one."""
    driver = _driver(model)
    return None if driver is None else driver.state()


def _driver(model: keras.Model) -> Any:
    attachment = attached_to(model.optimizer)
    return None if attachment is None else attachment.owner


def _put_back_schedule(model: keras.Model, state: Any, source: str, finished: bool, allow: Collection[str]) -> None:
    driver = _driver(model)
    if driver is not None and state is not None:
        driver.restore(state, source, {name for each in allow for name in ALLOWED[each]})
    elif not finished:  # where it may be off already, or not yet on
        now, then = driver and driver.schedule.name, state and state["settings"]["schedule"]
        checks.same({"schedule": now}, {"schedule": then}, source)
