import io
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from pipelines.lab.trainer import StepTrainer
from pipelines.lab.training_log import CsvLog, Progress, Report, TensorBoardLog, read_log


class Clock:
    """Each step takes 20 seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(steps: int, *handlers: Any, begin: int = 0, stop: int | None = None, clock: Clock | None = None) -> None:
    """An engine whose figure is the number of the step."""

    def step(engine: Engine, _batch: Any) -> dict[str, float]:
        if engine.state.iteration == stop:
            raise KeyboardInterrupt
        if clock is not None:
            clock.now += 20.0
        return {"loss": float(engine.state.iteration)}

    engine = Engine(step)
    engine.load_state_dict({"iteration": begin, "max_epochs": 1, "epoch_length": steps})
    for handler in handlers:
        handler.attach(engine)
    engine.run(range(steps))


def test_a_function_is_told_every_few_steps() -> None:
    told: dict[int, Any] = {}
    run(7, Report(told.__setitem__, every=3))
    assert told == {3: {"loss": 3.0}, 6: {"loss": 6.0}}


def test_a_row_has_the_mean_of_its_steps_and_the_time_since_the_beginning(tmp_path: Path) -> None:
    clock = Clock()
    run(5, CsvLog(tmp_path / "new" / "log.csv", 2, clock), clock=clock)
    assert read_log(tmp_path / "new" / "log.csv") == [
        {"step": 2, "loss": 1.5, "seconds": 40.0},
        {"step": 4, "loss": 3.5, "seconds": 80.0},
    ]


def test_a_resumed_training_has_each_step_once_in_its_table(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        run(9, CsvLog(tmp_path / "log.csv", 1, clock), stop=8, clock=clock)
    later = Clock()
    run(9, CsvLog(tmp_path / "log.csv", 1, later), begin=4, clock=later)
    rows = read_log(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == list(range(1, 10))
    assert [row["seconds"] for row in rows] == [20.0 * step for step in range(1, 10)]


def test_a_new_training_writes_a_new_table(tmp_path: Path) -> None:
    run(3, CsvLog(tmp_path / "log.csv"))
    run(2, CsvLog(tmp_path / "log.csv"))
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == [1, 2]


def test_tensorboard_shows_each_step_once(tmp_path: Path) -> None:
    run(6, TensorBoardLog(tmp_path, every=1))
    run(8, TensorBoardLog(tmp_path, every=1), begin=4)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (tag,) = (tag for tag in events.Tags()["scalars"] if "loss" in tag)
    points = {event.step: event.value for event in events.Scalars(tag)}
    assert points == {step: float(step) for step in range(1, 9)}


def test_without_a_terminal_a_line_comes_now_and_then_and_at_the_end() -> None:
    text, clock = io.StringIO(), Clock()
    run(5, Progress("joints", Console(file=text), clock), clock=clock)
    lines = text.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "joints: step 2 of 5",
        "joints: step 4 of 5",
        "joints: step 5 of 5",
    ]
    assert "loss 2" in lines[0]
    assert lines[0].endswith("about 1 min left")


def test_a_terminal_shows_a_bar_that_is_taken_down_at_the_end() -> None:
    text = io.StringIO()
    progress = Progress("joints", Console(file=text, force_terminal=True, width=100))
    run(5, progress)
    assert "5/5" in text.getvalue()
    assert progress.bar is None


def test_an_error_ends_what_was_begun_and_is_told_to_the_caller(tmp_path: Path) -> None:
    def step(_batch: Any, _step: int) -> dict[str, float]:
        raise ValueError("of the step")

    network = nn.Linear(1, 1)
    text, tensorboard = io.StringIO(), TensorBoardLog(tmp_path)
    progress = Progress("joints", Console(file=text, force_terminal=True, width=100))
    trainer = StepTrainer(
        device="cpu",
        max_epochs=1,
        epoch_length=3,
        train_data_loader=[0, 1, 2],
        network=network,
        optimizer=torch.optim.SGD(network.parameters()),
        gradients=step,
        train_handlers=[progress, tensorboard],
    )
    with pytest.raises(ValueError, match="of the step"):
        trainer.run()
    assert progress.bar is None
    assert tensorboard.writer is not None
    assert tensorboard.writer.file_writer is None  # closed
