"""Every private name of Keras and TensorFlow that is used, each behind one name of ours and each with one test.

A new version may move any of them: `tests/test_keras_internals.py` then says which one, what breaks, and what to do.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any

# TensorFlow is imported inside functions: the command line imports this module before it starts.

# Methods that an optimizer asks for on itself, so that one put on the instance takes their place.
LEARNING_RATE = "_get_current_learning_rate"  # read by the public `learning_rate`, in a step and outside
USES_WEIGHT_DECAY = "_use_weight_decay"  # whether a variable has decoupled weight decay

# The generator of (first batch, last batch, iterator) that an iterator over epochs makes for each; no last before 3.9.
_ENUMERATE = "_enumerate_iterator"
_EPOCH_LOGS = "_get_metrics_result_or_logs"  # of the metrics where the last execution told the same ones
# Keras's own name for the generator that seeds what is given no seed; a constant there only since 3.13.
_SEED_GENERATOR = "global_seed_generator"
# What TensorFlow calls the gradients that it registers by itself, a new one for every trace of an optimizer's step.
_OF_A_TRACE = "CustomGradient-"
_Call = Callable[[], None]


def uses_weight_decay(optimizer: Any, variable: Any) -> bool:
    """What the optimizer's own class says, after its `exclude_from_weight_decay`."""
    return bool(type(optimizer)._use_weight_decay(optimizer, variable))


def variable_key(optimizer: Any, variable: Any) -> Any:
    """What the optimizer knows a variable by, the same for a Keras variable, TensorFlow's in it, and a replica's."""
    return optimizer._var_key(variable)


def batches_seen(optimizer: Any) -> Any:
    """The counter of batches; the public `iterations` counts updates, fewer under gradient accumulation."""
    return optimizer._iterations


def epoch_iterator() -> Any:
    """What the `fit` that called us iterates over its epochs with; None outside of one."""
    return of_loop("epoch_iterator")


def of_loop(name: str, loops: Collection[str] = ("fit",), model: Any = None) -> Any:
    """What the nearest of these loops that called us, of this or any model, has under this name; None outside of it."""
    frames = (frame for frame in _callers() if frame.f_code.co_name in loops)
    within = (frame.f_locals for frame in frames if model is None or frame.f_locals.get("self") is model)
    return next((known[name] for known in within if "epoch_iterator" in known), None)


def _callers() -> Iterator[FrameType]:
    """The frames that called this module, from the nearest on."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is not globals():
            yield frame
        frame = frame.f_back


def add_to_epoch_logs(model: Any, more: Callable[[], Mapping[str, float]] | None) -> None:
    """Have `fit` put more into the logs of an epoch, before any callback sees them and before it evaluates; or not."""
    vars(model).pop(_EPOCH_LOGS, None)
    if more is None:
        return

    def epoch_logs(logs: Any) -> Any:
        told = getattr(type(model), _EPOCH_LOGS)(model, logs)
        # An evaluation asks for its logs in the same way.
        return {**told, **more(), **told} if next(_callers()).f_code.co_name == "fit" else told

    vars(model)[_EPOCH_LOGS] = epoch_logs


def begin_fit_at(model: Any, epoch: int | None) -> None:
    """Have the `fit` that is beginning begin at this epoch; None takes that back, for the next fit."""
    model._initial_epoch = epoch


def watch_epoch(model: Any, iterator: Any, batch: int, begin: _Call, between: _Call, rest: Any = None) -> None:
    """Have the next epoch begin at a batch.

    `begin()` is called after all callbacks have begun the epoch and before the first step, `between()` after all have
    seen the end of an execution and before any sees the next. `rest` is a dataset of the batches that are left; without
    one those before are made and thrown away.
    """
    size, whole = iterator.steps_per_execution, getattr(iterator, _ENUMERATE)

    def enumerate_rest() -> Iterator[Any]:
        del vars(iterator)[_ENUMERATE]
        executions, ended = whole(), True
        for first, *_, batches in itertools.islice(executions, -(-batch // size)):
            for _ in range(min(size, batch - first) if rest is None else 0):
                next(batches)
        begin()
        own = None if rest is None else iter(rest)
        for *places, batches in executions:
            ended = False
            yield *places, batches if own is None else own
            between()
        if ended:
            had = {name: vars(model)[name] for name in (_EPOCH_LOGS,) if name in vars(model)}
            vars(model)[_EPOCH_LOGS] = partial(epoch_logs, had)

    def epoch_logs(had: Mapping[str, Any], logs: Any) -> Any:
        del vars(model)[_EPOCH_LOGS]
        vars(model).update(had)
        return getattr(model, _EPOCH_LOGS)(model.get_metrics_result())  # there was no execution to tell

    vars(iterator)[_ENUMERATE] = enumerate_rest


def plain_variable(value: Any, shape: Any = None) -> Any:
    """A variable that no distribution strategy makes copies of: all replicas read and write the same one."""
    import tensorflow as tf
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    with tf.init_scope():
        return ResourceVariable(value, shape=shape, trainable=False)


def flat_layers(model: Any) -> list[Any]:
    """The model, its layers, and theirs in turn."""
    return list(model._flatten_layers())


def in_xla() -> bool:
    """Whether what is being traced will be compiled by XLA."""
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def under_a_tape() -> bool:
    """Whether gradients may be asked of what is computed or traced now."""
    from tensorflow.python.eager.record import could_possibly_record

    return bool(could_possibly_record())


def onednn_is_on() -> bool:
    """Whether TensorFlow computes with oneDNN, which is decided where it starts."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def seed_generator() -> Any:
    """Keras's global seed generator; None where nothing has drawn from it yet."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute(_SEED_GENERATOR)


def set_seed_generator(generator: Any) -> None:
    """Put Keras's global seed generator back, or None."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute(_SEED_GENERATOR, generator)


def make_seed_generator() -> None:
    """Have Keras make its global seed generator, as the first thing that draws from it does."""
    from keras.src.random.seed_generator import global_seed_generator

    global_seed_generator()


def global_seed() -> int | None:
    """What `tf.random.set_seed` was called with; None before."""
    from tensorflow.python.eager import context

    return None if (seed := context.global_seed()) is None else int(seed)


def operation_seeds() -> random.Random | None:
    """What seeds operations that are given no seed, such as tf.data's shuffle; None before `tf.random.set_seed`."""
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


@contextlib.contextmanager
def forgetting_gradients() -> Iterator[None]:
    """Drop from TensorFlow's registry the gradients of what is traced inside; through them it keeps every graph.

    For a model that is not trained on afterwards. What was registered before, and under a name, stays.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in [name for name in registered if name.startswith(_OF_A_TRACE) and name not in before]:
            del registered[name]
