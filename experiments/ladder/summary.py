"""The table, the picture and the figures of the page, from the rows here and of two other records.

    python -m experiments.ladder.summary    # puts the table into README.md, and draws ladder.png

Needs neither Keras nor TensorFlow. Seconds are those of the updates, each at the median of its seconds.csv; tracing and
evaluations are in none of them. Intervals are of seeds and rounds drawn anew, those of each arm by themselves.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.cifar10_fast import summary as cifar10_fast
from sconv.plots.figures import BLUE, GREY, new_figure, save

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "keras_examples"
EXAMPLE, DOCUMENTED, DRAWS = "cutmix", "documented", 4_000
# Of each rung its name on the page, whose rows say how many updates it takes, what an update takes, and the batch.
RUNGS = (
    ("as documented, stock Keras", DOCUMENTED, "stock", 32),
    ("one cycle, with its range test", "one_cycle", "stock", 32),
    ("and fused normalisations", "one_cycle", "accelerated", 32),
    ("and bfloat16", "bfloat16", "bfloat16", 32),
    ("another network and recipe", "recipe", "fast", 256),
)


@dataclass(frozen=True)
class Arm:
    """A way to train: by numbers of epochs, rising, what each seed ended at and what that took."""

    epochs: list[int]
    ends: np.ndarray  # [lengths, seeds], percent
    updates: np.ndarray  # [lengths, seeds], with those of a range test
    work: list[float]  # million multiplications of an image, forward

    def first(self, target: float) -> int | None:
        """The place of the fewest epochs whose mean is as good."""
        good = np.flatnonzero(self.ends.mean(axis=1) >= target - 1e-9)
        return int(good[0]) if len(good) else None

    def drawn(self, rng: np.random.Generator) -> Arm:
        """With as many of its seeds drawn anew."""
        seeds = rng.integers(self.ends.shape[1], size=self.ends.shape[1])
        return Arm(self.epochs, self.ends[:, seeds], self.updates[:, seeds], self.work)


@dataclass(frozen=True)
class Rung:
    """How the target is reached; where it is not, never, and `accuracy` is the best mean."""

    name: str
    epochs: int | None
    accuracy: float
    updates: float
    seconds: float
    operations: float  # in 10^12, multiplications and additions, forward and backward


Arms = Mapping[str, Arm]
Seconds = Mapping[str, list[np.ndarray]]  # of an update, by round; of the recipe for each size of its images, rising


def read() -> tuple[Arms, Seconds]:
    """What was measured."""
    examples, own = pd.read_csv(EXAMPLES / "results.csv"), pd.read_csv(HERE / "results.csv")
    examples = examples[examples.example == EXAMPLE].rename(columns={"arm": "rung", "score": "accuracy"})
    examples["multiplications"] = own[own.rung == "bfloat16"].multiplications.iloc[0]  # of the same network
    rows = pd.concat([examples, own])
    steps, fast = pd.read_csv(EXAMPLES / "seconds.csv"), cifar10_fast.of_updates()
    steps = steps[steps.example == EXAMPLE]
    machines = {(row.processor, row.threads) for each in (steps, fast) for row in each.itertuples()}
    if len(machines) != 1:
        raise ValueError(f"seconds.csv: processor and threads are {machines}, expected one of both")
    seconds = {name: [steps[name].to_numpy()] for name in ("stock", "accelerated", "bfloat16")}
    seconds["fast"] = [mine.seconds.to_numpy() for _, mine in fast.groupby("share")]
    return {name: _arm(rows[rows.rung == name]) for _, name, *_ in RUNGS}, seconds


def _arm(rows: pd.DataFrame) -> Arm:
    """Of the lengths that all seeds went through."""
    seeds = rows.groupby("epochs").seed.nunique()
    lengths = {int(n): rows[rows.epochs == n].sort_values("seed") for n in seeds.index[seeds == seeds.max()]}
    ends = np.array([100 * mine.accuracy for mine in lengths.values()])
    updates = np.array([mine.updates + mine.search for mine in lengths.values()], float)
    return Arm(list(lengths), ends, updates, [float(mine.multiplications.mean()) for mine in lengths.values()])


def target(arms: Arms) -> float:
    """What the documented training ends at on average, in percent."""
    return float(arms[DOCUMENTED].ends[-1].mean())


def ladder(arms: Arms, seconds: Seconds) -> list[Rung]:
    """The rungs, from the documented training on."""
    wanted = target(arms)
    found = []
    for name, arm, column, batch in RUNGS:
        # The documented training was looked at after some of its epochs alone.
        found.append(_rung(name, arms[arm], wanted, seconds[column], batch, has_gaps=arm == DOCUMENTED))
    return found


def _rung(name: str, arm: Arm, wanted: float, rounds: list[np.ndarray], batch: int, has_gaps: bool) -> Rung:
    at = arm.first(wanted)
    if at is None:
        return Rung(name, None, float(arm.ends.mean(axis=1).max()), math.inf, math.inf, math.inf)
    epochs, updates = arm.epochs[at], float(arm.updates[at].mean())
    if has_gaps and at:
        # It may have been there one epoch after the last length that was too few.
        epochs, updates = arm.epochs[at - 1] + 1, updates / epochs * (arm.epochs[at - 1] + 1)
    each = [float(np.median(seconds)) for seconds in rounds]
    # Each size of images for an equal part of the epochs.
    an_update = float(np.mean([each[epoch * len(each) // epochs] for epoch in range(epochs)]))
    operations = 3 * 2e-6 * arm.work[at] * batch * updates
    return Rung(name, epochs, float(arm.ends[at].mean()), updates, updates * an_update, operations)


def factors(rungs: list[Rung]) -> list[float]:
    """How many times sooner each rung is at the target than the one before, the fourth and the last than the first."""
    taken = [rung.seconds for rung in rungs]
    each = [before / after if after < math.inf else 0.0 for before, after in itertools.pairwise(taken)]
    return [*each, taken[0] / taken[3], taken[0] / taken[-1]]


def intervals(arms: Arms, seconds: Seconds) -> list[str]:
    """The middle 95 % of the factors, where seeds and rounds are drawn anew; a target that is missed is never there."""
    rng, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        again = {name: arm.drawn(rng) for name, arm in arms.items()}
        timed = {name: [rng.choice(each, len(each)) for each in rounds] for name, rounds in seconds.items()}
        found.append(factors(ladder(again, timed)))
    low, high = np.quantile(found, [0.025, 0.975], axis=0, method="nearest")
    return [f"[{one:.1f}, {other:.1f}]" for one, other in zip(low, high, strict=True)]


def lines(rungs: list[Rung]) -> Iterator[str]:
    """The rows of the table."""
    for place, rung in enumerate(rungs):
        cells = ["never", "", "", ""]
        if rung.epochs is not None:
            cells = [str(rung.epochs), f"{rung.updates:,.0f}", f"{rung.seconds:,.0f}", f"{rung.operations:.0f}"]
        factor = f"{factors(rungs)[place - 1]:.1f}" if place else ""
        yield f"| {rung.name} | {cells[0]} | {rung.accuracy:.1f} | {' | '.join(cells[1:])} | {factor} |"


def whole(arms: Arms, seconds: Seconds) -> Iterator[str]:
    """The claims: what all of it comes to, what the same network gives, and of what that is made up."""
    rungs, ranges = ladder(arms, seconds), intervals(arms, seconds)
    *each, same, all_of_it = factors(rungs)
    slow, quick = rungs[0].seconds / 60, rungs[-1].seconds
    yield (
        f"{target(arms):.1f} % on JPEG copies of CIFAR-10 are there after {slow:.0f} minutes of updates as documented, "
        f"after {quick:.0f} seconds with another network and recipe: {all_of_it:.1f} times as soon {ranges[-1]}"
    )
    yield (
        f"{same:.1f} times {ranges[-2]} with the same network and batches: {each[0]:.1f} {ranges[0]} by the cycle, "
        f"{each[1]:.1f} by fused normalisations, {each[2]:.1f} by bfloat16"
    )


def lived(epochs: int) -> str:
    """What the last rung takes by the clock, all in all."""
    rows = pd.read_csv(HERE / "results.csv")
    mine = rows[(rows.rung == "recipe") & (rows.epochs == epochs)]
    return f"from images to the last evaluation its command takes {mine.seconds.mean():.0f} seconds, tracing included"


def draw(rungs: list[Rung]) -> None:
    """Bars of minutes to the target."""
    figure = new_figure(7.6, 2.9, layout="constrained")
    axes = figure.add_subplot()
    minutes = [rung.seconds / 60 if rung.epochs else 0.0 for rung in rungs]
    bars = axes.barh([rung.name for rung in rungs], minutes, color=[GREY] + [BLUE] * (len(rungs) - 1))
    axes.bar_label(bars, [f"{value:.1f} min" if value else "not reached" for value in minutes], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(minutes))
    axes.set_xlabel("minutes of updates to the same accuracy, two CPU cores")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, HERE / "ladder.png")


def main() -> None:
    page, measured = HERE / "README.md", read()
    rungs = ladder(*measured)
    table = "\n".join(lines(rungs))
    page.write_text(re.sub(r"(?<=\|\n)(\| (?!-).*\n)+", lambda _: table + "\n", page.read_text(), count=1))
    draw(rungs)
    print(*whole(*measured), sep="\n")


if __name__ == "__main__":
    main()
