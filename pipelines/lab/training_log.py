"""What a training leaves to be read: a table, TensorBoard's events, and a line or a bar for whoever waits for it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events
from monai.handlers import TensorBoardStatsHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LINE_EVERY_S = 30.0  # between two lines where there is no terminal
STEP, SECONDS = "step", "seconds"


class Report:
    """Calls a function with the number of steps that are done and the figures of the last one.

    Parameters
    ----------
    call
        The function.
    every
        Steps from one call to the next.
    """

    def __init__(self, call: Callable[[int, Mapping[str, float]], object], every: int = 1) -> None:
        self.call, self.every = call, every

    def attach(self, engine: Engine) -> None:
        """Report the steps of this trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self)

    def __call__(self, engine: Engine) -> None:
        self.call(engine.state.iteration, engine.state.output)  # type: ignore[arg-type]


class CsvLog:
    """A table of the steps: step, every figure's mean since the row before, and seconds since the training began.

    A training that continues from its checkpoint drops the rows of the steps that it takes again.

    Parameters
    ----------
    path
        The file.
    every
        Steps of a row.
    clock
        In seconds.
    """

    def __init__(self, path: Path | str, every: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.every, self.clock = Path(path), every, clock
        self.sums: dict[str, float] = {}
        self.began = 0.0

    def attach(self, engine: Engine) -> None:
        """Keep the table of this trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)

    def _begin(self, engine: Engine) -> None:
        rows = read_log(self.path) if engine.state.iteration and self.path.exists() else []
        kept = [row for row in rows if row[STEP] <= engine.state.iteration]
        self.began = self.clock() - (kept[-1][SECONDS] if kept else 0.0)
        self.sums.clear()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            for row in kept:
                self._write(file, row)

    def _step(self, engine: Engine) -> None:
        for name, value in engine.state.output.items():  # type: ignore[union-attr]
            self.sums[name] = self.sums.get(name, 0.0) + value
        step = engine.state.iteration
        if step % self.every:
            return
        row = {STEP: step, **{name: total / self.every for name, total in self.sums.items()}}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            self._write(file, row | {SECONDS: self.clock() - self.began})
        self.sums.clear()

    @staticmethod
    def _write(file: Any, row: Mapping[str, float]) -> None:
        rows = csv.writer(file)
        if not file.tell():
            rows.writerow(row)
        rows.writerow(
            f"{value:.0f}" if name == STEP else f"{value:.1f}" if name == SECONDS else f"{value:.6g}"
            for name, value in row.items()
        )


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a table that `CsvLog` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


class TensorBoardLog:
    """Every figure of the steps as TensorBoard shows them.

    A training that continues from its checkpoint takes back what was written of the steps that it takes again.

    Parameters
    ----------
    folder
        For the events.
    every
        Steps from one point to the next.
    """

    def __init__(self, folder: Path | str, every: int = 10) -> None:
        self.folder, self.every = Path(folder), every
        self.writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Log the steps of this trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        for end in (Events.COMPLETED, Events.EXCEPTION_RAISED):
            engine.add_event_handler(end, self._end)

    def _begin(self, engine: Engine) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.folder), purge_step=engine.state.iteration + 1)
        TensorBoardStatsHandler(
            self.writer, iteration_log=self.every, epoch_log=False, output_transform=lambda output: output
        ).attach(engine)

    def _end(self, *_error: object) -> None:
        if self.writer is not None:
            self.writer.close()


class Progress:
    """A bar on a terminal; elsewhere a line from time to time.

    Parameters
    ----------
    title
        What is trained.
    console
        Where to show it; None: standard error.
    clock
        In seconds.
    """

    def __init__(
        self, title: str = "training", console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title, self.console, self.clock = title, console or Console(stderr=True), clock
        self.bar: RichProgress | None = None
        self.said = self.began = 0.0
        self.first = 0

    def attach(self, engine: Engine) -> None:
        """Show the steps of this trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        for end in (Events.COMPLETED, Events.EXCEPTION_RAISED):
            engine.add_event_handler(end, self._end)

    def _begin(self, engine: Engine) -> None:
        self.began = self.said = self.clock()
        self.first = engine.state.iteration
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = RichProgress(*columns, console=self.console)
            self.bar.add_task(self.title, total=_steps(engine), completed=self.first)
            self.bar.start()

    def _step(self, engine: Engine) -> None:
        step, steps, now = engine.state.iteration, _steps(engine), self.clock()
        figures = ", ".join(f"{name} {value:.4g}" for name, value in engine.state.output.items())  # type: ignore[union-attr]
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=step, description=f"{self.title}, {figures}")
        elif now - self.said >= LINE_EVERY_S or step == steps:
            self.said = now
            left_min = (now - self.began) / (step - self.first) * (steps - step) / 60
            line = f"{self.title}: step {step} of {steps}, {figures}; about {left_min:.0f} min left"
            self.console.print(line, highlight=False, soft_wrap=True)

    def _end(self, *_error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _steps(engine: Engine) -> int:
    return int(engine.state.max_epochs or 1) * int(engine.state.epoch_length or 0)
