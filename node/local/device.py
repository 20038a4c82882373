"""Which processor a pipeline is to use: a setting of pipelines that can choose, and refused where it cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.base import Pipeline
from pipelines.device import UnusableDevice, described, device_name, resolved

AUTO, CPU = "auto", "cpu"
DEVICE = "device"  # the setting


class NoSuchDevice(ValueError):
    """The device cannot be used; the message says what can."""


def with_device(kind: type[Pipeline], settings: Mapping[str, Any], device: str = AUTO) -> dict[str, Any]:
    """The settings, with the device for a pipeline that can choose.

    Parameters
    ----------
    kind
        The pipeline.
    settings
        A ``device`` among them counts unless `device` is another than auto.
    device
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    NoSuchDevice
        If it is none, the machine has none such, or the pipeline runs on the CPU only.
    """
    try:
        device_name(device)
        if device not in (AUTO, CPU):
            resolved(device)  # brings in torch, which nobody else needs yet
    except ValueError as error:
        raise NoSuchDevice(str(error)) from error
    if DEVICE in kind.settings_type.model_fields:
        return {DEVICE: device, **settings} if device == AUTO else {**settings, DEVICE: device}
    if device not in (AUTO, CPU):
        raise NoSuchDevice(f"{kind.name} runs on the CPU only, so {device} cannot be used; say auto or cpu")
    return dict(settings)


def device_used(settings: Mapping[str, Any]) -> str:
    """The device that a pipeline with these settings has used, in words; the CPU where it cannot choose."""
    if DEVICE not in settings:
        return CPU
    try:
        return described(resolved(str(settings[DEVICE])))
    except UnusableDevice:
        return str(settings[DEVICE])
