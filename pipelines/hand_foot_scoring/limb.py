"""A hand or foot that was found on a picture, and one made of several looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring import shape
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.sights import View
from pipelines.hand_foot_scoring.sites import SIDE_NAMES, SITES, Part, Side
from pipelines.hand_foot_scoring.windows import Window

MIN_CONFIDENCE = 0.15  # below it a site counts as not found


@dataclass(frozen=True)
class Limb:
    """One hand or foot on a picture."""

    part: Part
    side: Side
    quarter_turns: int
    window: Window
    centres: Mapping[str, Centre]  # only sites that were found
    expected: Mapping[str, tuple[float, float]]  # every site, where the arrangement puts it
    length: float  # pixels from the middle finger's tip to the wrist (great toe's tip to the navicular), by the fit
    quality: float  # 0..1, mean support of the sites
    strain: float
    arrangement: shape.ShapeModel = field(repr=False, compare=False)  # that was fitted
    view: View = "pa"  # "pa" of a hand, "dp" of a foot, or "oblique"
    view_confidence: float = 1.0  # probability of that part in that view
    open_plates: float = 0.0  # probability that growth plates are open, by the look of the whole limb

    def lie(self, point_mm: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float, tuple[float, float]]:
        """How the limb lies on the picture.

        Parameters
        ----------
        point_mm
            A point of the arrangement, in mm of a mean adult.

        Returns
        -------
        tuple
            Its turn in radians clockwise, pixels per mm of a mean adult, and (column, row) of the point.
        """
        mirror = np.array([-1.0 if self.side == "R" else 1.0, 1.0])
        upright = np.array([self.expected[name] for name in SITES[self.part]]) * mirror
        similarity = shape.align(self.arrangement.mean, upright, np.ones(len(upright)))
        x, y = similarity.apply(np.array([point_mm]))[0] * mirror
        angle = -similarity.angle if self.side == "R" else similarity.angle
        return angle, similarity.scale, (float(x), float(y))

    def in_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (..., 2) of the picture as (x, y) of the arrangement, in mm of a mean adult."""
        angle, scale, origin = self.lie()
        c, s = np.cos(angle), np.sin(angle)
        x, y = np.moveaxis(points - origin, -1, 0) / scale
        return np.stack(((x * c + y * s) * (-1.0 if self.side == "R" else 1.0), y * c - x * s), axis=-1)

    @property
    def name(self) -> str:
        """Side and part in words: "left hand"."""
        return f"{SIDE_NAMES[self.side]} {self.part}"

    @property
    def support(self) -> float:
        """How many sites speak for it: the sum of their support."""
        return self.quality * len(self.expected)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the expected sites, in pixels of the picture."""
        points = np.array(list(self.expected.values()))
        return (*points.min(axis=0), *points.max(axis=0))


def mean_limb(looks: Sequence[Limb]) -> Limb:
    """One limb from several looks at it: centres weighted by confidence, a look that misses a site counting as none."""
    centres: dict[str, Centre] = {}
    for name in looks[0].expected:
        seen = [look.centres[name] for look in looks if name in look.centres]
        confidence = sum(centre.confidence for centre in seen) / len(looks)
        if confidence >= MIN_CONFIDENCE:
            trust = [centre.confidence for centre in seen]
            x, y = np.average([centre.point for centre in seen], axis=0, weights=trust)
            centres[name] = Centre((float(x), float(y)), confidence)
    places = {name: np.mean([look.expected[name] for look in looks], axis=0) for name in looks[0].expected}
    return replace(
        looks[0],
        centres=centres,
        expected={name: (float(x), float(y)) for name, (x, y) in places.items()},
        length=float(np.mean([look.length for look in looks])),
        quality=float(np.mean([look.quality for look in looks])),
        strain=float(np.mean([look.strain for look in looks])),
    )


def apart(first: Limb, second: Limb) -> bool:
    """Whether two limbs are not the same one seen twice."""
    a, b = (np.array(list(limb.expected.values())).mean(axis=0) for limb in (first, second))
    return bool(np.hypot(*(a - b)) > 0.4 * max(first.length, second.length))
