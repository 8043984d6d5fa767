"""What came of the peers: ratios, targets that are missed, the table and the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import harness
from benchmarks.networks import NETWORKS, PRECISIONS
from sconv.plots.figures import BLUE, COLOURS, GREY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCONV, KERAS, LOOP, LIMIT = "sconv", "stock Keras", "tf.function", "convolutions"
PYTORCH = ("PyTorch", "PyTorch, compiled", "fastai")
SCHEDULED, CONSTANT = "sconv, not recorded", "sconv, constant rate"
Cell = Mapping[str, Any]

# What is asked for: images/s as ratios to the peers', in half of the cells more; seconds as ratios of sconv's own ways.
AT_LEAST = {"PyTorch": 1.0, "half": 1.2, "normalised": 1.15, "others": 1.0}
AT_MOST = {"schedule": 1.01, "recording": 1.05}
# Of the mean loss over the first epoch: what order, momentum and rounding change of it.
SAME_LOSS = 0.1


def compared(seconds: Mapping[str, np.ndarray], images: int) -> dict[str, dict[str, float]]:
    """Of the seconds [rounds, 2] of each peer: images/s, and sconv's ratio to it within the rounds."""
    rows = {}
    for name, times in seconds.items():
        row = {"images_per_second": images / float(np.median(times[:, 0]))}
        if SCONV in seconds:
            ratios = times / seconds[SCONV]
            row |= {**harness.spread(ratios[:, 0]), "processor_ratio": np.median(ratios[:, 1])}
        rows[name] = row
    return harness.rounded(rows)


def costs(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What the schedule and the recording take, as ratios within the rounds to the time without them."""
    pairs = {"schedule": (SCHEDULED, CONSTANT), "recording": (SCONV, SCHEDULED)}
    return {
        name: round(float(np.median(seconds[one][:, 0] / seconds[other][:, 0])), 4)
        for name, (one, other) in pairs.items()
        if one in seconds and other in seconds
    }


def best_pytorch(cell: Cell) -> str | None:
    """Which of PyTorch's ways was the fastest; None where none ran."""
    ran = [name for name in PYTORCH if name in cell["peers"]]
    return max(ran, key=lambda name: cell["peers"][name]["images_per_second"], default=None)


def figures(cell: Cell) -> dict[str, float | None]:
    """The ratios that are asked for; None for what was not measured."""
    peers = cell["peers"]
    best = best_pytorch(cell)

    def of(name: str | None) -> float | None:
        return peers.get(name, {}).get("ratio")

    measured = {"to_pytorch": of(best), "to_keras": of(KERAS), "of_limit": of(LIMIT)}
    return {**measured, **{name: cell["costs"].get(name) for name in AT_MOST}}


def told(cell: Cell) -> str:
    """What a cell is called."""
    return f"{cell['network']}, {'bf16' if cell['precision'] == PRECISIONS[1] else 'fp32'}"


def missed(cells: Sequence[Cell]) -> list[str]:
    """A line for each target that is not reached, for each peer that failed, and where losses differ."""
    lines = [f"{told(cell)}: {line}" for cell in cells for line in _missed(cell)]
    ratios = [found for cell in cells if (found := figures(cell)["to_pytorch"]) is not None]
    fast = sum(ratio >= AT_LEAST["half"] for ratio in ratios)
    if 2 * fast < len(ratios):
        lines.append(f"{fast} of {len(ratios)} cells at {AT_LEAST['half']} of PyTorch, expected half of them")
    return lines


def _missed(cell: Cell) -> Iterator[str]:
    for name, error in cell["errors"].items():
        yield f"{name} failed: {error}"
    network, found = NETWORKS[cell["network"]], figures(cell)
    share = network.share and network.share[PRECISIONS.index(cell["precision"])]
    least = {
        "to_pytorch": (AT_LEAST["PyTorch"], "of PyTorch"),
        "to_keras": (AT_LEAST["normalised" if network.normalised else "others"], "of stock Keras"),
        "of_limit": (share or 0.0, "of the convolutions alone"),
    }
    for name, (target, of) in least.items():
        if found[name] is not None and found[name] < target:
            yield f"{found[name]:.3f} {of}, expected {target}"
    for name, target in AT_MOST.items():
        asked = name == "schedule" or network.recorded
        if asked and found[name] is not None and found[name] > target:
            yield f"the {name} takes {found[name]:.3f} of the time without it, expected {target}"
    yield from _other_losses(cell["losses"])


def _other_losses(losses: Mapping[str, float]) -> Iterator[str]:
    own = losses.get(SCONV)
    for name, loss in losses.items():
        if own is not None and not abs(loss - own) <= SAME_LOSS * own:
            yield f"mean loss of the first epoch {own:.3f}, {name}'s {loss:.3f}"


def markdown(cells: Sequence[Cell], lines: Sequence[str], machine: Mapping[str, Any]) -> str:
    """The table of all cells, a word on the machine, and what is missed."""
    head = ("network", "batch", KERAS, LOOP, "PyTorch", SCONV, "convolutions alone", "to PyTorch", "to stock Keras")
    head = (*head, "of the limit", "schedule", "recording")
    rows = [head, ("---", *["--:"] * (len(head) - 1)), *(_row(cell) for cell in cells)]
    table = "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
    bullets = "\n".join(f"* {line}" for line in lines) or "* nothing"
    products = _products(cells)
    return (
        f"{table}\n\nImages per second, medians; then sconv's ratios within the rounds, with their quartiles, and the "
        f"time with the schedule and with the recording as ratios to that without. {machine['cores']} cores of "
        f"{machine['processor']}, {machine['threads']} threads each; matrix products: {products}.\n\n"
        f"Missed:\n\n{bullets}\n"
    )


def _products(cells: Sequence[Cell]) -> str:
    speeds: dict[str, list[float]] = {}
    for cell in cells:
        if (speed := cell["product_gflops"]) is not None:
            speeds.setdefault(told(cell).rpartition(", ")[2], []).append(speed)
    return ", ".join(f"{np.median(found):,.0f} GFLOP/s in {name}" for name, found in speeds.items()) or "not measured"


def _row(cell: Cell) -> tuple[str, ...]:
    best, found = best_pytorch(cell), figures(cell)

    def speed(name: str | None) -> str:
        if name in cell["errors"]:
            return "failed"
        return f"{cell['peers'][name]['images_per_second']:,.0f}" if name in cell["peers"] else ""

    def spread(name: str | None) -> str:
        row = cell["peers"].get(name, {})
        return f"{row['ratio']:.2f} ({row['quartile_1']:.2f}-{row['quartile_3']:.2f})" if "ratio" in row else ""

    of_limit, costs = found["of_limit"], [found[name] for name in AT_MOST]
    return (
        told(cell),
        str(cell["batch"]),
        *(speed(name) for name in (KERAS, LOOP, best or PYTORCH[0], SCONV, LIMIT)),
        spread(best),
        spread(KERAS),
        "" if of_limit is None else f"{of_limit:.2f}",
        *("" if cost is None else f"{cost:.3f}" for cost in costs),
    )


_BARS = ((KERAS, GREY), ("PyTorch", ORANGE), (SCONV, BLUE))


def picture(cells: Sequence[Cell]) -> Figure:
    """A panel for each network: bars of images/s in both precisions, and the convolutions alone as a line."""
    names = list(dict.fromkeys(cell["network"] for cell in cells))
    columns = min(len(names), 5)
    rows = -(-len(names) // columns)
    figure = new_figure(2.5 * columns, 2.6 * rows + 0.5, "constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel in panels[len(names) :]:
        panel.axis("off")
    for panel, name in zip(panels, names, strict=False):
        mine = [cell for cell in cells if cell["network"] == name]
        for place, cell in enumerate(mine):
            _bars(panel, place, cell)
        panel.set_title(name, fontsize=10)
        panel.set_xticks(range(len(mine)), [told(cell).rpartition(", ")[2] for cell in mine])
        panel.set_xlim(-0.6, len(mine) - 0.4)
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.tick_params(labelsize=8)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
        panel.set_ymargin(0.12)
    panels[0].set_ylabel("images/s")
    handles, labels = _legend(panels[: len(names)])
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _bars(panel: Any, place: int, cell: Cell) -> None:
    peers, best = cell["peers"], best_pytorch(cell)
    for number, (name, colour) in enumerate(_BARS):
        row = peers.get(best if name == "PyTorch" else name)
        if row is not None:
            panel.bar(place + 0.27 * (number - 1), row["images_per_second"], 0.25, color=colour, label=name)
    top = max((peers[name]["images_per_second"] for name in peers if name != LIMIT), default=0.0)
    if LIMIT in peers:
        limit = peers[LIMIT]["images_per_second"]
        # Far above the bars, as with networks that are hardly convolutions, it would only make them small.
        if limit <= 3 * top:
            ends = (place - 0.45, place + 0.45)
            panel.plot(ends, [limit] * 2, color=COLOURS[2], linewidth=2, label="its convolutions alone")
        else:
            panel.annotate(f"limit {limit:,.0f}", (place, top), (0, 2), textcoords="offset points", ha="center", size=7)


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
