"""What the replicas of a strategy, on this machine and on others, have to know of each other."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sconv.training import keras_internals, keras_workers
from sconv.training.attach import attached_to

CHECKPOINT, STOP = 0, 1  # what any worker may ask all for


class Requests:
    """What any worker asks for, and all then know of after the same step, in which it was summed up with the loss."""

    def __init__(self) -> None:
        self._asked, self._heard = (keras_internals.plain_variable(np.zeros(2, np.float32)) for _ in range(2))
        self._wanted = np.zeros(2, np.float32)

    def ask(self, what: int, wanted: bool) -> bool:
        """Ask for it, or no longer, from the next step on; returns whether anybody had asked in the last."""
        if self._wanted[what] != wanted:
            self._wanted[what] = wanted
            self._asked.assign(self._wanted)
        return bool(self._heard[what] > 0)

    def whole_batch(self, loss: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
        """In a step: the mean of all replicas' losses, each counting by its examples, as of one process."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return loss
        own = tf.concat([[tf.stop_gradient(loss) * examples, examples], self._asked], 0)
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
        self._heard.assign(summed[2:])
        return summed[0] / summed[1]


def agreed(model: keras.Model, what: int, wanted: bool) -> bool:
    """Whether all workers do now what depends on a clock or a signal of one; of a single one, whether it wants to.

    Of several, in a fit that records its losses: where one wanted it in the last execution of steps.
    """
    if not several_workers(model.distribute_strategy):
        return wanted
    attachment = attached_to(model.optimizer)
    return attachment is not None and attachment.trace.requests.ask(what, wanted)


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether it is over processes that have to do all in step."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def weigh(model: keras.Model) -> None:
    """Have a replica's gradient count by its examples, where their numbers differ: the sum is that of the whole batch.

    Keras takes the mean of the replicas' means.
    """
    own = model.compute_loss

    @tf.autograph.experimental.do_not_convert
    def compute_loss(*args: Any, **kwargs: Any) -> Any:
        loss = own(*args, **kwargs)
        if kwargs.get("training") is False:
            return loss
        context, examples = tf.distribute.get_replica_context(), examples_in(args, kwargs)
        share = examples * context.num_replicas_in_sync / context.all_reduce(tf.distribute.ReduceOp.SUM, examples)
        shared = tf.cast(share, loss.dtype) * loss
        return shared + tf.stop_gradient(loss - shared)  # of the same value, which metrics weigh by themselves

    vars(model)["compute_loss"] = compute_loss  # past __setattr__: what Keras tracks, it saves


def shared_out(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """The batches, each replica with its own part of every one: as large as the others', or one less.

    Every worker makes whole batches, as one process would, and keeps the parts of its replicas: no example is seen
    twice.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = count // context.num_input_pipelines
        places = tf.range(here) + context.input_pipeline_id * here

        def parts(*batch: tf.Tensor) -> tf.data.Dataset:
            def part(place: tf.Tensor) -> tuple[tf.Tensor, ...]:
                size = tf.shape(batch[0])[0]
                return tuple(values[size * place // count : size * (place + 1) // count] for values in batch)

            return tf.data.Dataset.from_tensor_slices(places).map(part)

        return batches.flat_map(parts).prefetch(tf.data.AUTOTUNE)

    distributed = strategy.distribute_datasets_from_function(own)
    keras_workers.tell_length(distributed, int(batches.cardinality()))
    return distributed


def examples_in(*batch: Any) -> tf.Tensor:
    """How many examples a batch has, as a float."""
    tensors = (leaf for leaf in keras.tree.flatten(batch) if tf.is_tensor(leaf) and leaf.shape.rank)
    first = next(tensors, None)
    return tf.constant(1.0) if first is None else tf.cast(tf.shape(first)[0], tf.float32)


def values_of_all(strategy: tf.distribute.Strategy, variable: Any) -> np.ndarray:
    """A variable's values on all replicas, also those of other workers [replicas, ...]."""
    if not several_workers(strategy):
        return np.array(strategy.experimental_local_results(variable))

    @tf.function(autograph=False)
    def values() -> Any:
        return strategy.run(lambda: variable.read_value()[tf.newaxis])

    return strategy.gather(values(), axis=0).numpy()
