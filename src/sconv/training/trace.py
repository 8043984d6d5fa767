"""The train function of fits with a schedule, and the loss of every update that is written down in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv.training import keras_internals, replicas
from sconv.training.acceleration import accelerated_layers
from sconv.training.attach import Attachment, length
from sconv.training.inputs import is_stock, make_variables

# What a metric's result knows the metric by.
_MEAN = "_sconv_mean"


class Trace:
    """A train function for fits with a schedule, which stands in for the model's plain one while they run.

    What is traced with a schedule would train a plain fit wrongly, and the other way round. One that records writes
    every update's own loss into a variable: what `compute_loss` gives or, of a `train_step` that does not call it, the
    `loss` in its logs, which is `told` once the step is traced. Under gradient accumulation a loss is the mean over the
    update's own micro-batches, with replicas the mean over them, each counting by its examples.
    """

    told = False

    def __init__(self, model: keras.Model, attachment: Attachment, recording: bool):
        self._model, self._attachment, self._records = model, attachment, recording
        self._plain, model.train_function = model.train_function, None
        self._makes_variables = is_stock(model)
        self._fused, self._own = accelerated_layers(model), None
        self._strategy = model.distribute_strategy
        # Of this worker; each writes what it knows of all.
        counter = keras_internals.batches_seen(attachment.optimizer).value
        self._here = len(self._strategy.experimental_local_results(counter))
        self.requests = replicas.Requests()
        # Of any length, so that a later fit of another length finds it still valid.
        shape = (None, self._here)
        self._losses = keras_internals.plain_variable(np.zeros((1, self._here), np.float32), shape)

    def serves(self, model: keras.Model, recording: bool) -> bool:
        """Whether it is of the model as it is compiled and computed now, and records where that is asked."""
        as_compiled = self._plain is model.train_function
        # Of a part of the model, or of layers it shares, `accelerate` leaves the model's own functions as they are.
        as_computed = self._fused == accelerated_layers(model)
        return as_compiled and as_computed and (self._records or not recording)

    def put_on(self) -> None:
        """Have the model train in it, and where it records, with room for the losses of the whole schedule."""
        model = self._model
        if self._records:
            # One slot more than updates, for all that comes after the last.
            self._losses.assign(tf.zeros((len(self._attachment.learning_rates) + 1, self._here)))
            self._own_compute_loss, self._own_train_step = model.compute_loss, model.train_step
            ours = {"compute_loss": self._compute_loss, "train_step": self._train_step}
            self._before = {name: vars(model)[name] for name in ours if name in vars(model)}
            # Past __setattr__, like everything that must not be tracked and saved.
            vars(model).update(ours)
            self._means = [metric for metric in model.metrics if isinstance(metric, keras.metrics.Mean)]
            for metric in self._means:
                vars(metric)["result"] = partial(_tagged_result, metric)
        keras_internals.add_to_epoch_logs(model, self._attachment.owner.at_end_of_epoch)
        model.train_function = self._own
        if self._own is None:
            model.make_train_function()
            self._own = model.train_function

    def before_a_step(self) -> None:
        """Make what the first step would; when every callback has had its say of the model."""
        if self._makes_variables:
            self._makes_variables = False
            make_variables(self._model)

    def give_back(self) -> None:
        """Leave the model as it was; one that was compiled anew since has another plain function by itself."""
        keras_internals.add_to_epoch_logs(self._model, None)
        if self._model.train_function is self._own:
            self._model.train_function = self._plain
        if vars(self._model).get("compute_loss") == self._compute_loss:
            del vars(self._model)["compute_loss"], vars(self._model)["train_step"]
            vars(self._model).update(self._before)
            for metric in self._means:
                vars(metric).pop("result", None)

    def read(self, rows: slice) -> np.ndarray:
        """The losses of these updates."""
        return self._losses[rows].numpy().mean(axis=1)

    def resume(self, losses: np.ndarray) -> None:
        """Go on after these losses, as `read` gave them from the first on."""
        room = len(self._attachment.learning_rates) + 1 - len(losses)
        column = np.concatenate([losses, np.zeros(max(room, 0), np.float32)])
        self._losses.assign(np.tile(column[:, None], self._here))

    @tf.autograph.experimental.do_not_convert
    def _train_step(self, data: Any) -> Any:
        self._computed = False
        # Before the step, whose update moves the counters.
        place, before = self._place(), [_sums(metric) for metric in self._means]
        logs = self._own_train_step(data)
        if not self._computed and isinstance(logs, dict) and "loss" in logs:
            self._write(self._of_step(logs["loss"], before), replicas.examples_in(data), *place)
        return logs

    def _of_step(self, told: Any, before: Sequence[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        """A step's own value: of a metric, which has the mean since the epoch began, what the step has added to it."""
        metric = getattr(told, _MEAN, None)
        if metric is None:
            return tf.reduce_mean(tf.cast(told, tf.float32))
        old, new = before[self._means.index(metric)], _sums(metric)
        return tf.math.divide_no_nan(new[0] - old[0], new[1] - old[1])

    @tf.autograph.experimental.do_not_convert
    def _compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._own_compute_loss(*args, **kwargs)
        # Not of an evaluation, which may come in the middle of an update's micro-batches.
        if kwargs.get("training") is not False:
            self._computed = True
            # Keras has divided it by the replicas, for the sum of their gradients to be a mean.
            own = tf.cast(loss, tf.float32) * self._strategy.num_replicas_in_sync
            self._write(own, replicas.examples_in(args, kwargs), *self._place())
        return loss

    def _place(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The slot of the update under way, and whether what this batch is a part of was begun by another."""
        optimizer = self._attachment.optimizer
        last = length(self._losses) - 1
        slot = tf.minimum(self._attachment.position_tensor(), last)
        counter = tf.convert_to_tensor(keras_internals.batches_seen(optimizer))
        return slot, counter % (optimizer.gradient_accumulation_steps or 1) != 0

    def _write(self, loss: tf.Tensor, examples: tf.Tensor, slot: tf.Tensor, begun: tf.Tensor) -> None:
        """Put a batch's loss, or its share of an update's, where this replica's are."""
        self.told = True
        parts = self._attachment.optimizer.gradient_accumulation_steps or 1
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64) % self._here
        share = self.requests.whole_batch(loss, examples) / parts
        if parts > 1:
            share += tf.where(begun, tf.gather(self._losses, slot)[replica], 0.0)
        self._losses.scatter_nd_update([[slot, replica]], [share])


def take_up(model: keras.Model, attachment: Attachment, recording: bool) -> Trace:
    """Have the model train in the trace of an earlier fit with a schedule, or in a new one where none serves.

    All share one, whatever their schedule and length; one that records serves those that record nothing.
    """
    if attachment.trace is None or not attachment.trace.serves(model, recording):
        attachment.trace = Trace(model, attachment, recording)
    attachment.trace.put_on()
    return attachment.trace


def _tagged_result(metric: keras.metrics.Mean) -> Any:
    """A metric's result that knows whose it is."""
    result = type(metric).result(metric)
    setattr(result, _MEAN, metric)
    return result


def _sums(metric: keras.metrics.Mean) -> tuple[tf.Tensor, tf.Tensor]:
    """What a mean is the quotient of."""
    total, count = (tf.convert_to_tensor(variable) for variable in (metric.total, metric.count))
    return tf.cast(total, tf.float32), tf.cast(count, tf.float32)
