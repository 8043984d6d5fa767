"""Schedule-free AdamW as its authors have it; Keras 3.15's takes the iterate out of the average once it has moved."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class ScheduleFreeAdamW(keras.optimizers.ScheduleFreeAdamW):
    """Keras's without weight decay and warm-up, and with the iterate of before the update in what is averaged.

    On TensorFlow Keras keeps it as a variable, and reads that after the update. Source: Defazio et al., "The road less
    scheduled" (arXiv 2405.15682), algorithm 1.
    """

    def __init__(self, learning_rate: float = 0.0025):
        super().__init__(learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        place, rate, slope = (
            self._get_variable_index(variable),
            ops.cast(learning_rate, variable.dtype),
            ops.cast(gradient, variable.dtype),
        )
        iterate, square = self._momentums[place], self._velocities[place]
        step = ops.cast(self.iterations + 1, variable.dtype)
        averaged = (variable - (1 - self.beta_1) * iterate) / self.beta_1
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * ops.square(slope))
        deviation = ops.sqrt(square / (1 - ops.power(self.beta_2, step))) + self.epsilon
        self.assign(iterate, iterate - rate * slope / deviation)
        averaged += (iterate - averaged) / step
        self.assign(variable, (1 - self.beta_1) * iterate + self.beta_1 * averaged)

    def averages(self) -> None:
        """Put the averages, which are what it is for, in place of where it had gradients, as its user has to."""
        for variable, iterate in self.iterates():
            variable.assign((variable - (1 - self.beta_1) * iterate) / self.beta_1)

    def iterates(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Each weight with its iterate, which begins where it does."""
        return list(zip(self._trainable_variables, self._momentums, strict=True))
