"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sconv.plots.figures import literal, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(counts: np.ndarray, names: Sequence[str], title: str = "") -> Figure:
    """Of each true class (rows) the share predicted as each class; with few classes the counts as well."""
    from sklearn.metrics import ConfusionMatrixDisplay

    side = float(np.clip(0.45 * len(names), 4.5, 14))
    figure = new_figure(side + 1.5, side + 0.5, "constrained")
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few, shades = len(names) <= 30, {"vmin": 0, "vmax": 1}
    picture = ConfusionMatrixDisplay(shares, display_labels=[literal(name) for name in names])
    picture.plot(ax=axis, include_values=few, cmap="Blues", xticks_rotation="vertical", colorbar=False, im_kw=shades)
    axis.set(title=literal(title), xlabel="predicted", ylabel="true")
    axis.tick_params(labelsize=7)
    for text, count in zip(picture.text_.flat, counts.flat, strict=True) if few else ():
        text.set(text=f"{count or ''}", fontsize=7)
    return figure
