"""A left forefoot with midfoot, toes up."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.hand_foot_scoring.simulation.bone_shapes import irregular_outline, point_along
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.limb_builder import GROWN, LimbBuilder, implant
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Skeleton, Tube

METATARSAL = (61.0, 74.0, 70.0, 68.5, 66.0)
TOE = ((33.0, 0.0, 24.0), (27.0, 11.5, 9.0), (25.0, 9.0, 8.5), (22.5, 7.5, 8.0), (20.0, 6.0, 7.5))


def foot(
    rng: np.random.Generator, disease: Disease | None = None, age: float | None = None, odd: bool = True
) -> Skeleton:
    """A left forefoot with midfoot from above, toes up.

    Parameters
    ----------
    rng
        Draws its build.
    disease
        The grades to draw; sites that it leaves out are healthy.
    age
        Years; random adult if None.
    odd
        Whether amputations and implants may occur.
    """
    grown = 18.0 if age is None else age
    growth = float(np.clip(0.42 + 0.58 * (grown / 17.0) ** 0.85, 0.4, 1.0))
    scale = growth * float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.22))
    build = LimbBuilder(rng, disease or Disease(), grown, scale, part_is_foot=True)
    s = scale
    plump = 1 + 0.25 * build.young  # an infant's soft tissue is thick
    bases = {1: (16.0, 5.0), 2: (0.0, 0.0), 3: (-11.0, 3.0), 4: (-20.5, 7.0), 5: (-29.5, 13.0)}
    fan = {1: 5.0, 2: 0.0, 3: -3.5, 4: -7.5, 5: -12.5}
    spread = rng.normal(0, 1.5)
    bunion = abs(rng.normal(0, 9))
    cut_ray, cut_joint = (int(rng.integers(1, 6)), 0) if odd and rng.random() < 0.03 else (0, 0)
    for n in (1, 2, 3, 4, 5):
        size = s * float(rng.normal(1, 0.025))
        base = (s * (bases[n][0] + rng.normal(0, 0.8)), s * (bases[n][1] + rng.normal(0, 1.0)))
        first = fan[n] + spread * (2.5 - n) * 0.6 + (0.5 * bunion if n == 1 else 0)
        second = (4 - bunion if n == 1 else 2 - 1.5 * n) + rng.normal(0, 5)
        proximal, middle, distal = (part * size for part in TOE[n - 1])
        if n == 1:
            lengths = [METATARSAL[0] * size, proximal, distal]
            widths = [(19.0 * s, 13.5 * s, 21.0 * s), (20.0 * s, 13.0 * s, 17.0 * s), (18.0 * s, 9.5 * s, 12.0 * s)]
            angles = [first, second, second + rng.normal(-3, 5)]
            joints = [("MTP1", 2.0 * s), ("IP1", 1.5 * s)]
            plates: list[Literal["base", "head", "none"]] = ["base", "base", "base"]
        else:
            toe = rng.uniform(0.65, 1.0)  # toes claw: they are seen shortened
            lengths = [METATARSAL[n - 1] * size, proximal * toe, middle * toe, distal * toe]
            widths = [
                (13.5 * s, 7.4 * s, 11.8 * s),
                (10.8 * s, 6.0 * s, 8.2 * s),
                (8.6 * s, 6.2 * s, 7.6 * s),
                (7.4 * s, 4.2 * s, 5.2 * s),
            ]
            third = second + rng.normal(0, 7)
            angles = [first, second, third, third + rng.normal(0, 8)]
            joints = [(f"MTP{n}", 1.7 * s), (f"toe PIP{n}", 1.0 * s), (f"toe DIP{n}", 0.8 * s)]
            plates = ["head", "base", "none", "none"]
        indices = build.ray(
            base,
            [float(np.radians(a)) for a in angles],
            lengths,
            widths,
            joints,
            f"ray{n}.",
            plates,
            flesh=(12.5 if n == 1 else 7.8) * plump * s * rng.uniform(0.9, 1.15),
            cut=cut_joint if cut_ray == n else None,
        )
        metatarsal = build.bones[indices[0]]
        assert isinstance(metatarsal, Tube)
        build.tissue.append(
            Capsule(metatarsal.start, metatarsal.end, (18 * s, (15 if n == 1 else 12) * s), 0.9, metatarsal.name)
        )
        if n == 1 and build.age > 9:
            for side in (-1, 1):
                _sesamoid(build, metatarsal, side * 4.6, (3.4, 4.4))
        elif build.age > GROWN and rng.random() < 0.08:
            _sesamoid(build, metatarsal, float(rng.choice((-1.5, 1.5))), (1.8, 2.2))
    if odd and build.age > 17 and rng.random() < 0.03:
        build.objects += implant(build.sites["MTP1"], 10 * s, rng)
        build.states["MTP1"] = "prosthesis"
    _midfoot(build)
    return build.skeleton("foot")


def _sesamoid(build: LimbBuilder, metatarsal: Tube, aside: float, half: tuple[float, float]) -> None:
    """A sesamoid under the head of a metatarsal, now and then in two parts.

    Parameters
    ----------
    build
        The foot so far.
    metatarsal
        The bone.
    aside
        How far beside its axis the sesamoid lies, mm of a mean adult.
    half
        Half axes across and along, mm of a mean adult.
    """
    rng, s = build.rng, build.scale
    grown = build.age > GROWN
    x, y = point_along(metatarsal.end, metatarsal.direction, -s * (rng.normal(7, 2.2) if grown else 7))
    size = s * (float(rng.uniform(0.8, 1.15)) if grown else 1.0)
    halves = (-0.55, 0.55) if grown and rng.random() < 0.12 else (0.0,)
    for part in halves:
        outline = irregular_outline(rng, (half[0] * size, half[1] * size * (0.5 if part else 1.0)), 0)
        middle = (x + aside * s, y + part * half[1] * size)
        build.bones.append(Blob("sesamoid", middle, outline, 7 * s))


# name, middle, half axes, thickness, and the age from which it is seen
TARSALS = (
    ("medial cuneiform", 15, 19, (8.5, 13), 20, 2.0),
    ("middle cuneiform", 1, 12, (6.5, 9.5), 22, 3.0),
    ("lateral cuneiform", -9.5, 16, (6.5, 12), 22, 0.8),
    ("cuboid", -21, 28, (10.5, 15), 22, 0.2),
    ("navicular", 6, 36, (17, 8), 24, 3.0),
    ("talus", 4, 58, (15, 19), 28, -1.0),
    ("calcaneus", -14, 66, (14, 26), 26, -1.0),
)


def _midfoot(build: LimbBuilder) -> None:
    """Tarsal bones that overlap as the foot is more or less flat, the heel, and on many films the leg behind it."""
    rng, s = build.rng, build.scale
    near = rng.uniform(0.8, 1.04)  # a steep midfoot is seen shortened
    solid = rng.uniform(0.45, 1.0)  # how much the tarsal bones stand out from what lies over them
    for name, x, y, half, thick, appears in TARSALS:
        grown = 1.0 if build.age >= 12 else float(np.clip((build.age - appears) / (12 - appears), 0.01, 1)) ** 0.5
        centre = (s * (x + rng.normal(0, 1.2)), s * (near * y + rng.normal(0, 1.2)))
        size = s * grown * rng.uniform(0.95, 1.12)
        outline = irregular_outline(rng, (half[0] * size, half[1] * size), float(rng.normal(0, 0.12)), 2.8)
        build.bones.append(Blob(name, centre, outline, thick * s, density=solid))
    wide = s * rng.uniform(0.92, 1.1)
    build.tissue.append(Capsule((-6 * s, -55 * s), (-6 * s, 10 * s), (36 * wide, 36 * wide), 0.55))
    kind = rng.random()
    if kind < 0.3:  # the film ends behind the midfoot, or the heel fades into the dark
        build.tissue.append(Capsule((-6 * s, 10 * s), (-4 * s, 90 * s), (38 * wide, 34 * wide), 0.9))
        return
    _leg(build, wide, short=kind < 0.55)


def _leg(build: LimbBuilder, wide: float, short: bool) -> None:
    """Leg and ankle behind the foot; a short one points at the tube and is seen as a bright round."""
    rng, s = build.rng, build.scale
    lean = rng.normal(0, 0.12)
    u = (float(np.sin(lean)), float(np.cos(lean)))
    ankle = (s * (2 + rng.normal(0, 3)), s * rng.uniform(50, 74))
    length = s * (rng.uniform(15, 45) if short else rng.uniform(200, 340))
    tibia = ((0.0, 17 * s), (10 * s, 18 * s), (35 * s, 12.5 * s), (max(length, 40 * s), 11 * s))
    fibula = ((0.0, 9 * s), (18 * s, 8 * s), (40 * s, 6 * s), (max(length, 45 * s), 5.5 * s))
    plates = () if build.age >= 15.5 else ((s * 6.0, s * 1.4),)
    build.bones += [
        Tube("tibia", ankle, u, length, tibia, 4 * s, hollow=2 * s, plates=plates, density=rng.uniform(0.7, 1.2)),
        Tube(
            "fibula",
            point_along(point_along(ankle, (-u[1], u[0]), rng.uniform(17, 23) * s), u, -rng.uniform(6, 16) * s),
            u,
            length,
            fibula,
            2.5 * s,
            plates=plates,
            density=rng.uniform(0.6, 1.0),
        ),
    ]
    bright = rng.uniform(0.9, 1.7)
    build.tissue += [
        Capsule((-6 * s, 10 * s), (-2 * s, 50 * s), (36 * wide, 34 * wide), 0.8),
        Capsule((-2 * s, 50 * s), (ankle[0], ankle[1] + 12 * s), (31 * wide, 33 * wide), bright),
        Capsule(point_along(ankle, u, 5 * s), point_along(ankle, u, length * 1.1), (30 * wide, 42 * wide), 0.95),
    ]
