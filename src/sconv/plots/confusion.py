"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sconv.plots.figures import literal, new_figure, signs_of_any_script

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COUNTED = 30  # classes at most, that a cell has room for its count


def confusion(counts: np.ndarray, names: Sequence[str], title: str = "") -> Figure:
    """Of each true class (rows) the share predicted as each class; with few classes the counts as well.

    What is right and what is an error have a scale each: a few errors are seen beside many that are right.
    """
    from matplotlib.ticker import PercentFormatter
    from sklearn.metrics import ConfusionMatrixDisplay

    side = float(np.clip(0.45 * len(names), 4.5, 14))
    figure = new_figure(side + 2.2, side + 0.5, "constrained")
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(names), dtype=bool)
    errors, few = np.where(right, 0, shares), len(names) <= _COUNTED
    picture = ConfusionMatrixDisplay(errors, display_labels=[literal(name) for name in names])
    scale = {"vmin": 0, "vmax": errors.max() or 1}
    picture.plot(ax=axis, include_values=few, cmap="Oranges", colorbar=False, im_kw=scale)
    diagonal = axis.imshow(np.ma.masked_array(shares, ~right), cmap="Blues", vmin=0, vmax=1)
    axis.set(title=literal(title), xlabel="predicted", ylabel="true")
    axis.tick_params(labelsize=7)
    for image, label in ((picture.im_, "errors, of the true class"), (diagonal, "right")):
        bar = figure.colorbar(image, ax=axis, format=PercentFormatter(1), aspect=30, pad=0.02)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    for (true, predicted), count in np.ndenumerate(counts) if few else ():
        shade: dict[str, Any] = {}
        if true == predicted:
            shade["color"] = diagonal.cmap(0.0 if shares[true, true] > 0.5 else 1.0)
        picture.text_[true, predicted].set(text=f"{count or ''}", fontsize=7, **shade)
    _turn_labels_without_room(axis, figure)
    return figure


def _turn_labels_without_room(axis: Axes, figure: Figure) -> None:
    with signs_of_any_script():
        figure.draw_without_rendering()
    labels = axis.get_xticklabels()
    widest = max(label.get_window_extent().width for label in labels)
    if widest > 0.95 * axis.get_window_extent().width / len(labels):
        axis.tick_params(axis="x", labelrotation=90)
