"""All that a running `fit` is made of, taken down for a checkpoint and put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from sconv import checks
from sconv.training import keras_internals, snapshot
from sconv.training.attach import attached_to, inner

# Of what a checkpoint holds: one more whenever older ones could no longer be put back.
_FORMAT = 1
MOST = 10**9  # epochs, or batches of one
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


def values(model: keras.Model) -> list[np.ndarray]:
    """The values of all the model's variables."""
    return [np.asarray(variable.numpy()) for variable in model.variables]


def take(model: keras.Model, schedule: Mapping[str, Any] | None, trained: Sequence[np.ndarray] = ()) -> dict[str, Any]:
    """The state of a fit between two executions; `schedule` is what `schedule_state` gave.

    At the end of a fit averages may have taken the weights' place: `trained` is what training left, to go on from.
    """
    history = model.history
    pairs = enumerate(zip(trained, values(model), strict=True)) if trained else ()
    return {
        "trained": {str(place): before for place, (before, now) in pairs if not np.array_equal(before, now)},
        "variables": snapshot.Snapshot(model).state(),
        "schedule": schedule,
        "history": {"epoch": history.epoch, "logs": history.history},
    }


def put_back(
    model: keras.Model, state: Mapping[str, Any], source: str, finished: bool, allow: Collection[str] = ()
) -> None:
    """Restore what `take` gave; SettingError where it is of another model or schedule. `source` is for the error."""
    snapshot.restore(model, state["variables"])
    if not finished:
        for place, value in state.get("trained", {}).items():
            model.variables[int(place)].assign(value)
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


def check(state: Any) -> None:
    """Raise LookupError, TypeError or ValueError unless a checkpoint holds what is read of it, each of its kind."""
    epoch, batch = state["position"]
    best, history, variables = state["best"], state["history"], state["variables"]
    numbers = [epoch, batch, *history["epoch"]]
    arrays = [value for name in ("model", "metrics", "optimizer", "generators") for value in variables[name]]
    kinds = {
        "position or history": all(type(number) is int and 0 <= number < MOST for number in numbers),
        "finished": type(state["finished"]) is bool,
        "settings or parts": isinstance(state["settings"], dict) and isinstance(state["parts"], dict),
        "best": isinstance(best["score"], (int, float)) and isinstance(best["file"], (str, type(None))),
        "logs": all(isinstance(values, list) for values in history["logs"].values()),
        "variables": all(isinstance(value, np.ndarray) for value in arrays),
        "schedule": isinstance(state["schedule"], (dict, type(None))),
        "trained": all(isinstance(value, np.ndarray) for value in state.get("trained", {}).values()),
    }
    for name, is_right in kinds.items():
        if not is_right:
            raise ValueError(f"{name} of another kind")
