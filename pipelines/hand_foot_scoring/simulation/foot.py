"""A left forefoot with midfoot, toes up."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.limb_builder import LimbBuilder, implant, irregular_outline, point_along
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
    build = LimbBuilder(rng, disease or Disease(), grown, scale)
    build.part_is_foot = True
    s = scale
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
            flesh=(12.5 if n == 1 else 7.8) * s * rng.uniform(0.9, 1.15),
            cut=cut_joint if cut_ray == n else None,
        )
        metatarsal = build.bones[indices[0]]
        assert isinstance(metatarsal, Tube)
        build.tissue.append(Capsule(metatarsal.start, metatarsal.end, (18 * s, (15 if n == 1 else 12) * s), 0.9))
        if n == 1:
            for side in (-1, 1):
                x, y = point_along(metatarsal.end, metatarsal.direction, -7 * s)
                build.bones.append(
                    Blob("sesamoid", (x + side * 4.6 * s, y), irregular_outline(rng, (3.4 * s, 4.4 * s), 0), 7 * s)
                )
    if odd and build.age > 17 and rng.random() < 0.03:
        build.objects += implant(build.sites["MTP1"], 10 * s, rng)
        build.states["MTP1"] = "prosthesis"
    _midfoot(build)
    return build.skeleton("foot")


def _midfoot(build: LimbBuilder) -> None:
    rng, s = build.rng, build.scale
    for name, x, y, half, thick in (
        ("medial cuneiform", 15, 19, (8.5, 13), 20),
        ("middle cuneiform", 1, 12, (6.5, 9.5), 22),
        ("lateral cuneiform", -9.5, 16, (6.5, 12), 22),
        ("cuboid", -21, 28, (10.5, 15), 22),
        ("navicular", 6, 36, (17, 8), 24),
        ("talus", 4, 58, (15, 19), 28),
        ("calcaneus", -14, 66, (14, 26), 26),
    ):
        centre = (s * (x + rng.normal(0, 0.8)), s * (y + rng.normal(0, 0.8)))
        build.bones.append(Blob(name, centre, irregular_outline(rng, (half[0] * s, half[1] * s), 0, 2.8), thick * s))
    wide = s * rng.uniform(0.92, 1.1)
    build.tissue += [
        Capsule((-6 * s, -55 * s), (-6 * s, 10 * s), (36 * wide, 36 * wide), 0.55),
        Capsule((-6 * s, 10 * s), (-4 * s, 90 * s), (38 * wide, 34 * wide), 0.9),
    ]
