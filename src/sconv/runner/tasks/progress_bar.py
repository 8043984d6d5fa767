"""How training looks while it works: a bar with the time left below a line for each epoch; those alone in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from sconv import output
from sconv.training.callbacks import ScheduleCallback

_BETWEEN = 0.1  # seconds between two pictures of the bar
_NARROW = 70  # columns of a terminal that has no room for all


class ProgressBar(keras.callbacks.Callback):
    """One bar over all updates of a fit and a line an epoch; where the output is no terminal, the lines alone.

    `driver` knows what the updates are made with, `seconds` how long training has taken; `monitored` is the split that
    Keras's val_ metrics are of. `brief` leaves a terminal the bar alone.
    """

    def __init__(
        self,
        driver: ScheduleCallback,
        seconds: Callable[[], float],
        monitored: str = "validation",
        brief: bool = False,
        console: Console | None = None,
    ):
        super().__init__()
        self._driver, self._seconds = driver, seconds
        self._accuracy = "test_acc" if monitored == "test" else "val_acc"
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._lines = not (brief and output.can_redraw(self.console))

    def on_train_begin(self, logs: Any = None) -> None:
        self._epoch, self._drawn = 0, 0.0
        if not output.can_redraw(self.console):
            return
        self._total = self.params["epochs"] * self.params["steps"]
        self._bar = Progress(*self._columns(), console=self.console, expand=True, transient=True)
        self._task = self._bar.add_task(self._label(), total=self._total, state="compiling")
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._bar is None:
            return
        steps = self.params["steps"]
        done, now = self._epoch * steps + min(batch + 1, steps), time.monotonic()
        if now - self._drawn < _BETWEEN and done < self._total:
            return
        self._drawn = now
        state = "  ".join(self._told(logs or {}))
        self._bar.update(self._task, completed=done, description=self._label(), state=state)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._lines:
            self.console.print(self._line(logs or {}), soft_wrap=True)

    def on_train_end(self, logs: Any = None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the terminal; also after an exception."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @property
    def _narrow(self) -> bool:
        return self.console.is_terminal and self.console.width < _NARROW

    def _columns(self) -> list[ProgressColumn]:
        begin = [TextColumn("{task.description}"), BarColumn(bar_width=None)]
        state, left = TextColumn("[cyan]{task.fields[state]}"), TimeRemainingColumn(compact=True)
        return (
            [*begin, state, left] if self._narrow else [*begin, MofNCompleteColumn(), state, left, TextColumn("left")]
        )

    def _label(self) -> str:
        epochs = str(self.params["epochs"])
        label = f"{self._epoch + 1}/{epochs}".ljust(2 * len(epochs) + 1)
        return label if self._narrow else f"epoch {label}"

    def _told(self, logs: dict[str, float]) -> list[str]:
        """The loss, and the learning rate and momentum of the latest update where there is room for them."""
        loss = logs.get("loss", float("nan"))
        told = [f"loss {loss:<7.4f}" if abs(loss) < 100 else f"loss {loss:<7.3g}"]
        if not self._narrow:
            values = self._driver.at_end_of_epoch()
            told.append(f"lr {values['learning_rate']:<#8.3g}")
            told += [f"mom {values['momentum']:<5.3f}"] if "momentum" in values else []
        return told

    def _line(self, logs: dict[str, float]) -> str:
        loss, *values = self._told(logs)
        accuracy = [f"{self._accuracy} {logs['val_accuracy']:<6.1%}"] if "val_accuracy" in logs else []
        told = [self._label(), loss, *accuracy, *values, f"{self._seconds():.1f} s"]
        return " ".join(part.strip() for part in told) if self._narrow else "  ".join(told)
