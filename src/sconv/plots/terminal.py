"""Pictures made of characters."""

from __future__ import annotations

import numpy as np

# Dots of a braille character, four rows of two.
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def terminal(values: np.ndarray, width: int, height: int) -> list[str]:
    """`height` lines of `width` braille characters that draw the values from left to right, the highest on top.

    A picture for a terminal, in two by four dots a character; equal values are a line in the middle.
    """
    across, down = 2 * width, 4 * height
    drawn = np.interp(np.linspace(0, len(values) - 1, across), np.arange(len(values)), values)
    low, span = values.min(), np.ptp(values)
    levels = ((drawn - low) / span * (down - 1)).round().astype(int) if span else np.full(across, down // 2)
    dots = np.zeros((down, across), dtype=int)
    previous = levels[0]
    for column, level in enumerate(levels):
        # From the dot beside the last one up or down to this one, so that a steep line has no holes.
        bottom, top = sorted((level, previous + np.sign(level - previous)))
        dots[bottom : top + 1, column] = 1
        previous = level
    characters = (dots[::-1].reshape(height, 4, width, 2) * DOTS[:, None, :]).sum(axis=(1, 3))
    return ["".join(chr(0x2800 + code) for code in line) for line in characters]
