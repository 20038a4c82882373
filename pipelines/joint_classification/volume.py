"""HR-pQCT as the 3-D network sees it: DICOM slices or a volume of any format to one metacarpal head.

Everything is decided on a coarse grid, where bone is a few hundred thousand voxels; the head is cut from the scan
itself. What cannot be told from the voxels (which finger, radial or ulnar, dorsal or palmar) is not needed: the network
was trained with volumes mirrored both ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Volume
from pipelines.joint_classification.geometry import HEAD_SHAPE, UNUSABLE_MOTION, VOXEL_MM

Array = NDArray[np.float32]

COARSEST_MM = 0.15  # HR-pQCT has 0.061 to 0.082, with some slack for resampled copies
GRID_MM = 0.25  # of the coarse grid
FIELD_MM = tuple(size * VOXEL_MM for size in HEAD_SHAPE)  # what is cut out: 11.8 x 15.7 x 15.7
AHEAD_MM = 0.8  # of the field beyond the tip
SHORTEST_MM = 8.0  # of bone behind the tip, or the neck is missing
LEAVES = (
    0.2  # of its largest section, at the end of the scan: a bone with more goes on outside, one with less ends there
)
WIDTH_MM = (6.0, 16.0)  # of a metacarpal head
CONTRAST = 4.0  # of bone against the spread of what is around it
STREAK = 0.0102  # amplitude of grade 2, share of the range from soft tissue to cortex: see `simulation.metacarpal.scan`


@dataclass(frozen=True)
class Head:
    """One bone end, cut out of the scan, shaft first."""

    density: Array  # (D, H, W), of the cut-out, as `Model.classify` takes it
    spacing_mm: tuple[float, float, float]  # along D, H, W
    corner: tuple[int, int, int]  # index of the cut-out's first voxel in the scan; negative where it was padded
    motion_grade: float  # estimated, 1 still to 5 useless
    flipped: bool = False  # whether D runs against the scan's: turn a map with [::-1] before it goes to `corner`


def head_of(volume: Volume) -> Head:
    """The metacarpal head of a scan.

    Raises
    ------
    UnsuitableInput
        If voxels are too coarse, no bone is there, it is cut off, or it moved (grade over 3); in words.
    """
    head = cut_head(np.asarray(volume.array, np.float32), volume.spacing_mm)
    if head.motion_grade > UNUSABLE_MOTION - 0.5:
        raise UnsuitableInput(
            f"the scan moved: motion grade about {head.motion_grade:.0f}, and scans over grade 3 are not judged"
        )
    return head


def cut_head(scan: Array, spacing_mm: tuple[float, float, float]) -> Head:
    """The metacarpal head in a scan (D, H, W), D along the bone; the largest if there are several.

    Raises
    ------
    UnsuitableInput
        If voxels are too coarse, no bone is there, or it is cut off; in words.
    """
    if max(spacing_mm) > COARSEST_MM:
        raise UnsuitableInput(
            f"voxels of {max(spacing_mm):.2f} mm; HR-pQCT of a metacarpal head has {COARSEST_MM} mm or less"
        )
    coarse, step = _coarse(scan, spacing_mm)
    soft, cortex = _levels(coarse)
    bones, flipped = _oriented(_bones(coarse, 0.5 * (soft + cortex)), step)
    number = _head(bones, step)
    bone = bones == number
    tip = int(np.flatnonzero(bone.any((1, 2)))[-1])
    rows = slice(max(0, tip - round(FIELD_MM[0] / step[0])), tip + 1)
    middle = np.argwhere(bone[rows].any(0)).mean(0)
    size = tuple(round(mm / one) for mm, one in zip(FIELD_MM, spacing_mm, strict=True))
    last = round((tip + 1) * step[0] / spacing_mm[0] + AHEAD_MM / spacing_mm[0])
    sides = [
        round((m + 0.5) * s / one - n / 2)
        for m, s, one, n in zip(middle, step[1:], spacing_mm[1:], size[1:], strict=True)
    ]
    corner = (last - size[0], sides[0], sides[1])
    turned = scan[::-1] if flipped else scan
    others = _spread(np.asarray((bones > 0) & ~bone), turned.shape)
    density = _cut(np.where(others, soft, turned), corner, size, soft)
    if flipped:
        corner = (len(scan) - last, corner[1], corner[2])
    return Head(density, spacing_mm, corner, motion_grade(density, spacing_mm, soft, cortex), flipped)


def _coarse(scan: Array, spacing_mm: tuple[float, float, float]) -> tuple[Array, tuple[float, float, float]]:
    """Means of blocks of about GRID_MM, and how far apart they are."""
    blocks = [max(1, round(GRID_MM / one)) for one in spacing_mm]
    if any(length < 8 * block for length, block in zip(scan.shape, blocks, strict=True)):
        raise UnsuitableInput("no metacarpal head: the scan is only a few millimetres wide")
    cut = scan[tuple(slice(0, length // block * block) for length, block in zip(scan.shape, blocks, strict=True))]
    (d, h, w), (a, b, c) = cut.shape, blocks
    mean = cut.reshape(d // a, a, h // b, b, w // c, c).mean((1, 3, 5), dtype=np.float64)
    step = tuple(block * one for block, one in zip(blocks, spacing_mm, strict=True))
    return np.asarray(mean, np.float32), (step[0], step[1], step[2])


def _levels(coarse: Array) -> tuple[float, float]:
    """Grey values of soft tissue and of dense cortex."""
    soft, cortex = float(np.percentile(coarse, 30)), float(np.percentile(coarse, 99.5))
    around = coarse[coarse < 0.5 * (soft + cortex)]
    if cortex - soft < CONTRAST * float(around.std()) or cortex <= soft:
        raise UnsuitableInput("no bone is to be seen: nothing is much denser than what is around it")
    return soft, cortex


def _bones(coarse: Array, threshold: float) -> NDArray[np.int32]:
    """Filled bones, each with its number from 1."""
    dense = np.pad(coarse > threshold, 3)
    closed = ndimage.binary_closing(dense, iterations=2)[3:-3, 3:-3, 3:-3]
    filled = np.stack([ndimage.binary_fill_holes(layer) for layer in closed])
    return np.asarray(ndimage.label(filled)[0], np.int32)


def _oriented(bones: NDArray[np.int32], step: tuple[float, float, float]) -> tuple[NDArray[np.int32], bool]:
    """The bones with the largest one's shaft at the beginning of D, and whether that took turning.

    Raises
    ------
    UnsuitableInput
        If the largest bone goes through, or lies free.
    """
    sizes = np.bincount(bones.ravel())
    sizes[0] = 0
    if sizes.max() * np.prod(step) < 100.0:
        raise UnsuitableInput("no metacarpal head: nothing dense is larger than a tenth of a cubic centimetre")
    largest = bones == sizes.argmax()
    area = largest.sum((1, 2))
    first, last = (bool(end > LEAVES * area.max()) for end in (area[0], area[-1]))
    if first and last:
        raise UnsuitableInput("the bone goes through the whole scan: its end is not in it")
    if not first and not last:
        raise UnsuitableInput("the bone lies free in the scan: a metacarpal has a shaft that leaves it")
    return (bones[::-1], True) if last else (bones, False)


def _head(bones: NDArray[np.int32], step: tuple[float, float, float]) -> int:
    """The number of the largest bone.

    Raises
    ------
    UnsuitableInput
        If it is cut off at a side, too short, or too wide or narrow.
    """
    sizes = np.bincount(bones.ravel())
    sizes[0] = 0
    number = int(sizes.argmax())
    bone = bones == number
    if bone[:, 0].any() or bone[:, -1].any() or bone[:, :, 0].any() or bone[:, :, -1].any():
        raise UnsuitableInput("the bone is cut off at the side of the scan")
    along = np.flatnonzero(bone.any((1, 2)))
    if (along[-1] + 1) * step[0] < SHORTEST_MM:
        raise UnsuitableInput(
            f"only {(along[-1] + 1) * step[0]:.1f} mm of bone are in the scan; the head and neck take {SHORTEST_MM:.0f}"
        )
    area = float(bone.sum((1, 2)).max()) * step[1] * step[2]
    width = 2 * float(np.sqrt(area / np.pi))
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1]:
        raise UnsuitableInput(
            f"the bone is {width:.1f} mm wide; a metacarpal head has {WIDTH_MM[0]:.0f} to {WIDTH_MM[1]:.0f}"
        )
    return number


def _spread(coarse: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of the coarse grid on the scan's, widened by a coarse voxel."""
    if not coarse.any():
        return np.zeros(shape, bool)
    wide = ndimage.binary_dilation(coarse)
    index = np.ix_(*(np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(shape, coarse.shape, strict=True)))
    return np.asarray(wide[index])


def _cut(scan: Array, corner: tuple[int, ...], size: tuple[int, ...], fill: float) -> Array:
    """A box of the scan, filled up where it reaches beyond."""
    out = np.full(size, fill, np.float32)
    inside = [(max(0, c), min(n, c + s)) for c, s, n in zip(corner, size, scan.shape, strict=True)]
    here = tuple(slice(low - c, high - c) for (low, high), c in zip(inside, corner, strict=True))
    out[here] = scan[tuple(slice(low, high) for low, high in inside)]
    return out


def motion_grade(density: Array, spacing_mm: tuple[float, float, float], soft: float, cortex: float) -> float:
    """Motion from the streaks in the soft tissue round the bone: 1 still to 5 useless.

    Calibrated on simulated motion alone, where the amplitude of streaks grows with the square of the grade above 1.
    Waves that are seen in planes across the bone after the noise of single voxels is averaged along it.

    Parameters
    ----------
    density
        (D, H, W) of the cut-out.
    spacing_mm
        Along D, H, W.
    soft
        Grey value of soft tissue.
    cortex
        Grey value of dense cortex.
    """
    along = max(1, round(1.0 / spacing_mm[0]))
    thick = len(density) // along * along
    planes = density[:thick].reshape(-1, along, *density.shape[1:]).mean(1)
    bone = ndimage.binary_dilation(
        planes > soft + 0.25 * (cortex - soft), iterations=max(2, round(0.5 / spacing_mm[1]))
    )
    around = [plane[~mask] for plane, mask in zip(planes, bone, strict=True) if (~mask).sum() > 100]
    if not around:
        return 1.0
    wave = float(np.median([values.std() for values in around]))
    noise = float(np.median(np.abs(np.diff(density[:, 0, :], axis=0)))) / 0.954 / np.sqrt(along)
    amplitude = np.sqrt(max(0.0, 2 * (wave**2 - noise**2))) / (cortex - soft)
    return float(np.clip(1 + np.sqrt(amplitude / STREAK), 1.0, 5.0))
