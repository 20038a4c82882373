"""A frame of an ultrasound scanner's screen, taken apart: the panels of tissue, their scale, writing and colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_sr.read.pixels import Picture, UltrasoundRegion

WORKING_SIZE = 320  # panels are looked for on a picture reduced to about so many pixels
LIT = 10 / 255  # above the screen's background: tissue, or its noise
STROKE = 13  # pixels: letters, rulers and frames are thinner than this
RAISED = 55.0  # grey values of 255 by which writing stands out of what is behind it
SHARP = 0.55  # of its height, writing falls within a pixel; what a probe hears is blurred by its point spread
WHITE, RAISED_ON_TISSUE, SHARP_ON_TISSUE = 220, 35, 0.3  # the same for white writing over echoes
BLACK = 40.0  # grey value of 255 below which the screen is empty
CHROMA, SATURATION = 60, 0.4  # of a colour that is not a tint: Doppler, calipers, markers
TINTED = 0.35  # with more of the lit pixels in colour, the picture is tinted
SMALLEST_PANEL = 0.015  # of the screen
SECOND_PANEL = 0.35  # of the first one's area
TISSUE, COLOUR_FLOW = 1, 2  # RegionDataType, PS3.3 C.8.5.5.1.2

Box = tuple[int, int, int, int]  # first column, first row, column and row after the last, 0-based


@dataclass(frozen=True)
class Panel:
    """One ultrasound picture on the screen."""

    box: Box  # left, top and right edge of the tissue; its lower edge is that of the screen or the calibrated region
    pixel_mm: tuple[float, float] | None  # height, width; None where the image does not say
    colour_share: float  # of the pixels in it that carry Doppler colour


@dataclass(frozen=True)
class Screen:
    """A frame taken apart."""

    grey: NDArray[np.float32]  # (H, W) in 0..1
    hidden: NDArray[np.bool_]  # (H, W): writing or colour lies over the tissue there
    panels: tuple[Panel, ...]  # from left to right; none where there is no ultrasound picture


def take_apart(picture: Picture) -> Screen:
    """Find the tissue of a frame, and what was put over it."""
    grey, colour = _grey_and_colour(picture)
    hidden = ndimage.binary_dilation(colour | writing(grey), iterations=2)
    boxes = _boxes(grey, hidden, picture.regions)
    panels = tuple(
        Panel(box, pixel_mm, float(colour[box[1] : box[3], box[0] : box[2]].mean())) for box, pixel_mm in boxes
    )
    return Screen(grey, hidden, panels)


def _grey_and_colour(picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Grey values (H, W) in 0..1, and where there is colour."""
    if not picture.is_colour:
        array = np.asarray(picture.array, np.float32)
        low, high = (0.0, max(255.0, float(array.max()))) if array.min() >= 0 else (array.min(), array.max())
        return np.asarray((array - low) / max(high - low, 1e-6), np.float32), np.zeros(array.shape, bool)
    red, green, blue = (picture.array[..., channel] for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    chroma = brightest - np.minimum(np.minimum(red, green), blue)
    colour = (chroma > CHROMA) & (chroma > np.float32(SATURATION) * brightest)
    if colour.sum() > TINTED * max(1, int((brightest > 255 * LIT).sum())):
        colour = np.zeros(colour.shape, bool)
    grey = np.asarray(picture.array, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    return np.asarray(grey, np.float32), np.asarray(colour)


# ---- writing
def writing(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where letters, rulers and frames are, (H, W): thin, bright, and sharper than any echo.

    An echo is blurred by the point spread of the probe, over several pixels of the screen; what the scanner draws
    falls to its surroundings within one.
    """
    values = np.asarray(np.clip(255 * grey, 0, 255), np.uint8)
    behind = ndimage.maximum_filter(ndimage.minimum_filter(values, STROKE), STROKE)
    height = values - behind  # white top-hat: thin bright structures only
    on_black, places, labels = _sharp(values, height, height > RAISED, SHARP)
    if places:
        dark = np.asarray(ndimage.mean(behind, labels, np.arange(1, len(places) + 1)))
        on_black |= np.concatenate([[False], _in_lines(places, dark, grey.shape[0])])[labels]
    on_tissue, _, _ = _sharp(values, height, (values > WHITE) & (height > RAISED_ON_TISSUE), SHARP_ON_TISSUE)
    return np.asarray(on_black | on_tissue)


def _sharp(
    values: NDArray[np.uint8], height: NDArray[np.uint8], mask: NDArray[np.bool_], sharp: float
) -> tuple[NDArray[np.bool_], list[tuple[slice, slice]], NDArray[np.int32]]:
    """The shapes of `mask` whose edges fall by `sharp` of their height within a pixel; all shapes; and their labels."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return np.zeros(mask.shape, bool), [], labels
    lit = labels > 0
    top = np.asarray(ndimage.maximum(height[lit], labels[lit], np.arange(1, count + 1)), np.float32)
    size = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    around = ndimage.maximum_filter(labels, 3) * (labels == 0)
    ring = around > 0
    edge = ndimage.maximum_filter(np.where(labels > 0, values, np.uint8(0)), 3)[ring].astype(np.float32)
    fallen = np.bincount(around[ring], np.maximum(edge - values[ring], 0), count + 1)[1:]
    beside = np.bincount(around[ring], minlength=count + 1)[1:]
    drawn = (fallen > sharp * top * beside) & (size >= 4)
    return np.concatenate([[False], drawn])[labels], ndimage.find_objects(labels), labels


def _in_lines(
    places: Sequence[tuple[slice, slice]], behind: NDArray[np.floating[Any]], screen_rows: int
) -> NDArray[np.bool_]:
    """Which shapes are letters of a line on black, however soft: at least three, as high as each other, in a row.

    Pictures that were enlarged or compressed have lost the sharp edge of their letters; in the shadow of bone, where
    such a line usually stands, nothing else looks like one.
    """
    box = np.array([(r.start, r.stop, c.start, c.stop) for r, c in places], float)
    height, width = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    may = np.flatnonzero((behind < BLACK) & (height >= 5) & (height <= 0.06 * screen_rows) & (width <= 2.5 * height))
    found = np.zeros(len(box), bool)
    for one in may:
        near = np.abs(box[may, 2] - box[one, 2]) < 3.5 * height[one]
        level = np.abs(box[may, 1] - box[one, 1]) < 0.2 * height[one]
        alike = np.abs(height[may] - height[one]) < 0.25 * height[one]
        line = may[near & level & alike]
        if len(line) >= 3:
            found[line] = True
    return found


# ---- panels
def _boxes(
    grey: NDArray[np.float32], hidden: NDArray[np.bool_], regions: Sequence[UltrasoundRegion]
) -> list[tuple[Box, tuple[float, float] | None]]:
    """Boxes round the tissue, and the size of a pixel there; from left to right.

    Where the header has calibrated regions of tissue (PS3.3 C.8.5.5) only they are looked at.
    """
    calibrated = [r for r in regions if r.data_type in (TISSUE, COLOUR_FLOW) and r.pixel_mm is not None]
    found: list[tuple[Box, tuple[float, float] | None]] = []
    for region in _without_inner(calibrated):
        left, top, right, bottom = region.box
        left, top = max(left, 0), max(top, 0)
        part = slice(top, bottom + 1), slice(left, right + 1)
        for box in _tissue(grey[part], hidden[part]):
            moved = (box[0] + left, box[1] + top, box[2] + left, min(bottom + 1, len(grey)))
            found.append((moved, region.pixel_mm))
    if not calibrated:
        found = [((box[0], box[1], box[2], len(grey)), None) for box in _tissue(grey, hidden)]
    return sorted(found)


def _without_inner(regions: Sequence[UltrasoundRegion]) -> list[UltrasoundRegion]:
    """Without those that lie in a larger one, such as the colour box."""

    def area(region: UltrasoundRegion) -> int:
        return (region.box[2] - region.box[0]) * (region.box[3] - region.box[1])

    kept: list[UltrasoundRegion] = []
    for region in sorted(regions, key=area, reverse=True):
        middle = ((region.box[0] + region.box[2]) / 2, (region.box[1] + region.box[3]) / 2)
        if not any(k.box[0] <= middle[0] <= k.box[2] and k.box[1] <= middle[1] <= k.box[3] for k in kept):
            kept.append(region)
    return kept


def _tissue(grey: NDArray[np.float32], hidden: NDArray[np.bool_]) -> list[Box]:
    """Boxes round the pictures on a part of the screen: large areas of echoes, side by side."""
    if min(grey.shape, default=0) < 16:
        return []
    step = max(1, round(max(grey.shape) / WORKING_SIZE))
    small = _reduced(grey, hidden, step)
    # echoes are never even unless they are white, a bar of the screen is
    uneven = ndimage.maximum_filter(small, 3) - ndimage.minimum_filter(small, 3) > 1.5 / 255
    lit = (small > np.quantile(small, 0.02) + LIT) & (uneven | (small > 0.5))
    # echoes are dense: holes between speckles close, the gutter between two panels does not; strokes do not survive
    dense = ndimage.binary_closing(np.pad(lit, 3), np.ones((3, 3)))[3:-3, 3:-3]
    solid = ndimage.binary_opening(dense, np.ones((7, 7)))
    labels, count = ndimage.label(solid)
    if not count:
        return []
    areas = np.bincount(labels.ravel())[1:]
    boxes, places = [], ndimage.find_objects(labels)
    for number in np.flatnonzero((areas >= SMALLEST_PANEL * small.size) & (areas >= SECOND_PANEL * areas.max())):
        row, column = places[number]
        boxes.append((column.start * step, row.start * step, column.stop * step, row.stop * step))
    return _merged(boxes)


def _reduced(grey: NDArray[np.float32], hidden: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Means of blocks of `step` pixels; what is hidden is filled in from around it, so that it parts no picture."""
    rows, columns = grey.shape[0] // step, grey.shape[1] // step

    def mean(values: NDArray[np.generic]) -> NDArray[np.float32]:
        blocks = values[: rows * step, : columns * step].reshape(rows, step, columns, step)
        return np.asarray(blocks.mean((1, 3)), np.float32)

    seen, values = mean(~hidden), mean(np.where(hidden, np.float32(0), grey))
    around = ndimage.gaussian_filter(values, 2.0) / np.maximum(ndimage.gaussian_filter(seen, 2.0), 1e-3)
    return np.asarray(np.where(seen > 0.3, values / np.maximum(seen, 1e-3), around), np.float32)


def _merged(boxes: list[Box]) -> list[Box]:
    """Boxes that share columns are layers of one picture, such as skin and the bone under a dark effusion."""
    merged: list[Box] = []
    for box in sorted(boxes):
        if merged and box[0] < merged[-1][2] - 0.1 * (box[2] - box[0]):
            last = merged.pop()
            box = (min(last[0], box[0]), min(last[1], box[1]), max(last[2], box[2]), max(last[3], box[3]))
        merged.append(box)
    return merged
