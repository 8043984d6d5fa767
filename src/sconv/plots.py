"""Every picture: schedules, range tests, comparisons. Imports matplotlib only when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE = "#2a6fbb", "#d9772b"


def schedule(rates: np.ndarray, momenta: np.ndarray | None, title: str = "") -> Figure:
    """Learning rate, and momentum where there is one, against optimizer updates."""
    import matplotlib.pyplot as plt

    rows = 1 if momenta is None else 2
    figure, axes = plt.subplots(rows, 1, sharex=True, figsize=(7, 2.4 * rows), squeeze=False, layout="constrained")
    curves = [("learning rate", rates, BLUE), ("momentum", momenta, ORANGE)]
    for axis, (label, values, colour) in zip(axes[:, 0], curves, strict=False):
        axis.plot(values, color=colour)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("optimizer updates")
    if title:
        figure.suptitle(title)
    return figure
