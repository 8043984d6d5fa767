"""Whether a fit's moving averages have arrived, and what is done where they have not."""

from __future__ import annotations

import functools
import warnings
import zlib
from typing import Any

import keras
import numpy as np
from keras.layers import BatchNormalization

from sconv import checks
from sconv.training.attach import inner
from sconv.training.batch_statistics import check_predicts, compute, updatable

# Of training: by how much an average may lag behind the weights.
_LAG = 1 / 20


class FinalStatistics(keras.callbacks.Callback):
    """Have a fit end with statistics of batch normalisation that belong to its weights, by `update_bn` on `data`.

    `when` is true, false or "auto": where the averages cannot have arrived, or the optimizer averages the weights
    (`use_ema`), of which nobody took statistics. They are computed before the last validation, so that this is of the
    model that is left, and after the fit where that changed it again. The last of the callbacks. Layers whose averages
    training did not move, such as those that the model calls with training=False, keep them.

    Whether they have arrived: after n batches at momentum m their initial values still weigh m^n, about e^(-n (1 - m)),
    and they lag the weights by 1 / (1 - m) batches. The rule is that this lag be at most a twentieth of training,
    n (1 - m) >= 20: over that time a cycle's rate is next to nothing, and e^-20 is left of the beginning.

    `outcome` is what was done, in one line; None where nothing was.
    """

    def __init__(
        self, data: Any, when: bool | str = checks.AUTO, batch_size: int | None = None, steps: int | None = None
    ):
        super().__init__()
        self.when = checks.choice("update_bn", when, (True, False, checks.AUTO))
        self._data, self._batch_size, self._steps = data, batch_size, steps
        self.outcome: str | None = None

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        # Before a checkpoint is put back.
        self._found = {id(layer): _averages(layer) for layer in updatable(model)}

    def on_train_begin(self, logs: Any = None) -> None:
        self.outcome = None
        self._computed: int | None = None
        self._epoch = self._batch = 0
        if self.when is True:
            check_predicts(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch = batch

    def on_test_begin(self, logs: Any = None) -> None:
        if self._epoch == self.params["epochs"] - 1:
            self._update()

    def on_train_end(self, logs: Any = None) -> None:
        # By now the averaged weights have taken the others' place, or a callback those of its best epoch.
        if self._computed is None or _uses_ema(self.model) or self._computed != _fingerprint(self.model):
            self._update()

    def _update(self) -> None:
        reason = self._reason()
        if reason is None:
            return
        try:
            count = compute(self._moved(), self.model, self._data, self._batch_size, self._steps)
        except Exception as error:
            if self.when is True:
                raise
            # What was trained for hours is not to be lost by it.
            told = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"update_bn: {told[0]}; the statistics stay as they are", stacklevel=2)
            return
        self._computed = _fingerprint(self.model)
        self.outcome = f"of {count} layer{'s' if count != 1 else ''}, computed at the end ({reason})"

    def _reason(self) -> str | None:
        """Why the averages will not do; None where they will, or are to be left."""
        layers = self._moved()
        if self.when is False or not layers:
            return None
        if self.when is True:
            return "update_bn=true"
        if _uses_ema(self.model):
            return "of the averaged weights"
        batches = self.params["epochs"] * (self.params.get("steps") or self._batch + 1)
        momentum = max(layer.momentum for layer in layers)
        return f"{batches:,} batches are few at momentum {momentum:g}" if too_few(batches, momentum) else None

    def _moved(self) -> list[BatchNormalization]:
        layers = updatable(self.model)
        return [layer for layer in layers if not np.array_equal(_averages(layer), self._found.get(id(layer), ()))]


def too_few(batches: int, momentum: float) -> bool:
    """Whether a training of so many batches leaves moving averages of this momentum behind its weights."""
    return _LAG * batches * (1 - momentum) < 1


def _averages(layer: BatchNormalization) -> np.ndarray:
    return np.stack([np.asarray(moving.numpy()) for moving in (layer.moving_mean, layer.moving_variance)])


def _uses_ema(model: keras.Model) -> bool:
    optimizer = inner(model.optimizer)
    return any(part.use_ema for part in getattr(optimizer, "optimizers", [optimizer]))  # of a MultiOptimizer


def _fingerprint(model: keras.Model) -> int:
    """A number that changes with any of the weights, the statistics among them."""
    arrays = (np.ascontiguousarray(weight.numpy()) for weight in model.weights)
    return functools.reduce(lambda sum_, array: zlib.crc32(array.tobytes(), sum_), arrays, 0)
