"""Private names of Keras that make variables before a first step; one test each in `tests/test_keras_internals.py`."""

from __future__ import annotations

from typing import Any

import keras
from keras.src import backend


def build_all(model: Any, batch: Any) -> None:
    """Make the variables of model, metrics and optimizer now, which a first step on such a batch would."""
    model._symbolic_build(data_batch=batch)


def build_metrics(model: Any, batch: Any) -> None:
    """Make the variables of the metrics of a graph of layers now, which a first step on such a batch would."""
    metrics = model._compile_metrics
    if metrics is None or metrics.built:
        return

    def symbol(leaf: Any) -> Any:
        return keras.KerasTensor(leaf.shape, keras.backend.standardize_dtype(leaf.dtype))

    x, y, weights = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(symbol, batch))
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    backend.compute_output_spec(model.compute_metrics, x, y, outputs, sample_weight=weights)
