"""How each line of a picture looks: a schedule has its colour and marker, what varies within one its dash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sconv.plots.figures import COLOURS, DASHES, GREY, Dash
from sconv.report.groups import Group, varying

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle")  # as Bokeh calls them
PALER = (0.0, 0.35, 0.6)  # share of white, a step for each round of dashes


@dataclass(frozen=True)
class Stroke:
    """A colour as #rrggbb, a dash and a marker."""

    colour: str
    dash: Dash
    marker: str


def strokes(groups: Sequence[Group], baselines: Sequence[Group]) -> list[Stroke]:
    """One for each group: options that vary tell the colours, grey is the baseline's; other settings tell the dashes.

    Where no option varies every group has a colour of its own.
    """
    varied = varying([group.choices for group in groups])
    keys = [_family(group.choices, varied) if varied else group.label for group in groups]
    grey = {key for key, group in zip(keys, groups, strict=True) if any(group is one for one in baselines)}
    coloured = [key for key in dict.fromkeys(keys) if key not in grey]
    seen: dict[str, int] = {}
    found = []
    for key in keys:
        place = seen[key] = seen.get(key, -1) + 1
        number = coloured.index(key) if key in coloured else -1
        colour = GREY if number < 0 else COLOURS[number % len(COLOURS)]
        pale = PALER[place // len(DASHES) % len(PALER)]
        found.append(Stroke(_paler(colour, pale), DASHES[place % len(DASHES)], MARKERS[(number + 1) % len(MARKERS)]))
    return found


def _family(choices: Mapping[str, str], varied: Sequence[str]) -> str:
    return json.dumps([choices.get(name) for name in varied])


def _paler(colour: str, share: float) -> str:
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)
