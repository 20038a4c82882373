from __future__ import annotations

from pathlib import Path

import pytest

from node import gpus
from node.config import Configuration


def run(**settings: object) -> Configuration:
    return Configuration.model_validate({"run": settings})


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)


def shown(configuration: Configuration, environment: dict[str, str] | None = None) -> list[str]:
    """What each process sees."""
    run = configuration.run
    there = gpus.gpus(run.gpus, environment or {})
    return [gpus.environment_of(slot, there, run.workers_per_gpu, None)[gpus.VISIBLE] for slot in range(run.workers)]


@pytest.mark.usefixtures("two")
def test_the_first_processes_get_a_gpu_each_and_the_others_none() -> None:
    assert shown(run(workers=3)) == ["0", "1", ""]
    assert shown(run(workers=5, workers_per_gpu=2)) == ["0", "1", "0", "1", ""]


@pytest.mark.usefixtures("two")
def test_gpus_are_named_by_number_or_left_to_others() -> None:
    assert shown(run(workers=2, gpus=[1])) == ["1", ""]
    assert shown(run(workers=2, gpus="none")) == ["", ""]
    assert shown(run(workers=1, gpus=[7])) == [""]


@pytest.mark.usefixtures("two")
def test_numbers_count_among_those_that_the_node_was_given() -> None:
    assert shown(run(workers=2), {gpus.VISIBLE: "GPU-a, GPU-b"}) == ["GPU-a", "GPU-b"]
    assert shown(run(workers=1, gpus=[1]), {gpus.VISIBLE: "5,3"}) == ["3"]
    assert shown(run(workers=1), {gpus.VISIBLE: ""}) == [""]


def test_without_a_gpu_every_process_computes_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    assert shown(run(workers=2)) == ["", ""]


def test_the_limit_of_memory_goes_to_processes_that_have_a_gpu() -> None:
    limits = [gpus.environment_of(slot, ("0", "1"), 1, 8192).get(gpus.MEMORY_LIMIT) for slot in range(3)]
    assert limits == ["8192", "8192", None]
