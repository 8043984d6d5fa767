"""What is told of this record, with the numbers as results.csv has them: the whole page, which tell.py writes."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.search import tell

SETTINGS = ()
EVIDENCE = "docs/evidence.md"


def claims() -> Iterator[tuple[str, str]]:
    """A document and a sentence of it."""
    yield "experiments/search/README.md", tell.page()
    found = tell.searches()
    for task, said in (("mnist", "{} points on MNIST"), ("digits", "{} on digits")):
        repeats = sorted(repeat for of, kind, repeat in found if (of, kind) == (task, "random"))
        ours, theirs = (
            [tell.best(found[task, kind, repeat], 20)[0] for repeat in repeats]
            for kind in ("tpe, range test", "random")
        )
        yield EVIDENCE, said.format(tell.interval([one - other for one, other in zip(ours, theirs, strict=True)]))
    hit, spared = (tell.pruned(list(found.values()), *rule)[1] for rule in ((50, 0.25), (90, 0.5)))
    yield EVIDENCE, f"the best trial of {hit} of {len(found)} searches; the default, of {spared}"
