"""A table of learning rates as Keras knows it. Imports Keras, which nothing else in this room does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("sconv")
class TableSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for every step; past the last one it holds. `Schedule.as_keras(steps)` makes it."""

    def __init__(self, rates: Sequence[float]):
        self.rates = np.asarray(rates, np.float32)

    def __call__(self, step: Any) -> Any:
        row = keras.ops.clip(keras.ops.cast(step, "int64"), 0, len(self.rates) - 1)
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates), row)

    def get_config(self) -> dict[str, Any]:
        return {"rates": [float(str(rate)) for rate in self.rates]}  # of a number in 32 bits the shortest text
