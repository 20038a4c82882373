"""Where the limb of a graded film lies: as its marked sites say, or as the localiser finds it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.shape import ShapeModel, align
from pipelines.hand_foot_scoring.sites import REACH_MM, SIDE_NAMES, SITES, Side
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm, Point
from pipelines.hand_foot_scoring.windows import Pyramid, window_of

ENOUGH = 6  # marked sites that say how a limb lies
SPREAD_MM = 2.0  # of a marked site round its true place
_NO_TRUST = 1e-6  # weight of a site that is not marked


def limb_of(film: GradedFilm, pyramid: Pyramid, finder: Finder) -> Limb | str:
    """The limb of a film on its picture, or in words why there is none.

    Parameters
    ----------
    film
        Which limb is wanted; enough marked sites say where it is.
    pyramid
        The picture.
    finder
        Looks for it otherwise.
    """
    outside = [site for site, point in film.sites.items() if not _inside(point, pyramid.shape)]
    if outside:
        return f"{outside[0]} is marked outside the picture of {pyramid.shape[1]} x {pyramid.shape[0]} pixels"
    if len(film.sites) >= ENOUGH:
        return limb_at(film.sites, film.side, finder.shapes[film.part])
    found = finder.find(pyramid).limbs
    wanted = [limb for limb in found if (limb.part, limb.side) == (film.part, film.side)]
    if wanted:
        return wanted[0]
    seen = ", ".join(limb.name for limb in found) or "no hand and no foot"
    return f"no {SIDE_NAMES[film.side]} {film.part} was found on it, but {seen}"


def _inside(point: Point, shape: tuple[int, int]) -> bool:
    return -0.5 <= point[0] < shape[1] and -0.5 <= point[1] < shape[0]


def limb_at(sites: Mapping[str, Point], side: Side, arrangement: ShapeModel) -> Limb:
    """The limb whose sites were marked; where others lie is told by the arrangement of joints.

    Parameters
    ----------
    sites
        Site to (column, row), at least two.
    side
        Left or right.
    arrangement
        Of the part.
    """
    names = SITES[arrangement.part]
    mirror = np.array([-1.0 if side == "R" else 1.0, 1.0])
    marked = np.array([name in sites for name in names])
    trust = np.where(marked, 1.0, _NO_TRUST)
    points = np.array([sites.get(name, (0.0, 0.0)) for name in names]) * mirror
    points[~marked] = points[marked].mean(axis=0)
    similarity = align(arrangement.mean, points, trust)
    for _ in range(4):
        weights = arrangement.weights(similarity.invert(points), trust, max(SPREAD_MM, arrangement.rest))
        similarity = align(arrangement.shape(weights), points, trust)
        points[~marked] = similarity.apply(arrangement.shape(weights))[~marked]
    places = {name: _pair(point) for name, point in zip(names, points * mirror, strict=True)}
    turn = -similarity.angle if side == "R" else similarity.angle
    corners = np.array(list(places.values()))
    box = (*corners.min(axis=0), *corners.max(axis=0))
    turns = round(turn / (np.pi / 2)) % 4
    return Limb(
        part=arrangement.part,
        side=side,
        quarter_turns=turns,
        window=window_of(box, turns, side == "R"),
        centres={},
        expected=places,
        length=REACH_MM[arrangement.part] * similarity.scale,
        quality=1.0,
        strain=float(np.sqrt(np.mean((weights / arrangement.spread) ** 2))),
        arrangement=arrangement,
    )


def _pair(point: NDArray[np.float64]) -> Point:
    return float(point[0]), float(point[1])
