"""A bundle made ready to run, and what it makes of images: by MONAI's objects here, or in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput, of_the_machine
from pipelines.monai_bundle.folder import BundleFolder, Parts
from pipelines.monai_bundle.reading import UnreadableBundle

Array = NDArray[Any]


class Arrays:
    """One input as MONAI reads it: the array, its axis of channels, and its affine (index to RAS, mm)."""

    def __init__(self, array: Array, affine: Array, channel_dim: int | None) -> None:
        self.array, self.affine, self.channel_dim = array, affine, channel_dim


class Runner(Protocol):
    """Something that runs a bundle."""

    remark: str  # what the report has to say of how the last run was computed; empty: nothing

    def run(self, images: Mapping[str, Arrays], kind: str) -> dict[str, Array]:
        """What `pipelines.monai_bundle.execution.execute` gives for these images and this kind of output."""


class DeclarativeRunner:
    """Runs what was read statically, in this process.

    Parameters
    ----------
    folder
        Of the bundle.
    device
        As torch names it.
    autocast
        Whether the network computes in half precision on a GPU.
    network
        In place of the bundle's own, for the test of its transforms; None: its own with its weights.

    Raises
    ------
    UnreadableBundle
        If something of it is not understood, or its weights cannot be read; the message says what.
    CannotBeBuilt
        If MONAI does not take what the configuration describes.
    """

    def __init__(
        self, folder: BundleFolder, kind: str, device: str = "cpu", *, autocast: bool = False, network: Any = None
    ) -> None:
        from pipelines.monai_bundle.building import Builder

        parts = folder.parts()
        require_understood(parts, kind)
        builder = Builder(device)
        self._folder, self._device, self._autocast, self.remark = folder, device, autocast, ""
        self._preprocessing = builder.built(parts.preprocessing)
        self._postprocessing = builder.built(parts.postprocessing)
        self._inferer = builder.built(parts.detector if kind == "boxes" else parts.inferer)
        self._network = network
        if network is None:
            from pipelines.monai_bundle.weights import load_into

            self._network = builder.built(parts.network)
            load_into(self._network, folder.weights_file)
            self._network.eval().to(device)
        if kind == "boxes":
            self._inferer.eval()

    def run(self, images: Mapping[str, Arrays], kind: str) -> dict[str, Array]:
        """What the bundle makes of images; where the memory of a GPU ends, on the CPU.

        Raises
        ------
        UnsuitableInput
            If its transforms or its network do not take them.
        UnreadableBundle
            If it needs a package that is not installed.
        """
        import torch

        from pipelines.device import with_fallback

        device = torch.device(self._device)

        def on(where: torch.device, _: float) -> dict[str, Array]:
            if where == device:
                return self._run(images, kind)
            return DeclarativeRunner(self._folder, kind, str(where))._run(images, kind)

        made, self.remark = with_fallback(on, device, shares=(1.0,))
        return made

    def _run(self, images: Mapping[str, Arrays], kind: str) -> dict[str, Array]:
        from pipelines.monai_bundle.execution import execute, tensor

        given = {key: tensor(one.array, one.affine, one.channel_dim) for key, one in images.items()}
        parts = (self._network, self._preprocessing, self._inferer, self._postprocessing)
        with _errors_in_words():
            return execute(*parts, given, kind, self._device, self._autocast)

    def seen(self, images: Mapping[str, Arrays]) -> Array:
        """What the network is shown of images, (C, ...); raises as `run`."""
        from pipelines.monai_bundle.execution import prepared, tensor

        given = {key: tensor(one.array, one.affine, one.channel_dim) for key, one in images.items()}
        with _errors_in_words():
            return np.asarray(prepared(self._preprocessing, given)[1])


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """Tell errors of the images from those of the machine and of the set-up."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        if of_the_machine(error) or "out of memory" in str(error):
            raise
        if (package := _missing_package(error)) is not None:
            raise UnreadableBundle(f"needs a package that is not installed here: {package}") from error
        raise UnsuitableInput(f"the bundle does not take these images: {_why(error)}") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _missing_package(error: Exception) -> str | None:
    """What a transform could not import, where that is why it failed."""
    for one in _causes(error):
        if isinstance(one, ImportError) or (isinstance(one, RuntimeError) and str(one).startswith("Skimage")):
            return str(one).splitlines()[0][:200]
    return None


def _why(error: Exception) -> str:
    """The innermost reason: MONAI wraps what a transform says in the name of the transform."""
    innermost = list(_causes(error))[-1]
    return next(iter(str(innermost).splitlines()), type(innermost).__name__)[:300]


def require_understood(parts: Parts, kind: str) -> None:
    """Make sure that everything that a declarative bundle needs was understood.

    Raises
    ------
    UnreadableBundle
        If not; the message names every place.
    """
    if parts.unread:
        listed = "; ".join(one.sentence for one in parts.unread)
        raise UnreadableBundle(f"is not understood whole, so it does not run with trust: declarative: {listed}")
    if kind == "boxes" and parts.detector is None:
        raise UnreadableBundle("has no detector: output.kind boxes is for configurations with a RetinaNetDetector")


def keys_and_channels(folder: BundleFolder) -> tuple[tuple[str, ...], int]:
    """The keys of the images that a bundle loads, and how many channels its network takes (0: not said)."""
    loaded = folder.parts().loaded
    described = folder.inputs.get(loaded[0] if loaded else "image") or next(iter(folder.inputs.values()), {})
    channels = described.get("num_channels")
    return loaded or ("image",), channels if isinstance(channels, int) else 0


def weights_or_none(folder: BundleFolder) -> Path | None:
    """The file of weights, where there is one."""
    try:
        return folder.weights_file
    except UnreadableBundle:
        return None


def as_float(values: Array) -> NDArray[np.float32]:
    """The values as float32."""
    return np.asarray(values, np.float32)
