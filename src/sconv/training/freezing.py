"""The body of a model, which was trained before, and its head, which is new: told apart, frozen, and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

from sconv import checks
from sconv.training.keras_internals import flat_layers


def body_and_head(
    model: keras.Model, head: str | Sequence[str] | None = None
) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """The layers of `model` that have something to learn, frozen ones too: those of the body, and those of the head.

    `head` names the head's. Without it the body is the nested model, or models, where there are any beside other
    layers; else all but the last layer with weights, and what normalises behind that. Raises SettingError where that
    does not tell them apart.
    """
    if not model.built:
        expected = "expected one that is built (keras.Input, model.build or a call on a batch)"
        raise checks.SettingError(f"model: got {model.name}, which has no weights yet, {expected}")
    with flags_kept(model):
        _set_trainable([model], True)
        learning = [layer for layer in model.layers if layer.trainable_variables]
        chosen = _last(model, learning) if head is None else _named(head, learning)
    body = [layer for layer in learning if layer not in chosen]
    if not body or not chosen:
        names = ", ".join(layer.name for layer in learning)
        raise checks.SettingError(
            f"head: got {checks.shown(head)} of {model.name}, whose layers with weights are {names or 'none'}, "
            "expected the names of some of them: those that are new"
        )
    return body, chosen


@contextlib.contextmanager
def flags_kept(model: keras.Model) -> Iterator[None]:
    """Put back afterwards what is trainable in `model`, to each layer and each variable."""
    found = [(part, part.trainable) for part in (*flat_layers(model), *model.weights)]
    try:
        yield
    finally:
        # From the outside in, for a layer hands its flag on.
        for part, trainable in found:
            if part.trainable != trainable:
                part.trainable = trainable


def freeze(layers: Sequence[keras.layers.Layer]) -> None:
    """Have nothing in these layers learn; their batch normalisation runs as in evaluation."""
    _set_trainable(layers, False)


def unfreeze(layers: Sequence[keras.layers.Layer]) -> None:
    """Have layers that are frozen as a whole learn; where some learn already, the frozen ones stay so."""
    if not any(layer.trainable_variables for layer in layers):
        _set_trainable(layers, True)


def _set_trainable(layers: Sequence[keras.layers.Layer], trainable: bool) -> None:
    # Each by itself: one that has the flag already hands it on to none of its own.
    for each in (inside for layer in layers for inside in flat_layers(layer)):
        each.trainable = trainable


def _last(model: keras.Model, learning: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """The layers outside of nested models; without any of those, the last, if the layers are in an order."""
    outside = [layer for layer in learning if not isinstance(layer, keras.Model)]
    if len(outside) < len(learning):
        return outside
    if not isinstance(model, keras.Sequential) and (not hasattr(model, "outputs") or len(model.outputs) != 1):
        return []
    last = [place for place, layer in enumerate(learning) if any(len(w.shape) > 1 for w in layer.trainable_variables)]
    return list(learning[last[-1] :]) if last else []


def _named(head: str | Sequence[str], learning: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    names = [head] if isinstance(head, str) else checks.listed("head", head, "the names of layers")
    known = {layer.name: layer for layer in learning}
    return [known[checks.choice("head", name, known)] for name in names]
