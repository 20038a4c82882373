"""Runs pipelines on files from Python, without a node: ``condyle.load("knee_super_resolution")("study/")``."""

from node.local.device import NoSuchDevice
from node.local.result import LocalResult as Result
from node.local.result import LocalResults as Results
from node.local.running import LocalPipeline as Pipeline
from node.local.volumes import LocalVolume as Volume
from pipelines.bundle import BundleError
from pipelines.registry import UnknownPipeline
from pipelines.registry import names as pipelines_installed

__all__ = [
    "BundleError",
    "NoSuchDevice",
    "Pipeline",
    "Result",
    "Results",
    "UnknownPipeline",
    "Volume",
    "load",
    "pipelines_installed",
]


def load(name: str, device: str = "auto", **settings: object) -> Pipeline:
    """Prepare a pipeline; what it gives back is called with files and folders. See `node.local.running`.

    Parameters
    ----------
    name
        One of `pipelines_installed`.
    device
        auto, cpu, cuda or cuda:N.
    settings
        Those of the pipeline, as the `settings` of a route in config.yaml.

    Raises
    ------
    UnknownPipeline
        If no pipeline of that name is installed; the message lists those that are.
    NoSuchDevice
        If the pipeline cannot use the device.
    pydantic.ValidationError
        If the settings are not the pipeline's; the message names the setting.
    BundleError
        If the bundle is not the one that the setting ``sha256`` names.
    OSError, ValueError
        If the files of the bundle are missing or cannot be used.
    """
    return Pipeline(name, device, **settings)
