"""The geometry self-test: does what a bundle's transforms do and take back end where it began?

An oblique body is sent through the bundle's own transforms and inferer, with a threshold in place of its network. What
comes back must be the body, in place; also where the slices are numbered against their normal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.monai_bundle import phantom
from pipelines.monai_bundle.folder import BundleFolder, Parts, targets_in
from pipelines.monai_bundle.inputs import LPS_TO_RAS
from pipelines.monai_bundle.running import Arrays, DeclarativeRunner, keys_and_channels

LEAST_DICE = 0.98


@dataclass(frozen=True)
class Geometry:
    """What the self-test found."""

    dice: tuple[float, float]  # numbered along the normal of the slices, and against it
    sentence: str

    @property
    def right(self) -> bool:
        """Whether results end where they belong."""
        return min(self.dice) >= LEAST_DICE


def why_not_tested(folder: BundleFolder) -> str | None:
    """Why the self-test says nothing of a bundle; None where it does."""
    parts = folder.parts()
    if parts.unread:
        return "its transforms are not understood"
    if parts.detector is not None:
        return "it marks boxes, which are placed by the affine of what its network sees"
    if _dimensions(folder, parts) == 2 and not any("SliceInferer" in one.target for one in targets_in(parts.inferer)):
        return "it works on single pictures"
    if _channels(folder, parts) is None:
        return "its network does not say how many channels it gives"
    if not _is_dense(folder):
        return "it gives no segmentation"
    return None


def geometry_test(folder: BundleFolder) -> Geometry:
    """Run the self-test on a bundle for which `why_not_tested` has no reason.

    Raises
    ------
    UnreadableBundle, CannotBeBuilt
        As `DeclarativeRunner`.
    UnsuitableInput
        If the transforms do not take the phantom.
    """
    found = [_one(folder, reversed_slices=reversed_slices) for reversed_slices in (False, True)]
    dice = (found[0][0], found[1][0])
    if min(dice) >= LEAST_DICE:
        return Geometry(dice, "results end where they belong, also on oblique and reversed slices")
    made, mask, affine = next(one[1:] for one in found if one[0] < LEAST_DICE)
    return Geometry(dice, _wrong(made, mask, affine, folder.parts()))


def _one(
    folder: BundleFolder, *, reversed_slices: bool
) -> tuple[float, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    volume, mask = phantom.body(reversed_slices=reversed_slices)
    parts = folder.parts()
    keys, channels = keys_and_channels(folder)
    array = np.ascontiguousarray(volume.array.transpose(2, 1, 0))
    channel_dim = None
    if channels > 1 and len(keys) == 1:
        array, channel_dim = np.stack([array] * channels), 0
    elif parts.channel_first:
        array, channel_dim = array[None], 0
    affine = np.asarray(LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]])
    network = _Threshold(_channels(folder, parts) or 2, competing=_competing(parts))
    runner = DeclarativeRunner(folder, "segmentation", network=network)
    images = {key: Arrays(array, affine, channel_dim) for key in keys}
    shown = runner.seen(images)
    network.ends = (float(shown.min()), float(shown.max()))
    values = runner.run(images, "segmentation")["values"]
    made = values[0] > 0.5 if len(values) == 1 else values[1 if _competing(parts) else 0] > 0.5
    if made.shape != array.shape[-3:]:
        raise UnsuitableInput(f"the result has the shape {made.shape}, the image {array.shape[-3:]}")
    back = np.asarray(made.transpose(2, 1, 0))
    return _dice(back, mask), back, mask, volume.affine


class _Threshold:
    """In place of a network: finds what is brighter than half way between two ends.

    Parameters
    ----------
    channels
        Of its output.
    competing
        Whether one channel stands for what is in no other, as with softmax; else all show the body.
    """

    def __init__(self, channels: int, *, competing: bool) -> None:
        self._channels, self._competing = channels, competing
        self.ends = (0.0, 1.0)

    def __call__(self, x: Any) -> Any:
        """(N, C, ...) to logits (N, channels, ...)."""
        import torch

        low, high = self.ends
        image = torch.as_tensor(x)[:, :1].float()
        logit = (image - (low + high) / 2) * (40.0 / max(high - low, 1e-6))
        spatial = [1] * (image.ndim - 2)
        if not self._competing:
            return logit.repeat(1, self._channels, *spatial)
        others = torch.full_like(logit, -100.0).repeat(1, max(self._channels - 2, 0), *spatial)
        return torch.cat([-logit, logit, others], dim=1)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    whole = int(one.sum()) + int(other.sum())
    return 2 * float((one & other).sum()) / whole if whole else 0.0


# ---- what a bundle says of itself
def _dimensions(folder: BundleFolder, parts: Parts) -> int:
    given = parts.network.arguments.get("spatial_dims") if parts.network is not None else None
    shapes = [one.get("spatial_shape") for one in folder.inputs.values()]
    said = [given, *(len(shape) for shape in shapes if isinstance(shape, list))]
    return next((one for one in said if isinstance(one, int)), 3)


def _channels(folder: BundleFolder, parts: Parts) -> int | None:
    arguments = parts.network.arguments if parts.network is not None else {}
    said = [arguments.get(name) for name in ("out_channels", "num_classes", "out_chns")]
    said += [one.get("num_channels") for one in folder.outputs.values()]
    return next((one for one in said if isinstance(one, int) and one > 0), None)


def _competing(parts: Parts) -> bool:
    chain = list(targets_in(parts.postprocessing))
    return any(one.arguments.get("softmax") is True or one.arguments.get("argmax") is True for one in chain)


def _is_dense(folder: BundleFolder) -> bool:
    said = list(folder.outputs.values())
    formats = {str(one.get("format") or "segmentation") for one in said if one.get("type", "image") == "image"}
    return not said or bool(formats & {"segmentation", "magnitude", "labels", "label"})


# ---- in words
def _wrong(made: NDArray[np.bool_], mask: NDArray[np.bool_], affine: NDArray[np.float64], parts: Parts) -> str:
    """What is wrong with a result, as far as that can be seen."""
    if not made.any():
        return "nothing comes back: the transforms lose the body, or the result has other labels"
    best, words = max(((_dice(other, mask), how) for other, how in _turned(made)), key=lambda one: one[0])
    now = _dice(made, mask)
    if best >= LEAST_DICE - 0.03 and best > now + 0.02:
        return f"the result is turned wrongly: {words} would put it right"
    shift = (np.argwhere(made).mean(0) - np.argwhere(mask).mean(0)) @ affine[:3, :3].T
    if (away := float(np.linalg.norm(shift))) > 1.0:
        return f"the result lies {away:.1f} mm away from where it belongs"
    if not parts.inverted:
        return "the bundle does not take its own resampling back (no Invertd), and its borders suffer from it"
    return "the result lies in place, and its borders are not those of the body"


def _turned(made: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """The result mirrored and with its axes exchanged, in every way, and in words."""
    names = ("slices", "rows", "columns")
    for order in permutations(range(3)):
        turned = made.transpose(order)
        if turned.shape != made.shape:
            turned = _fitted(turned, made.shape)
        exchanged = [names[i] for i in range(3) if order[i] != i]
        for flips in product((False, True), repeat=3):
            axes = [i for i in range(3) if flips[i]]
            if not axes and not exchanged:
                continue
            words = [f"exchanging {' and '.join(exchanged)}"] if exchanged else []
            words += [f"mirroring along the {' and '.join(names[i] for i in axes)}"] if axes else []
            yield np.flip(turned, tuple(axes)), " and ".join(words)


def _fitted(array: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Cut and padded about its middle."""
    made = np.zeros(shape, bool)
    take, put = [], []
    for have, want in zip(array.shape, shape, strict=True):
        size = min(have, want)
        take.append(slice((have - size) // 2, (have - size) // 2 + size))
        put.append(slice((want - size) // 2, (want - size) // 2 + size))
    made[tuple(put)] = array[tuple(take)]
    return made
