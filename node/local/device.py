"""Which processor a pipeline is to use: handed on to a pipeline that can choose, and refused where it cannot.

A pipeline can choose if its settings have a field ``device``, or its constructor has a parameter of that name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pipelines.base import Pipeline

AUTO, CPU = "auto", "cpu"
DEVICE = "device"
_KNOWN = re.compile(r"auto|cpu|cuda:\d{1,3}")


class NoSuchDevice(ValueError):
    """The device cannot be used by the pipeline; the message says what can."""


def constructed(kind: type[Pipeline], settings: Mapping[str, Any], device: str = AUTO) -> Pipeline:
    """A pipeline with its settings, told which device to use if it can be told.

    Parameters
    ----------
    kind
        Its class.
    settings
        For its `settings_type`; a ``device`` among them counts unless `device` says another.
    device
        auto, cpu or cuda:N.

    Raises
    ------
    NoSuchDevice
        If the pipeline cannot use it.
    pydantic.ValidationError
        If the settings are not the pipeline's.
    """
    if not _KNOWN.fullmatch(device):
        raise NoSuchDevice(f"{device!r}: should be auto, cpu or cuda:N, with the number of a graphics processor for N")
    if DEVICE in kind.settings_type.model_fields:
        told = dict(settings)
        if device != AUTO or DEVICE not in told:
            told[DEVICE] = device
        return kind(kind.settings_type(**told))
    checked = kind.settings_type(**settings)
    if DEVICE in inspect.signature(kind.__init__).parameters:
        return kind(checked, **{DEVICE: device})
    if device not in (AUTO, CPU):
        raise NoSuchDevice(f"{kind.name} runs on the CPU only, so {device} cannot be used; say auto or cpu")
    return kind(checked)


def device_of(pipeline: Pipeline) -> str:
    """The device that a pipeline says it uses: its attribute ``device``, or that of its settings; else the CPU."""
    for holder in (pipeline, getattr(pipeline, "settings", None)):
        if found := getattr(holder, DEVICE, None):
            return str(found)
    return CPU
