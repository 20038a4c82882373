"""Where on an image something lies, as a closed outline: of a mask, of a box, round a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import ImageReference, Region

MOST_POINTS = 200  # of an outline; a viewer draws no more
MARK_PIXELS = 4.0  # half the width of the mark round a point


def of_mask(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """The longest outline of a mask (H, W), (N, 2) column and row; None where it is empty."""
    from contourpy import contour_generator

    if not mask.any():
        return None
    padded = np.pad(mask, 1).astype(np.float64)
    lines = [np.asarray(line, np.float64) for line in contour_generator(z=padded).lines(0.5)]
    longest = max(lines, key=len)
    step = max(1, len(longest) // MOST_POINTS)
    kept = longest[:-1][::step]
    closed = np.vstack([kept, kept[:1]])
    return np.asarray(closed - 1 + 0.5)  # without the border; pixel centres at one half


def largest_slice(mask: NDArray[np.bool_]) -> int:
    """The slice of a mask (D, H, W) that shows most of it."""
    return int(mask.sum((1, 2)).argmax())


def of_box(
    centre: NDArray[np.float64], half: NDArray[np.float64], axes: NDArray[np.float64], affine: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64]]:
    """The slice that a box lies on with its centre, and the rectangle round the box as seen along the slices.

    Parameters
    ----------
    centre, half
        (3,) mm, LPS, and half the size along each of its axes, mm.
    axes
        (3, 3), unit directions in columns.
    affine
        (4, 4): index (d, h, w, 1) to LPS, mm.
    """
    inverse = np.linalg.inv(affine)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    corners = centre + (signs * half) @ axes.T
    index = (inverse @ np.column_stack([corners, np.ones(8)]).T).T[:, :3]
    middle = (inverse @ np.append(centre, 1.0))[:3]
    (top, left), (bottom, right) = index[:, 1:].min(0) + 0.5, index[:, 1:].max(0) + 0.5
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)
    return round(float(middle[0])), outline


def round_point(place: NDArray[np.float64], affine: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """The slice that a point (3,) mm, LPS, lies on, and a small diamond round it."""
    slice_, row, column = np.add((np.linalg.inv(affine) @ np.append(place, 1.0))[:3], [0, 0.5, 0.5])
    around = np.array([[0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]], np.float64) * MARK_PIXELS
    return round(float(slice_)), np.add(around, [column, row])


def region(
    references: tuple[ImageReference, ...], slice_: int, outline: NDArray[np.float64], size: tuple[int, int]
) -> Region | None:
    """The outline on the image of a slice; None where it lies beside all images.

    Parameters
    ----------
    references
        The images, in the order of the slices.
    slice_, outline
        Which of them, and where on it.
    size
        Rows and columns.
    """
    rows, columns = size
    left, top = outline.min(0)
    right, bottom = outline.max(0)
    if not 0 <= slice_ < len(references) or right <= 0 or bottom <= 0 or left >= columns or top >= rows:
        return None
    return Region(references[slice_], np.clip(outline, 0, [columns, rows]))
