"""The device is a setting of pipelines that can choose, and refused where it cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from node.local.device import NoSuchDevice, device_used, with_device
from tests.node.local.odd_pipelines import Odd, OddByDevice


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which PyTorch finds two."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_a_pipeline_that_can_choose_is_told_which(device: str) -> None:
    assert with_device(OddByDevice, {"threshold": 3}, device) == {"threshold": 3, "device": device}


@pytest.mark.usefixtures("two_gpus")
def test_a_device_among_the_settings_counts_unless_another_one_is_named() -> None:
    assert with_device(OddByDevice, {"device": "cpu"}) == {"device": "cpu"}
    assert with_device(OddByDevice, {"device": "cpu"}, "cuda:0") == {"device": "cuda:0"}


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_any_pipeline_runs_on_the_cpu(device: str) -> None:
    settings = with_device(Odd, {"threshold": 3}, device)
    assert settings == {"threshold": 3}
    assert device_used(settings) == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_a_graphics_processor_is_refused_by_a_pipeline_that_has_no_use_for_it() -> None:
    with pytest.raises(NoSuchDevice, match="odd runs on the CPU only, so cuda:0 cannot be used; say auto or cpu"):
        with_device(Odd, {}, "cuda:0")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("kind", [Odd, OddByDevice])
def test_a_graphics_processor_that_is_not_there_is_refused(kind: Any) -> None:
    with pytest.raises(NoSuchDevice, match="cuda:0: is not on this machine"):
        with_device(kind, {}, "cuda:0")


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:-1", "CPU", "cpu\n"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(NoSuchDevice, match="should be auto, cpu, cuda or cuda:N"):
        with_device(OddByDevice, {}, device)


@pytest.mark.usefixtures("no_gpu")
def test_what_auto_has_meant_is_stated() -> None:
    assert device_used({"device": "auto"}) == "cpu"
    assert device_used({"device": "cuda:7"}) == "cuda:7"
