"""What a search tried, in Optuna's own pictures; they are drawn where Optuna is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sconv import checks, runs

Pictures = dict[str, tuple[str, bytes]]  # title and PNG of each file
LARGEST = 2**26  # bytes of a journal that is read


def pictures(paths: Sequence[Path]) -> tuple[Pictures, list[str]]:
    """The pictures of each search among `paths`, by the names of their files, and a line on what cannot be drawn."""
    studies = [path for path in paths if (path / runs.STUDY).is_file()]
    if studies and importlib.util.find_spec("optuna") is None:
        return {}, ["the search's own pictures need pip install 'sconv[search]'"]
    found: Pictures = {}
    notes = []
    for number, path in enumerate(studies):
        suffix = f"-{number}" if len(studies) > 1 else ""
        try:
            if (path / runs.STUDY).stat().st_size > LARGEST:
                raise ValueError("it is too large")
            for name, (title, content) in _drawn(runs.open_study(path)).items():
                found[f"search-{name}{suffix}.png"] = (title, content)
        except Exception as error:  # a journal that somebody else may have written
            notes.append(checks.printable(f"{path / runs.STUDY} cannot be drawn: {checks.shown(str(error))}"))
    return found, notes


def _drawn(study: Any) -> Pictures:
    found: Pictures = {}
    with _quietly():
        for name, title, draw in _charts(study):
            # Of a single trial, or one value that all have, there are not all pictures.
            with contextlib.suppress(ValueError, RuntimeError):
                found[name] = (title, _png(draw()))
    return found


def _charts(study: Any) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    from optuna.visualization import matplotlib as charts

    objectives = study.user_attrs["search"]["objectives"]
    if len(objectives) > 1:
        yield (
            "front",
            "no trial is better in both than these",
            lambda: charts.plot_pareto_front(study, target_names=list(objectives)),
        )
        return
    name = str(objectives[0])
    yield "history", "the trials one after another", lambda: charts.plot_optimization_history(study, target_name=name)
    yield "slices", "the trials by each parameter", lambda: charts.plot_slice(study, target_name=name)
    yield "importance", "which parameter matters", lambda: charts.plot_param_importances(study, target_name=name)


def _png(axes: Any) -> bytes:
    from matplotlib import pyplot

    figure = getattr(axes, "flat", [axes])[0].figure
    image = io.BytesIO()
    try:
        figure.savefig(image, format="png", bbox_inches="tight", metadata={"Software": None})
        return image.getvalue()
    finally:
        pyplot.close(figure)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leave matplotlib's style as it was, and say nothing of what Optuna calls experimental."""
    from matplotlib import pyplot

    with warnings.catch_warnings(), pyplot.rc_context():
        warnings.simplefilter("ignore")
        yield
