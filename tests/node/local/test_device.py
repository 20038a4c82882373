"""The device is handed on to pipelines that can choose, and refused where it cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from node.local.device import NoSuchDevice, constructed, device_of
from tests.node.local.odd_pipelines import Odd, OddByDevice, OddOnDevice


@pytest.mark.parametrize("kind", [OddByDevice, OddOnDevice])
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:1"])
def test_a_pipeline_that_knows_devices_is_told_which(kind: Any, device: str) -> None:
    assert device_of(constructed(kind, {"threshold": 3}, device)) == device


def test_a_device_among_the_settings_counts_unless_another_one_is_named() -> None:
    assert device_of(constructed(OddByDevice, {"device": "cpu"})) == "cpu"
    assert device_of(constructed(OddByDevice, {"device": "cpu"}, "cuda:0")) == "cuda:0"


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_any_pipeline_runs_on_the_cpu(device: str) -> None:
    assert device_of(constructed(Odd, {}, device)) == "cpu"


def test_a_graphics_processor_is_refused_by_a_pipeline_that_has_no_use_for_it() -> None:
    with pytest.raises(NoSuchDevice, match="odd runs on the CPU only, so cuda:0 cannot be used; say auto or cpu"):
        constructed(Odd, {}, "cuda:0")


@pytest.mark.parametrize("device", ["", "gpu", "cuda", "cuda:", "cuda:-1", "CPU", "cpu\n"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(NoSuchDevice, match="should be auto, cpu or cuda:N"):
        constructed(OddByDevice, {}, device)


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        constructed(Odd, {"treshold": 3})
    with pytest.raises(ValidationError):
        constructed(Odd, {"device": "cpu"})
