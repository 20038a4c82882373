"""A body in an oblique stack whose place is known by formula, for the test of a bundle's geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import Volume

SHAPE = (64, 108, 96)  # slices, rows, columns
SPACING_MM = (2.4, 1.25, 1.35)
INSIDE, OUTSIDE = 100.0, -40.0  # of CT in HU, within the usual windows; as good as any for MR
BORDER_MM = 1.5  # in which the image goes from one to the other, as where voxels hold both
_CENTRE_MM = np.array([22.0, -35.0, 60.0])  # LPS
# what no mirror and no exchange of axes maps onto itself: centre (LPS, from `_CENTRE_MM`), half axes, mm
_ELLIPSOIDS = (
    ((0.0, 0.0, 0.0), (40.0, 25.0, 32.0)),
    ((22.0, 18.0, 12.0), (18.0, 22.0, 15.0)),
    ((-20.0, 9.0, 26.0), (14.0, 14.0, 22.0)),
)


def affine(*, reversed_slices: bool = False) -> NDArray[np.float64]:
    """(4, 4): index (d, h, w, 1) to LPS, mm; rotated about all three axes.

    Parameters
    ----------
    reversed_slices
        Whether the slices are numbered against the normal of their plane, as some scanners do.
    """
    a, b, c = np.deg2rad([17.0, -23.0, 31.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    columns, rows = turned[:, 0], turned[:, 1]  # directions of increasing column and row
    normal = np.cross(columns, rows) * (-1 if reversed_slices else 1)
    made = np.eye(4)
    made[:3, 0], made[:3, 1], made[:3, 2] = normal * SPACING_MM[0], rows * SPACING_MM[1], columns * SPACING_MM[2]
    made[:3, 3] = _CENTRE_MM - made[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return made


def body(*, reversed_slices: bool = False) -> tuple[Volume, NDArray[np.bool_]]:
    """The image, `INSIDE` in the body and `OUTSIDE` round it, and the body's mask, both (D, H, W)."""
    grid = affine(reversed_slices=reversed_slices)
    index = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"), axis=-1)
    points = index @ grid[:3, :3].T + grid[:3, 3] - _CENTRE_MM
    depth = np.full(SHAPE, -np.inf)  # about mm inside the body
    for centre, half in _ELLIPSOIDS:
        distance = np.linalg.norm((points - centre) / half, axis=-1)
        depth = np.maximum(depth, (1 - distance) * min(half))
    share = np.clip(0.5 + depth / BORDER_MM, 0, 1)
    return Volume((OUTSIDE + (INSIDE - OUTSIDE) * share).astype(np.float32), grid), depth > 0
