"""What is wrong with a bundle as the configuration names it, before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.bundle import BundleError
from pipelines.device import device_name, resolved
from pipelines.monai_bundle.findings import valued
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.running import DeclarativeRunner, keys_and_channels, require_understood
from pipelines.monai_bundle.settings import Boxes, BundleEntry, Classes, Points, Segmentation


def problems(settings: BundleEntry, *, build: bool) -> Iterator[tuple[str, str]]:
    """Key below the bundle's, and the sentence about it; nothing of the bundle is run.

    Parameters
    ----------
    settings
        Of the bundle.
    build
        Whether everything that a declarative bundle describes is built, and its weights are loaded.
    """
    try:
        folder = BundleFolder(settings.path)
        digest = folder.digest
        if digest != settings.sha256:
            yield "sha256", f"the bundle has the digest {digest}: put back the files that it was of, or correct sha256"
            return
        folder.parts()
    except BundleError as error:
        yield "path", str(error)
        return
    try:
        resolved(settings.device) if build else device_name(settings.device)
    except ValueError as error:
        yield "device", str(error)
    yield from _of_inputs(settings, folder)
    yield from _of_output(settings, folder)
    if settings.trust == "declarative":
        try:
            require_understood(folder.parts(), settings.output.kind)
        except BundleError as error:
            yield "trust", f"declarative: {error}"
            return
        try:
            if build:
                DeclarativeRunner(folder, settings.output.kind)
        except BundleError as error:
            yield "path", str(error)


def _of_inputs(settings: BundleEntry, folder: BundleFolder) -> Iterator[tuple[str, str]]:
    keys, channels = keys_and_channels(folder)
    names = set(settings.inputs)
    if names == set(keys) or len(names) == 1 == len(keys):
        if len(names) == 1 and channels > 1 and channels != 3:
            yield "inputs", f"has one input; the network takes {channels} channels, each an input of its own, in order"
    elif len(keys) > 1:
        yield "inputs", f"has {', '.join(settings.inputs)}; should be {', '.join(keys)}, which the bundle loads"
    elif channels and channels != len(names):
        yield "inputs", f"has {len(names)} inputs; the network takes {channels} channels"


def _of_output(settings: BundleEntry, folder: BundleFolder) -> Iterator[tuple[str, str]]:
    match settings.output:
        case Segmentation(segments=named):
            first, key = 1, "segments"
        case Classes(classes=named):
            first, key = 0, "classes"
        case Boxes(findings=named):
            first, key = 0, "findings"
        case Points(points=named):
            first, key = 0, "points"
        case _:
            return
    try:
        placed = valued(named, folder.channels, first)
    except ValueError as error:
        yield f"output.{key}", str(error)
        return
    known = folder.channels
    if (
        known
        and not isinstance(settings.output, Boxes)
        and (unknown := [n for n, v in placed.items() if v not in known])
    ):
        there = ", ".join(f"{value} {name}" for value, name in known.items())
        yield f"output.{key}.{unknown[0]}", f"has no label or channel of the bundle, which has: {there}"
