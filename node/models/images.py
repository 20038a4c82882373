"""How far the regions and volumes of two results agree; each is found in the other by its label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import Result, Segment, Volume
from node.models.agreement import dice, rmse

SAME_PLACE_MM = 1e-3  # grids closer than this are the same
LIKELY = 0.5  # probabilities from here on are inside


@dataclass(frozen=True)
class Agreement:
    """One region or volume of two results on the same images."""

    label: str
    measure: str  # "Dice" or "RMSE"
    value: float | None  # None: the two cannot be laid over each other
    remark: str = ""  # why
    difference: NDArray[np.float32] | None = None  # (H, W) second minus first, of the slice that differs most


def regions(first: Result, second: Result) -> Iterator[Agreement]:
    """Dice of every segment; of one that only one of the two has, 0."""
    one, two = ({segment.label: segment for segment in result.segments} for result in (first, second))
    for label in dict.fromkeys((*one, *two)):
        if label not in one or label not in two:
            yield Agreement(label, "Dice", 0.0, f"only the {'first' if label in one else 'second'} has it")
            continue
        masks = _together(one[label], two[label])
        if masks is None:
            yield Agreement(label, "Dice", None, "they lie on different grids")
        else:
            yield Agreement(label, "Dice", dice(*masks))


def volumes(first: Result, second: Result) -> Iterator[Agreement]:
    """Root mean square difference of every derived volume, and where it is largest."""
    one, two = ({each.label: each.volume for each in result.derived} for result in (first, second))
    for label in dict.fromkeys((*one, *two)):
        name = label or "derived volume"  # the only one of a result has no label
        if label not in one or label not in two:
            yield Agreement(name, "RMSE", None, f"only the {'first' if label in one else 'second'} has it")
        elif not _same_grid(one[label], two[label]):
            yield Agreement(name, "RMSE", None, "they lie on different grids")
        else:
            mine, theirs = one[label].array, two[label].array
            difference = theirs.astype(np.float32) - mine.astype(np.float32)
            most = int(np.argmax((difference**2).mean(axis=(1, 2))))
            yield Agreement(name, "RMSE", rmse(mine, theirs), difference=difference[most])


def _same_grid(one: Volume, two: Volume) -> bool:
    return one.array.shape == two.array.shape and np.allclose(one.affine, two.affine, atol=SAME_PLACE_MM)


def _together(one: Segment, two: Segment) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Both masks on one grid; None where no shift by whole samples brings one onto the grid of the other."""
    if one.mask is not None and two.mask is not None:
        fits = one.image == two.image and one.mask.shape == two.mask.shape
        return (_inside(one.mask, one), _inside(two.mask, two)) if fits else None
    if one.volume is None or two.volume is None:
        return None
    if not np.allclose(one.volume.affine[:3, :3], two.volume.affine[:3, :3], atol=SAME_PLACE_MM):
        return None
    shift = np.linalg.solve(one.volume.affine[:3, :3], two.volume.affine[:3, 3] - one.volume.affine[:3, 3])
    whole = np.rint(shift).astype(int)
    if np.abs(shift - whole).max() > SAME_PLACE_MM:
        return None
    shapes = np.array([one.volume.array.shape, two.volume.array.shape])
    starts = np.array([[0, 0, 0], whole])
    low, high = starts.min(axis=0), (starts + shapes).max(axis=0)
    masks = []
    for segment, volume, start in ((one, one.volume, starts[0]), (two, two.volume, starts[1])):
        mask = np.zeros(high - low, bool)
        mask[tuple(slice(s, s + n) for s, n in zip(start - low, volume.array.shape, strict=True))] = _inside(
            volume.array, segment
        )
        masks.append(mask)
    return masks[0], masks[1]


def _inside(array: NDArray[np.generic], segment: Segment) -> NDArray[np.bool_]:
    if segment.label_value is not None:
        return np.asarray(array == segment.label_value)
    return np.asarray(array.astype(np.float32) >= LIKELY)
