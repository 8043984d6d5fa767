"""study.journal: what a search tried and what came of it, as Optuna's journal, which several processes may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Optuna is imported inside functions: only a search needs it.

STUDY = "study.journal"
_NAME = "search"


def mend_study(directory: Path) -> None:
    """End what a kill may have left half done: the caller alone has the search."""
    path = directory / STUDY
    path.with_name(f"{STUDY}.lock").unlink(missing_ok=True)
    if path.is_file():
        with open(path, "r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def open_study(directory: Path, directions: Any = None, pruner: Any = None) -> Any:
    """The Optuna study of a search; with `directions` one is made where there is none. Raises FileNotFoundError."""
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = directory / STUDY
    if directions is None and not path.is_file():  # which would be made
        raise FileNotFoundError(path)
    # Its other lock is a link, and one that a kill left would look like somebody else's.
    backend = journal.JournalFileBackend(str(path), journal.JournalFileOpenLock(str(path)))
    storage = optuna.storages.JournalStorage(backend)
    if directions is None:
        return optuna.load_study(study_name=_NAME, storage=storage, pruner=pruner)
    return optuna.create_study(study_name=_NAME, storage=storage, directions=directions, load_if_exists=True)


def running_trial(study: Any, number: int) -> Any:
    """A trial that is running, to be told of, in whichever process asked for it."""
    import optuna

    return optuna.trial.Trial(study, study.trials[number]._trial_id)
