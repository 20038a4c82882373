"""What a picture shows beside the limbs that were found on it: where there is more, and the picture without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import Delaunay

from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.sights import SIGHTS, Sight, of_sights
from pipelines.hand_foot_scoring.windows import Box, Image, Pyramid

# All lengths in mm and areas in cm² are those of a mean adult whose limb is as large on the picture as the one found
SKIN_MM = 18.0  # from the joints and tips of a limb to its skin, and some more
TO_TIP = 1.2  # from the second joint of a finger to its tip and some more, in lengths of the bone between its joints
TOES_MM = 50.0  # from the joint at its root to the tip of a toe, and some more
FOREARM_MM, HINDFOOT_MM = 110.0, 150.0  # how far the limb itself reaches beyond the wrist or the navicular
FOREARM_WIDTH_MM, HINDFOOT_WIDTH_MM = 70.0, 80.0
LINE_FROM_MM, LINE_WIDTH_MM, LINE_WIDENS = 60.0, 90.0, 0.3  # the arm or the leg beyond it, which widens
# On the coarsest copy of a picture, whose shorter side has 150 to 300 pixels
BLUR, WINDOW = 1.5, 9  # pixels: noise is smoothed, then the spread of the grey values in a square shows where bone is
MIN_SPREAD = 0.04  # of the picture's range: below it there is nothing
GAP, THIN = 4, 6  # pixels: holes are closed; edges of shutters and borders are thinner
JOINED = 8  # pixels: half of the gap across which pieces are of one limb
EDGE = 3  # pixels of the border that do not count
MARGIN = 0.06  # of its height or width, round what is looked at
MIN_AREA_CM2, MIN_SHARE = 15.0, 0.02  # of the picture; smaller things are markers
# Probability of a hand or a foot in one view from which on a rest is taken for one; letters and step wedges look like
# hands, so that more is asked of what is as small as they are
MIN_SIGHT, MIN_SIGHT_OF_SMALL, SMALL_CM2, SMALL_SHARE = 0.6, 0.95, 50.0, 0.03
# From here on a rest is something that should have been read, whatever it looks like; a plaster has less contrast
LARGE_CM2, LARGE_SHARE, LIMB_CONTRAST = 60.0, 0.07, 0.06
COARSE = 3  # times smoother, where the grain of a plaster has gone and a limb has not


@dataclass(frozen=True)
class Rest:
    """A place on a picture that shows something and belongs to none of the limbs that were found."""

    box: Box
    area_cm2: float
    aside_cm2: float  # what of it lies elsewhere than where the arm or the leg of a limb goes on
    share: float  # of the picture
    contrast: float  # spread of the grey values over several mm, of the picture's range


def rests(pyramid: Pyramid, limbs: Sequence[Limb], box: Box) -> tuple[Rest, ...]:
    """Where a picture shows more than the limbs that were found, the largest first.

    Parameters
    ----------
    pyramid
        The picture, bone bright.
    limbs
        At least one.
    box
        The part of the picture that shows anything.
    """
    factor, coarse = pyramid.levels[-1]
    own = covered(pyramid, limbs)
    beyond = np.ones(coarse.shape, bool)
    left, top, right, bottom = (round(value / factor) for value in box)
    beyond[top + EDGE : bottom - EDGE, left + EDGE : right - EDGE] = False
    low, high = np.quantile(coarse, (0.005, 0.995))
    grey = np.clip((coarse - low) / max(float(high - low), 1e-6), 0, 1)
    more = (_spread(grey, BLUR, WINDOW) > MIN_SPREAD) & ~own & ~beyond
    more = ndimage.binary_closing(np.pad(more, GAP), _disk(GAP))[GAP:-GAP, GAP:-GAP] & ~own
    more = ndimage.binary_opening(more, _disk(THIN))
    labels = np.where(more, ndimage.label(ndimage.binary_dilation(more, _disk(JOINED)))[0], 0)
    pieces = ndimage.find_objects(labels)
    if not pieces:
        return ()
    smooth, line = _spread(grey, COARSE * BLUR, 2 * WINDOW - 1), _line(pyramid, limbs)
    mm = factor / max(limb.lie()[1] for limb in limbs)
    found = []
    for index, (rows, columns) in enumerate(pieces, start=1):
        piece = labels[rows, columns] == index
        area = float(piece.sum()) * mm**2 / 100
        share = float(piece.sum()) / coarse.size
        if area < MIN_AREA_CM2 or share < MIN_SHARE:
            continue
        margin = MARGIN * max(piece.shape)
        place = (
            max(box[0], (columns.start - margin) * factor),
            max(box[1], (rows.start - margin) * factor),
            min(box[2], (columns.stop + margin) * factor),
            min(box[3], (rows.stop + margin) * factor),
        )
        aside = area * float(1 - line[rows, columns][piece].mean())
        found.append(Rest(place, area, aside, share, float(np.median(smooth[rows, columns][piece]))))
    return tuple(sorted(found, key=lambda rest: -rest.area_cm2))


def _spread(grey: Image, blur: float, window: int) -> Image:
    """Standard deviation of the grey values (H, W) in a square round each pixel, after smoothing."""
    smooth = ndimage.gaussian_filter(grey, blur)
    mean = ndimage.uniform_filter(smooth, window)
    return np.asarray(np.sqrt(np.maximum(ndimage.uniform_filter(smooth**2, window) - mean**2, 0)), np.float32)


def _line(pyramid: Pyramid, limbs: Sequence[Limb]) -> NDArray[np.bool_]:
    """Which pixels of the coarsest copy lie where the arm or the leg of a limb goes on."""
    line = np.zeros(pyramid.levels[-1][1].shape, bool)
    for limb in limbs:
        x, y = np.moveaxis(_places_mm(limb, pyramid), -1, 0)
        line |= (y > LINE_FROM_MM) & (2 * np.abs(x) < LINE_WIDTH_MM + LINE_WIDENS * y)
    return line


def sight_of(rest: Rest, poses: NDArray[np.floating[Any]]) -> Sight | None:
    """What a place beside the limbs shows; None if it is nothing that should have been read.

    Parameters
    ----------
    rest
        The place.
    poses
        What is seen on it, with the limbs painted over: (OTHER_POSE + 1,) probabilities.
    """
    shown = of_sights(poses)
    best = int(shown[:-1].argmax())
    small = rest.area_cm2 < SMALL_CM2 and rest.share < SMALL_SHARE
    if shown[best] >= (MIN_SIGHT_OF_SMALL if small else MIN_SIGHT):
        return Sight(*SIGHTS[best], float(shown[best]))
    if rest.aside_cm2 >= LARGE_CM2 and rest.share >= LARGE_SHARE and rest.contrast >= LIMB_CONTRAST:
        return Sight("other", "", float(shown[-1]))
    return None


def without(pyramid: Pyramid, limbs: Sequence[Limb]) -> Pyramid:
    """The picture with the limbs painted over, as dark as its dark parts."""
    own = covered(pyramid, limbs)
    coarse = pyramid.levels[-1][1]
    ground = np.float32(np.quantile(coarse[~own], 0.1)) if not own.all() else np.float32(coarse.min())
    levels = []
    for factor, image in pyramid.levels:
        rows, columns = (
            np.minimum(np.arange(size) * there // size, there - 1)
            for size, there in zip(image.shape, own.shape, strict=True)
        )
        levels.append((factor, np.where(own[np.ix_(rows, columns)], ground, image)))
    return Pyramid(tuple(levels))


def covered(pyramid: Pyramid, limbs: Sequence[Limb]) -> NDArray[np.bool_]:
    """Which pixels of the coarsest copy of the picture (H, W) lie on a limb, with its skin."""
    factor, coarse = pyramid.levels[-1]
    own = np.zeros(coarse.shape, bool)
    for limb in limbs:
        inside = Delaunay(_outline_mm(limb)).find_simplex(_places_mm(limb, pyramid)) >= 0
        if inside.any():
            own |= ndimage.distance_transform_edt(~inside) * factor <= SKIN_MM * limb.lie()[1]
    return own


def _places_mm(limb: Limb, pyramid: Pyramid) -> NDArray[np.float64]:
    """The pixels of the coarsest copy of a picture, (H, W, 2) mm, as the limb lies."""
    factor, coarse = pyramid.levels[-1]
    rows, columns = np.mgrid[: coarse.shape[0], : coarse.shape[1]]
    return limb.in_mm((np.stack((columns, rows), axis=-1) + 0.5) * factor - 0.5)


def _outline_mm(limb: Limb) -> NDArray[np.float64]:
    """Points (N, 2) round a limb, mm: its joints, the tips of its fingers or toes, forearm or hindfoot."""
    sites = {name: limb.in_mm(np.array(point)) for name, point in limb.expected.items()}
    if limb.part == "hand":
        bones = [("MCP1", "IP1"), *((f"MCP{finger}", f"PIP{finger}") for finger in "2345")]
        tips = [sites[end] + TO_TIP * (sites[end] - sites[root]) for root, end in bones]
        half, far = FOREARM_WIDTH_MM / 2, FOREARM_MM
    else:
        tips = [sites[f"MTP{toe}"] - (0.0, TOES_MM) for toe in "12345"]
        half, far = HINDFOOT_WIDTH_MM / 2, HINDFOOT_MM
    return np.array([*sites.values(), *tips, (-half, far), (half, far)])


def _disk(radius: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(rows**2 + columns**2 <= radius**2 + 0.5)
