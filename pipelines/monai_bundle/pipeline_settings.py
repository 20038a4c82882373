"""The settings of a bundle's pipeline: its entry in the configuration, as pipelines have theirs."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator

from pipelines.device import DeviceSettings, device_name
from pipelines.monai_bundle.settings import BundleEntry


class MonaiBundleSettings(BundleEntry, DeviceSettings):
    """One entry of `bundles:`. Where the files lie says nothing of the result: their digest does."""

    said_by_weights: ClassVar[frozenset[str]] = frozenset({"path", "sha256", "python"})

    device: Annotated[str, AfterValidator(device_name)] = "auto"
