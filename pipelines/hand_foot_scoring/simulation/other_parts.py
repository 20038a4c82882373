"""Body parts that are not scored: knee, ankle, forearm, leg, wrist, pelvis, chest, and shapes of no meaning.

They are drawn roughly, large bones with soft tissue. What is learned from them is that not every bone belongs to a hand
or a foot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.simulation.bone_shapes import irregular_outline
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Look, Skeleton, Tube

REACH_MM = 200.0  # height of the film
Point = tuple[float, float]


class Sketch:
    """Bones and tissue of a part while it is drawn, mm, the middle of the film at the origin."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.bones: list[Tube | Blob] = []
        self.tissue: list[Capsule] = []
        self.look = Look(
            rng.uniform(0.1, 0.6),
            rng.uniform(0.5, 1.5),
            rng.uniform(0.2, 0.5),
            rng.uniform(0.1, 0.5),
            rng.uniform(0.2, 0.5),
        )

    def long(self, start: Point, end: Point, ends: tuple[float, float], shaft: float, thick: float = 1.0) -> None:
        """A tubular bone between two points; half-widths of its ends and of its shaft."""
        rng = self.rng
        start = (start[0] + rng.normal(0, 2), start[1] + rng.normal(0, 2))
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        flare = min(0.3 * length, 2.2 * max(ends))
        begin = ((0.0, ends[0]), (0.35 * flare, 0.95 * ends[0]), (flare, shaft))
        knots = (*begin, (length - flare, shaft), (length - 0.35 * flare, 0.95 * ends[1]), (length, ends[1]))
        direction = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
        self.bones.append(
            Tube(
                "long",
                start,
                direction,
                length,
                knots,
                0.35 * shaft,
                hollow=rng.normal(0, 1.0),
                round=abs(rng.normal(0, 3.0)),
                density=thick * rng.uniform(0.5, 1.0),
                look=self.look,
            )
        )

    def short(self, centre: Point, half: Point, angle: float = 0.0, thick: float = 20.0) -> None:
        """A short or flat bone."""
        rng = self.rng
        centre = (centre[0] + rng.normal(0, 2), centre[1] + rng.normal(0, 2))
        outline = irregular_outline(rng, half, angle + rng.normal(0, 0.1), rng.uniform(2.0, 3.0))
        self.bones.append(Blob("short", centre, outline, thick * rng.uniform(0.6, 1.2), look=self.look))

    def flesh(self, start: Point, end: Point, radii: Point, flat: float = 0.9) -> None:
        """Soft tissue round a line."""
        self.tissue.append(Capsule(start, end, radii, flat * self.rng.uniform(0.8, 1.2)))


def knee(sketch: Sketch) -> None:
    """Femur, tibia, fibula and patella from the front or from the side."""
    rng = sketch.rng
    front, bend = rng.random() < 0.5, 0.0
    if not front:
        bend = rng.uniform(0, 90)
    hip = (bend * rng.choice([-1, 1]), -150.0)
    sketch.long(hip, (0, -4), (20, rng.uniform(32, 40)), 16, 1.3)
    sketch.long((0, 2), (rng.normal(-bend / 3, 8), 150), (rng.uniform(33, 40), 18), 14, 1.2)
    sketch.long((rng.choice([-1, 1]) * 28, 22), (rng.choice([-1, 1]) * 22, 150), (9, 6), 5)
    if front:
        sketch.short((0, -28), (19, 21))
    else:
        sketch.short((-np.sign(hip[0] + 1e-9) * 40, -25), (10, 21))
    sketch.flesh(hip, (0, 0), (62, 55))
    sketch.flesh((0, 0), (0, 150), (52, 46))


def ankle(sketch: Sketch) -> None:
    """Tibia and fibula over the talus, from the front."""
    rng = sketch.rng
    sketch.long((0, -150), (0, 8), (14, 24), 13, 1.2)
    side = rng.choice([-1, 1])
    sketch.long((side * 20, -150), (side * 27, 26), (7, 11), 6)
    sketch.short((0, 24), (22, 15), thick=30)
    sketch.short((side * 4, 52), (20, 24), thick=35)
    sketch.flesh((0, -150), (0, 0), (48, 38))
    sketch.flesh((0, 0), (0, 60), (40, 42), 1.3)


def two_bones(sketch: Sketch) -> None:
    """A forearm or a lower leg without its joints, or with one of them."""
    rng = sketch.rng
    thick, apart = rng.uniform(6, 15), rng.uniform(14, 34)
    ratio = rng.uniform(0.4, 1.0)
    top, bottom = rng.uniform(-220, -60), rng.uniform(60, 220)
    lean = rng.normal(0, 12)
    sketch.long((-apart / 2, top), (-apart / 2 + lean, bottom), (1.9 * thick, 1.7 * thick), thick)
    sketch.long(
        (apart / 2, top + rng.normal(0, 20)), (apart / 2 + lean, bottom), (ratio * 15, ratio * 15), ratio * thick
    )
    if rng.random() < 0.5:  # an elbow, or what lies beyond a joint
        sketch.long((rng.normal(0, 10), top - 140), (0, top - 3), (20, 28), 13)
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(2, 7))):
            sketch.short((rng.normal(0, 18), bottom + rng.uniform(4, 30)), (rng.uniform(5, 12), rng.uniform(5, 12)))
    sketch.flesh((0, top), (lean, bottom), (apart + 24, apart + 14))


def pelvis(sketch: Sketch) -> None:
    """Two hips."""
    rng = sketch.rng
    size = rng.uniform(0.6, 1.3)
    for side in (-1, 1):
        sketch.short((side * 55 * size, -40 * size), (38 * size, 48 * size), side * 0.4, 14)
        sketch.short((side * 30 * size, 40 * size), (14 * size, 24 * size), side * 0.5, 18)
        sketch.short((side * 72 * size, 22 * size), (17 * size, 17 * size), 0, 30)
        sketch.long((side * 80 * size, 30 * size), (side * 78 * size, 170), (22 * size, 16 * size), 13 * size)
        sketch.flesh((side * 60 * size, 30 * size), (side * 70 * size, 160), (52 * size, 48 * size))
    for n in range(int(rng.integers(2, 6))):
        sketch.short((0, (-20 - 26 * n) * size), (22 * size, 11 * size), 0, 30)
    sketch.flesh((0, -120), (0, 20), (95 * size, 100 * size), 0.9)


def chest(sketch: Sketch) -> None:
    """Ribs, spine, heart and lungs."""
    rng = sketch.rng
    for side in (-1, 1):
        for n in range(int(rng.integers(6, 11))):
            y = -90 + 19 * n
            sketch.long((side * 8, y), (side * (55 + 3 * n), y + rng.uniform(5, 30)), (4, 4), 3.2, 0.5)
            if rng.random() < 0.8:
                sketch.long((side * (60 + 3 * n), y + 20), (side * 25, y + 55), (3.5, 3.5), 3.0, 0.4)
        sketch.long((side * 8, -85), (side * 80, -98), (6, 6), 4.5, 0.6)
        sketch.flesh((side * 100, -90), (side * 105, 120), (18, 26), 1.2)
    for n in range(10):
        sketch.short((0, -95 + 21 * n), (12, 9), 0, 20)
    sketch.short((-16, 25), (rng.uniform(30, 44), rng.uniform(32, 48)), 0.5, rng.uniform(60, 120))
    sketch.flesh((-70, 115), (70, 110), (34, 40), 1.3)
    sketch.flesh((0, -120), (0, 110), (24, 30), 1.1)


def shapes(sketch: Sketch) -> None:
    """Bones and flesh anyhow."""
    rng = sketch.rng
    for _ in range(int(rng.integers(0, 5))):
        angle = rng.normal(0, 0.5) + rng.choice([0.0, np.pi / 2])
        half, length = rng.uniform(6, 22), rng.uniform(60, 220)
        start = (rng.uniform(-70, 70), rng.uniform(-120, 60))
        end = (start[0] + np.sin(angle) * length, start[1] + np.cos(angle) * length)
        sketch.long(start, end, (half * rng.uniform(1.0, 1.8), half * rng.uniform(1.0, 1.8)), half)
        sketch.flesh(start, end, (half * 3, half * 2.4), 1.0)
    for _ in range(int(rng.integers(0, 5))):
        centre = (rng.uniform(-80, 80), rng.uniform(-100, 100))
        radii = gaussian_filter(rng.uniform(12, 60) * (1 + 0.15 * rng.standard_normal(32)), 2, mode="wrap")
        sketch.bones.append(Blob("flat", centre, radii, rng.uniform(5, 40)))
    wide = (rng.uniform(20, 90), rng.uniform(20, 90))
    sketch.flesh((rng.uniform(-40, 40), -80.0), (rng.uniform(-40, 40), 80.0), wide, 1.0)


PARTS: tuple[Callable[[Sketch], None], ...] = (knee, ankle, two_bones, two_bones, pelvis, chest, shapes)


def other_part(rng: np.random.Generator) -> Skeleton:
    """A body part without any site, `REACH_MM` high or larger, its middle at the origin."""
    sketch = Sketch(rng)
    PARTS[int(rng.integers(len(PARTS)))](sketch)
    return Skeleton("hand", tuple(sketch.bones), tuple(sketch.tissue), (), {}, {}, {}, {}, 1.0, False)
