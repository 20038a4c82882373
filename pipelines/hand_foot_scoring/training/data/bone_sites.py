"""From the masks of a hand's bones to the places of its sites, as the simulator has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipelines.hand_foot_scoring.training.data.graded_films import Point

Mask = NDArray[np.bool_]
# Joints between two bones. Bones are named as RAM-H1200 names them: metacarpals MC1.., phalanges PP, MP, DP.
BETWEEN: Mapping[str, tuple[str, str]] = {
    **{f"MCP{n}": (f"MC{n}", f"PP{n}") for n in range(1, 6)},
    **{f"PIP{n}": (f"PP{n}", f"MP{n}") for n in range(2, 6)},
    "IP1": ("PP1", "DP1"),
    "MC1B": ("MC1", "Trapezium"),
    "CMC3": ("MC3", "Capitate"),
    "CMC4": ("MC4", "Hamate"),
    "CMC5": ("MC5", "Hamate"),
}
MIDDLES: Mapping[str, tuple[str, ...]] = {
    "NAV": ("Scaphoid",),
    "LUN": ("Lunate",),
    "MULT": ("Trapezium", "Trapezoid"),
}
NAMES = frozenset(  # the bones that tell a site
    (
        "Radius",
        "Ulna",
        *(bone for pair in BETWEEN.values() for bone in pair),
        *(b for some in MIDDLES.values() for b in some),
    )
)
FACING = 0.06  # of the square root of a bone's area: how much farther than the nearest pixel a facing one may lie
ULNA_MM = 5.0  # the site is the middle of this much of the bone's end
RADIUS_MM = 4.5  # the site lies so far up the shaft from the joint
MC3_MM = 64.6  # length of the third metacarpal of a mean adult: the scale of the millimetres above
PROXIMAL = 0.35  # share of the capitate that faces scaphoid and lunate


def sites_of(masks: Mapping[str, Mask]) -> dict[str, Point]:
    """The sites that the masks of a film's bones tell, (column, row); those of bones without a mask are left out.

    Parameters
    ----------
    masks
        Bone to (H, W); a mask without pixels counts as none.
    """
    bones = {name: _Bone(mask) for name, mask in masks.items() if mask.any()}
    sites: dict[str, Point] = {}
    for site, (first, second) in BETWEEN.items():
        if first in bones and second in bones:
            sites[site] = _between(bones[first], bones[second])
    for site, names in MIDDLES.items():
        if all(name in bones for name in names):
            sites[site] = _mean([bones[name].middle for name in names])
    if "MULT" in sites and "NAV" in sites:
        sites["MULTNAV"] = _mean([sites["MULT"], sites["NAV"]])
    proximal = [bones[name] for name in ("Scaphoid", "Lunate") if name in bones]
    if len(proximal) == 2:
        row = _union(proximal)
        if "Radius" in bones:
            sites["RADCARP"] = _between(bones["Radius"], row)
        if "Capitate" in bones:
            sites["CAPNAVLUN"] = _between(_nearest_part(bones["Capitate"], row.middle, PROXIMAL), row)
    if "MC3" in bones:
        pixels_per_mm = bones["MC3"].extent / MC3_MM
        fingers = bones["MC3"].middle
        if "RADCARP" in sites:
            up = -bones["Radius"].axis(fingers)
            sites["RAD"] = _point(np.array(sites["RADCARP"]) + RADIUS_MM * pixels_per_mm * up)
        if "Ulna" in bones:
            sites["ULN"] = _end(bones["Ulna"], fingers, ULNA_MM * pixels_per_mm)
    return sites


class _Bone:
    """The pixels of one bone, cut out with a margin."""

    def __init__(self, mask: Mask) -> None:
        rows, columns = np.nonzero(mask)
        self.points = np.column_stack((columns, rows)).astype(np.float64)  # (N, 2) column, row
        self.middle: Point = _point(self.points.mean(axis=0))

    @property
    def extent(self) -> float:
        """Length along the direction in which the bone is longest, pixels."""
        along = self.points @ self._axes()[0]
        return float(along.max() - along.min())

    def axis(self, towards: Point) -> NDArray[np.float64]:
        """The unit vector (column, row) along the bone that leads to a point.

        A stump of a forearm may be wider than long: of its two axes that one which leads there more directly is taken.
        """
        direction = np.subtract(towards, self.middle)
        axis: NDArray[np.float64] = max(self._axes(), key=lambda one: abs(float(one @ direction)))
        return axis if float(axis @ direction) > 0 else -axis

    def _axes(self) -> NDArray[np.float64]:
        some = self.points[:: max(1, len(self.points) // 2000)]
        _, _, axes = np.linalg.svd(some - some.mean(axis=0), full_matrices=False)
        return np.asarray(axes, np.float64)


def _union(bones: list[_Bone]) -> _Bone:
    joined = _Bone.__new__(_Bone)
    joined.points = np.concatenate([bone.points for bone in bones])
    joined.middle = _point(joined.points.mean(axis=0))
    return joined


def _nearest_part(bone: _Bone, to: Point, share: float) -> _Bone:
    """The share of a bone's pixels that lies nearest to a point."""
    direction = np.subtract(to, bone.middle)
    along = bone.points @ direction
    part = _Bone.__new__(_Bone)
    part.points = bone.points[along >= np.quantile(along, 1 - share)]
    part.middle = _point(part.points.mean(axis=0))
    return part


def _end(bone: _Bone, near: Point, length: float) -> Point:
    """The middle of that end of a long bone, `length` pixels of it, which lies nearer to a point."""
    along = bone.points @ bone.axis(near)
    return _point(bone.points[along >= np.quantile(along, 0.995) - length].mean(axis=0))


def _between(first: _Bone, second: _Bone) -> Point:
    """The middle of the space between two bones, or of where they overlap."""
    return _mean([_facing(first, second), _facing(second, first)])


def _facing(bone: _Bone, other: _Bone) -> Point:
    """The middle of the pixels of a bone that face another one."""
    low = np.minimum(bone.points.min(axis=0), other.points.min(axis=0))
    size = (np.maximum(bone.points.max(axis=0), other.points.max(axis=0)) - low + 1).astype(int)
    free = np.ones((size[1], size[0]), bool)
    columns, rows = (other.points - low).astype(int).T
    free[rows, columns] = False
    columns, rows = (bone.points - low).astype(int).T
    distance = distance_transform_edt(free)[rows, columns]
    reach = distance.min() + FACING * np.sqrt(min(len(bone.points), len(other.points)))
    return _point(bone.points[distance <= reach].mean(axis=0))


def _mean(points: list[Point]) -> Point:
    return _point(np.mean(points, axis=0))


def _point(pair: NDArray[np.float64]) -> Point:
    return float(pair[0]), float(pair[1])
