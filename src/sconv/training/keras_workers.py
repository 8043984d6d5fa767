"""Two faults of Keras 3 on TensorFlow under several workers, worked round: a `fit` stops at the first, then the second.

It builds a model on the mean of the replicas' first batches, which there is not across workers, nor where their sizes
differ; and it takes the mean over the workers of a step's numbers along an axis that numbers do not have.
`tests/training/test_workers.py` says when Keras no longer needs this.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# The first version that nobody has tried without.
_NOT_TRIED = (3, 16)
_REDUCE, _BUILD = "reduce_per_replica", "_maybe_symbolic_build"


def is_needed() -> bool:
    """Whether this Keras is known to have the faults."""
    return tuple(map(int, keras.__version__.split(".")[:2])) < _NOT_TRIED


def work_round(model: keras.Model) -> None:
    """Have this model, whose variables are all made, train on several replicas."""
    if not is_needed():
        return
    vars(model)[_BUILD] = lambda *_, **__: None
    from keras.src.backend.tensorflow import trainer

    own = getattr(trainer, _REDUCE)
    if own is not _reduced:
        vars(_reduced).setdefault("own", own)
        setattr(trainer, _REDUCE, _reduced)


def _reduced(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    """What Keras's function of that name does, and the mean of numbers over several workers."""
    if reduction == "concat" or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return vars(_reduced)["own"](values, strategy, reduction)
    return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)


def tell_length(distributed: Any, batches: int) -> None:
    """Have a distributed dataset say of how many batches it is; TensorFlow counts one worker's parts of them."""
    distributed._cardinality = batches
