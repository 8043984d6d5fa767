"""A trial of a search as it trains: each epoch is told to the study, and what is hopeless there ends."""

from __future__ import annotations

import logging
from typing import Any

import keras
from omegaconf import OmegaConf

from sconv import runs
from sconv.runner.config import targets
from sconv.runner.sweeps.trial import Trial

log = logging.getLogger(__name__)


class Pruned(Exception):  # noqa: N818 - an outcome of training, not a fault of the program
    """A fit that ended because other trials were better at its epoch."""

    status = "pruned"


class PruneHopeless(keras.callbacks.Callback):
    """Tells the study the accuracy after each of `epochs`, and ends with `Pruned` where its pruner says so."""

    def __init__(self, trial: Trial, epochs: int):
        super().__init__()
        self._place, self._epochs = trial, epochs
        self._trial: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        pruner = targets.instantiate("hydra.sweeper.pruner", OmegaConf.create(self._place.pruner))
        try:
            study = runs.open_study(self._place.directory, pruner=pruner)
        except OSError as error:  # on a machine that does not share the disk
            log.warning("the study cannot be read here, and nothing is pruned: %s", error)
            return
        self._told = study.trials[self._place.number].intermediate_values
        self._trial = runs.running_trial(study, self._place.number)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        done, accuracy = epoch + 1, (logs or {})["val_accuracy"]
        if self._trial is None:
            return
        if done not in self._told:  # before a kill
            self._trial.report(accuracy, done)
        if self._place.after * self._epochs <= done < self._epochs and self._trial.should_prune():
            raise Pruned(f"accuracy {accuracy:.4f} after epoch {done} of {self._epochs} is behind the other trials'")
