"""A schedule read inside the compiled step, for any stock Keras optimizer.

Keras traces an optimizer's momentum as a Python float: setting it from a callback changes nothing. `attach` puts the
schedule's table of values into a variable and has the traced update read the row of the optimizer's own counter.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv import checks
from sconv.schedules import Schedule
from sconv.training import keras_internals
from sconv.training.moving_momentum import MovingMomentum

_WITH_MOMENTUM = (
    "SGD, RMSprop and Muon have a momentum; Adam, AdamW, Nadam, Adamax, Lamb and Lion a beta_1 that takes its place"
)
_KEY = "_sconv_attachment"


def attach(optimizer: keras.optimizers.Optimizer, schedule: Schedule, steps: int) -> Attachment:
    """Have `schedule` drive the optimizer's next `steps` updates, from inside the compiled step.

    Works in place and on the instance, so that the optimizer stays a stock one and saves as such. Momentum is
    `momentum` where the optimizer has it (SGD, RMSprop, Muon: not its adam_beta_1), else `beta_1`; one that was built
    with 0 has none to cycle and is left alone, with a warning. Past `steps` the final values hold. Attaching again
    starts afresh. A function that was traced before goes on without the schedule: attach before the first step; for
    `fit` use the callback, which sees to that. Raises SettingError for an optimizer that holds a learning-rate
    schedule of its own, or lacks what the policy drives.
    """
    driven = inner(optimizer)
    if not isinstance(schedule, Schedule):
        raise checks.SettingTypeError(f"schedule: got {checks.shown(schedule)}, expected a sconv.schedules.Schedule")
    detach(driven)
    _refuse_conflicts(driven, schedule)
    drives_momentum = _drives_momentum(driven, schedule)
    rates, momenta = schedule.sample(steps)
    attachment = vars(driven).get(_KEY) or Attachment(driven)
    attachment.install(rates, momenta if drives_momentum else None)
    return attachment


def detach(optimizer: keras.optimizers.Optimizer) -> None:
    """Take the schedule off: the learning rate and momentum are those the user gave the optimizer.

    Needed only where a `fit` was cut short by an exception or Ctrl-C: Keras then calls no `on_train_end`.
    """
    attachment = attached_to(optimizer)
    if attachment is not None:
        attachment.remove()


def attached_to(optimizer: keras.optimizers.Optimizer) -> Attachment | None:
    """What drives the optimizer now; None where nothing does."""
    attachment: Attachment | None = vars(inner(optimizer)).get(_KEY)
    return attachment if attachment is not None and attachment.attached else None


def inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that makes the updates: under mixed_float16 Keras wraps it to scale the loss."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        allowed = "a keras.optimizers.Optimizer of Keras 3"
        raise checks.SettingTypeError(f"optimizer: got {checks.shown(optimizer)}, expected {allowed}")
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def own_momentum(optimizer: keras.optimizers.Optimizer) -> tuple[str | None, float]:
    """The attribute that is the optimizer's momentum, else its beta_1, and its value; None and 0 without either."""
    driven = inner(optimizer)
    name = next((name for name in ("momentum", "beta_1") if hasattr(driven, name)), None)
    return name, getattr(driven, name) if name else 0.0


def updates(optimizer: keras.Optimizer, epochs: int, batches: int | None, steps: float | None = None) -> int:
    """Optimizer updates in so many epochs of so many batches, unless their number is given."""
    if steps is not None:
        return checks.integer("steps", steps, at_least=1)
    if batches is None:
        raise checks.SettingError(
            "steps: got None and fit does not know how long its data is, expected the number of updates "
            "(epochs x steps per epoch), or steps_per_epoch in fit"
        )
    return epochs * batches // (inner(optimizer).gradient_accumulation_steps or 1)


class Attachment:
    """What `attach` puts on one optimizer; kept between uses, so that a traced step can be taken up again.

    `learning_rates` and `momenta` (None where momentum is left alone) are the host's copy of the table, one value an
    update. `owner` and `trace` are the callback's: itself while its fit runs, and what it may take up again.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.optimizer = optimizer
        self.attached = False
        self.owner: Any = None
        self.trace: Any = None
        # Of unknown length, so that a later fit of another length finds its trace still valid.
        self._table = keras_internals.plain_variable(np.zeros((1, 2), np.float32), shape=(None, 2))
        self._start = keras_internals.plain_variable(np.int64(0))
        self._on = keras_internals.plain_variable(False)

    def install(self, rates: np.ndarray, momenta: np.ndarray | None) -> None:
        """Fill the table, begin at the optimizer's present count, and put the readers on the instance."""
        self.learning_rates, self.momenta = rates, momenta
        # The user's variable, not a copy: it may be set again after `detach`.
        self._own_rate = self.optimizer.learning_rate
        self._momentum_name, self._own_momentum = own_momentum(self.optimizer)
        held = np.full_like(rates, self._own_momentum) if momenta is None else momenta
        self._table.assign(np.stack([rates, held], axis=1))
        self.begin_at(0)
        self._on.assign(True)
        # Written past __setattr__: what Keras tracks, it saves.
        vars(self.optimizer).update({_KEY: self, keras_internals.LEARNING_RATE: self._learning_rate})
        # Also where this schedule leaves momentum alone: the next one to take up the trace may not.
        if self._own_momentum:
            vars(self.optimizer)["apply"] = self._apply
        self.attached = True

    def begin_at(self, position: int) -> None:
        """Have the next update read the row `position`."""
        self._start.assign(self._count() - position)

    @property
    def position(self) -> int:
        """Number of updates since row 0, as if the run had begun there."""
        return self._count() - int(self._start)

    @property
    def own_learning_rate(self) -> float:
        """The value that the optimizer's own variable holds, whatever drives the updates."""
        return float(tf.convert_to_tensor(self._own_rate))

    def remove(self) -> None:
        """Take the readers off; a function that was traced with them goes on with the user's own values."""
        for name in (keras_internals.LEARNING_RATE, "apply"):
            vars(self.optimizer).pop(name, None)
        self._on.assign(False)
        self._table.assign([[0.0, self._own_momentum]])
        self.attached, self.owner = False, None
        if self.trace is not None:
            self.trace.give_back()

    def _count(self) -> int:
        # Through a tensor: under a distribution strategy the counter is a variable that int() does not know.
        return int(tf.convert_to_tensor(self.optimizer.iterations))

    @tf.autograph.experimental.do_not_convert
    def _learning_rate(self) -> tf.Tensor:
        own = tf.cast(tf.convert_to_tensor(self._own_rate), tf.float32)
        return tf.where(self._on, self._row()[0], own)

    @tf.autograph.experimental.do_not_convert
    def _apply(self, *args: Any, **kwargs: Any) -> None:
        # Restored to the user's own value rather than to what stood there: replicas trace this at the same time.
        attributes = vars(self.optimizer)
        attributes[self._momentum_name] = MovingMomentum(self._row()[1])
        try:
            type(self.optimizer).apply(self.optimizer, *args, **kwargs)
        finally:
            attributes[self._momentum_name] = self._own_momentum

    def _row(self) -> tf.Tensor:
        last = length(self._table) - 1
        return tf.gather(self._table, tf.clip_by_value(self.position_tensor(), 0, last))

    def position_tensor(self) -> tf.Tensor:
        """The row of the update under way, as a tensor of the step; at or past the table's length after its end."""
        return tf.convert_to_tensor(self.optimizer.iterations) - self._start


def length(variable: Any) -> tf.Tensor:
    """How many rows a plain variable has now."""
    # Not by `tf.shape`, which reads it: TensorFlow copies all of a variable whose rows are taken one by one.
    return tf.raw_ops.VariableShape(input=variable.handle, out_type=tf.int64)[0]


def _refuse_conflicts(optimizer: keras.optimizers.Optimizer, schedule: Schedule) -> None:
    kind = type(optimizer).__name__
    if kind == "ScheduleFreeAdamW" and schedule.has_momentum:
        raise checks.SettingError(
            "optimizer: got ScheduleFreeAdamW, expected momentum=None or another optimizer: "
            "it recovers its slow weights with the current beta_1, so a moving one trains wrongly"
        )
    if not isinstance(optimizer.learning_rate, keras.Variable):
        raise checks.SettingError(
            f"learning_rate: {kind} already holds a schedule of its own, expected a number: only one can drive it"
        )


def _drives_momentum(optimizer: keras.optimizers.Optimizer, schedule: Schedule) -> bool:
    """Whether the policy has a momentum, and the optimizer one to drive."""
    if not schedule.has_momentum:
        return False
    kind = type(optimizer).__name__
    name, own = own_momentum(optimizer)
    if name is None:
        raise checks.SettingError(
            f"momentum: {kind} has none for {schedule.name} to drive; {_WITH_MOMENTUM}; "
            "or leave it alone with momentum=None"
        )
    if not own:
        warnings.warn(
            f"{kind} was built with {name}=0 and has none to cycle: {schedule.name} drives its learning rate only",
            stacklevel=3,
        )
    return bool(own)
