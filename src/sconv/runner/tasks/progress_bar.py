"""How training looks while it works: a bar with the time left, or a plain line an epoch."""

from __future__ import annotations

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar(keras.callbacks.Callback):
    """One bar over all updates of a fit; where the output is no terminal, a line an epoch.

    `monitored` is the split that Keras's val_ metrics are of.
    """

    def __init__(self, console: Console | None = None, monitored: str = "validation"):
        super().__init__()
        self._prefix = "test_" if monitored == "test" else "val_"
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._epoch = 0
        if not self.console.is_terminal:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self.console, expand=True, transient=True)
        total = self.params["epochs"] * self.params["steps"]
        self._task = self._bar.add_task(self._label(), total=total, state="compiling")
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._bar is not None:
            steps = self.params["steps"]
            done = self._epoch * steps + min(batch + 1, steps)
            state = f"loss {(logs or {}).get('loss', float('nan')):.3f}"
            self._bar.update(self._task, completed=done, description=self._label(), state=state)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._bar is None:
            told = {name.replace("val_", self._prefix): value for name, value in (logs or {}).items()}
            shown = " ".join(f"{name} {value:.4f}" for name, value in told.items())
            self.console.print(f"epoch {epoch + 1}/{self.params['epochs']} {shown}", soft_wrap=True)

    def on_train_end(self, logs: Any = None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the terminal; also after an exception."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _label(self) -> str:
        return f"epoch {self._epoch + 1}/{self.params['epochs']}"
