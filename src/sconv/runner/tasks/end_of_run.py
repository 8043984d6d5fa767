"""What a run tells the person who waited: its picture, its numbers, and what to do where nothing was learned."""

from __future__ import annotations

import contextlib
import os

import numpy as np
from rich.console import Console

from sconv import checks, plots, runs
from sconv.lr_finder import smoothing

_ROSE = 2  # times the loss before the first update: no noise of batches


def tell(run: runs.RunWriter, lr_max: float | None, in_sweep: bool) -> None:
    """A short summary of a finished run; less of it where a sweep's table will follow."""
    summary, console = run.summary, Console(highlight=False, soft_wrap=True)
    if console.is_terminal and not console.options.ascii_only and not in_sweep:
        with contextlib.suppress(runs.BrokenRun):  # more than is drawn, or changed by somebody else
            console.print("\n".join(_picture(run, console.width)))
    validation = runs.accuracy(summary, "validation")
    if validation is not None:
        console.print(f"val accuracy   {validation:.4f}")
    console.print(f"test accuracy  [bold]{summary['test']['accuracy']:.4f}[/bold]")
    if not in_sweep:
        if summary["accelerated"]:
            console.print(f"accelerated    {summary['accelerated']}")
        if summary["batch_statistics"]:
            console.print(f"statistics     {summary['batch_statistics']}")
        training, total = summary["seconds"]["training"], summary["seconds"]["total"]
        console.print(f"steps          {summary['steps']:,} in {training:.1f} s of training, {total:.1f} s in all")
        console.print(f"run            {checks.printable(os.path.relpath(run.directory))}", markup=False)
        console.print(f"curves         {runs.curves(run.directory)}\n{runs.CYCLE}", markup=False)
    if not summary["learned"]:
        console.print(_advice(run, lr_max))


def _picture(run: runs.RunWriter, width: int) -> list[str]:
    """Accuracy above the cycle that was carried out, as the files of the run have them."""
    epochs, steps = runs.read_epochs(run.directory), runs.read_steps(run.directory)
    rates, momenta = steps["learning_rate"], steps["momentum"]
    accuracy = np.interp(steps["step"], epochs["step"] - 1, epochs["val_accuracy"], left=np.nan)
    knots = [phase["until_step"] for phase in run.summary["schedule"]["phases"]]
    name = f"{run.summary['monitored']} accuracy"
    return plots.cycle(
        rates,
        None if np.isnan(momenta).all() else momenta,
        knots,
        round(len(rates) / len(epochs["step"])),
        width,
        plots.Curve(name, accuracy, "green", 5, ".1%"),
    )


def _advice(run: runs.RunWriter, lr_max: float | None) -> str:
    """What to change where the loss says that nothing was learned."""
    ends = "the training loss ends where it began, or at chance"
    change = f"try another lr_max than {lr_max:.3g}"
    with contextlib.suppress(runs.BrokenRun):
        losses = runs.read_steps(run.directory)["loss"]
        highest = smoothing.smooth(losses, 0.9).max()
        if highest > _ROSE * abs(losses[0]):
            ends = f"the training loss rose to {highest:.3g} and {ends.removeprefix('the training loss ')}"
            change = f"lower lr_max={lr_max:.3g}"
    auto = "" if "lr_max_found_by" in run.summary else " (lr_max=auto looks for one)"
    return f"nothing learned: {ends}; {change}{auto}, or try another model="
