"""A left hand, fingers up."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.hand_foot_scoring.simulation.bone_shapes import irregular_outline, point_along, unit_vector
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.limb_builder import LimbBuilder, implant
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Plate, Skeleton, Tube
from pipelines.hand_foot_scoring.simulation.wrist import draw_wrist

# mean adult bone lengths, mm, thumb to little finger: metacarpal, proximal, middle, distal phalanx
METACARPAL = (46.2, 68.1, 64.6, 58.0, 53.7)
PROXIMAL = (31.6, 39.8, 44.6, 41.4, 32.7)
MIDDLE = (0.0, 22.4, 26.3, 25.7, 18.1)
DISTAL = (21.7, 15.8, 17.4, 17.3, 16.0)
FINGER_WIDTH = (1.0, 0.97, 1.0, 0.92, 0.84)
# joint spaces of healthy adults, mm, index to little finger, chosen to look like those on hand radiographs
MCP_SPACE = (1.75, 1.7, 1.6, 1.5)
PIP_SPACE = (1.15, 1.15, 1.1, 1.0)
# joint to the sides on which a sesamoid may lie (1: towards +x), and how often one is drawn there: our choice
SESAMOIDS = {"MCP1": ((-1, 1), 0.8), "MCP2": ((1,), 0.3), "MCP5": ((-1,), 0.35), "IP1": ((-1,), 0.2)}


def hand(
    rng: np.random.Generator, disease: Disease | None = None, age: float | None = None, odd: bool = True
) -> Skeleton:
    """A left hand with its wrist, fingers up.

    Parameters
    ----------
    rng
        Draws its build.
    disease
        The grades to draw; sites that it leaves out are healthy.
    age
        Years; below 16.5 growth plates are open and the wrist is not fully ossified. Random adult if None.
    odd
        Whether amputations, implants and rings may occur.
    """
    grown = 18.0 if age is None else age
    growth = float(np.clip(0.42 + 0.58 * (grown / 17.0) ** 0.85, 0.4, 1.0))
    scale = growth * float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.22))
    build = LimbBuilder(rng, disease or Disease(), grown, scale)
    s = scale
    spread = rng.uniform(-0.35, 1.5)  # fingers closed to wide apart
    plump = 1 + 0.3 * build.young  # an infant's soft tissue is thick
    broad = float(rng.normal(1.1, 0.08)) * (1 + 0.22 * build.young)  # breadth of palm and wrist against their length
    open_fan = float(rng.normal(1.25, 0.2))  # how far the metacarpals spread
    fan = [0.0, *(open_fan * mean + rng.normal(0, 1.5) for mean in (8.5, 2.0, -5.5, -14.5))]
    splay = [0.0, 3.0 + 6.5 * spread, 1.0 + 0.5 * spread, -1.5 - 4.5 * spread, -4.0 - 10 * spread]
    drift = -abs(rng.normal(0, 16)) if disease is not None and rng.random() < 0.3 else 0.0  # ulnar deviation
    foreshorten = rng.random() < 0.15
    cut_ray, cut_joint = (int(rng.integers(0, 5)), int(rng.integers(1, 3))) if odd and rng.random() < 0.03 else (-1, 0)
    bases = {1: (23.0, 4.0), 2: (10.8, 0.0), 3: (0.3, 0.5), 4: (-10.3, 0.6), 5: (-18.6, 3.2)}
    bases = {n: (s * (broad * x + rng.normal(0, 0.9)), s * (y + rng.normal(0, 0.8))) for n, (x, y) in bases.items()}
    cmc_sites = {3: "CMC3", 4: "CMC4", 5: "CMC5"}
    thumb = rng.normal(40, 10)
    # people differ in how long their metacarpals are against their phalanges
    share = [float(rng.normal(mean, spread)) for mean, spread in ((0.97, 0.05), (1.0, 0.04), (1.0, 0.05), (1.0, 0.05))]
    for n in (1, 2, 3, 4, 5):
        w = FINGER_WIDTH[n - 1] * s
        size = s * float(rng.normal(1, 0.025 if n > 1 else 0.06))  # the thumb is seen from its side, more or less
        means = (METACARPAL[n - 1], PROXIMAL[n - 1], MIDDLE[n - 1], DISTAL[n - 1])
        lengths = [mean * size * part for mean, part in zip(means, share, strict=True)]
        widths = [
            ((12.6 + (1.8 if n in (1, 2) else 0)) * w, 8.6 * w, 14.3 * w),
            (14.8 * w, 9.2 * w, 11.2 * w),
            (13.0 * w, 8.0 * w, 9.6 * w),
            (10.6 * w, 5.2 * w, 7.4 * w),
        ]
        if n == 1:
            first = thumb + rng.normal(0, 3)
            second = first + rng.normal(-12, 14)
            angles = [first, second, second + rng.normal(0, 9)]
            lengths, widths = [lengths[0], lengths[1], lengths[3]], [widths[0], widths[1], (12.0 * w, 6.6 * w, 9.2 * w)]
            joints = [("MCP1", 1.6 * s), ("IP1", 1.3 * s)]
            plates: list[Literal["base", "head", "none"]] = ["base", "base", "base"]
        else:
            first = fan[n - 1] + spread * (3.3 - n)
            second = fan[n - 1] * 0.3 + splay[n - 1] + drift + rng.normal(0, 2.5)
            third = second + rng.normal(0, 3)
            angles = [first, second, third, third + rng.normal(0, 4)]
            joints = [(f"MCP{n}", MCP_SPACE[n - 2] * s), (f"PIP{n}", PIP_SPACE[n - 2] * s), (f"DIP{n}", 0.95 * s)]
            plates = ["head", "base", "base", "base"]
            if foreshorten:
                bent = rng.uniform(0.6, 1.0, size=2)
                lengths[2] *= bent[0]
                lengths[3] *= bent[1]
        base = bases[n]
        direction = unit_vector(np.radians(angles[0]))
        if n in cmc_sites:
            site = cmc_sites[n]
            gap = build.space(site, 1.4 * s)
            build.sites[site] = base
            build.states[site] = "evaluable"
            start = point_along(base, direction, gap - 0.75 * s)
            lengths[0] -= gap - 1.4 * s
        else:
            start = point_along(base, direction, 0.8 * s)
        indices = build.ray(
            start,
            [float(np.radians(a)) for a in angles],
            lengths,
            widths,
            joints,
            f"ray{n}.",
            plates,
            flesh=(9.3 if n > 1 else 10.2) * plump * w * rng.uniform(0.88, 1.12),
            cut=cut_joint if cut_ray == n - 1 else None,
        )
        if n == 1:
            build.sites["MC1B"] = base
            build.states["MC1B"] = "evaluable"
            build.eroded_tubes("MC1B", None, indices[0])
        metacarpal = build.bones[indices[0]]
        assert isinstance(metacarpal, Tube)
        build.tissue.append(
            Capsule(metacarpal.start, metacarpal.end, (13 * s, (11.5 if n > 1 else 12) * s), 1.05, metacarpal.name)
        )
    if odd:
        _hand_oddities(build)
    draw_wrist(build, bases, broad)
    return build.skeleton("hand")


def _hand_oddities(build: LimbBuilder) -> None:
    rng, s = build.rng, build.scale
    for site in ("MCP2", "MCP3", "MCP4", "MCP5", "PIP2", "PIP3", "MCP1"):
        if build.age > 17 and rng.random() < 0.012 and build.states[site] == "evaluable":
            build.objects += implant(build.sites[site], 7.0 * s, rng)
            build.states[site] = "prosthesis"
    if rng.random() < 0.08:
        ray = int(rng.choice([3, 4, 4]))
        bone = next((b for b in build.bones if b.name == f"ray{ray}.1"), None)
        if isinstance(bone, Tube):
            centre = point_along(bone.start, bone.direction, bone.length * rng.uniform(0.3, 0.6))
            angle = float(np.arctan2(bone.direction[0], -bone.direction[1]))
            build.objects.append(Plate(centre, (9.5 * s, rng.uniform(1.2, 3) * s), angle, rng.uniform(8, 25)))
    for name, (sides, chance) in SESAMOIDS.items():
        for side in sides:
            if build.age > 12 and rng.random() < chance:
                _sesamoid(build, name, side)


def _sesamoid(build: LimbBuilder, name: str, side: int) -> None:
    """A sesamoid beside a joint, on side -1 or 1, as often as not over its space; now and then in two parts."""
    rng, s = build.rng, build.scale
    x, y = build.sites[name]
    wide = 4.0 if name == "MCP1" else 2.5
    x += (side * wide + rng.normal(0, 1.5) - (2.0 if name == "MCP1" else 0.0)) * s
    y += (rng.normal(1.5, 2.2) - (side * 2.0 if name == "MCP1" else 0.0)) * s
    half = (s * rng.uniform(1.3, 2.6), s * rng.uniform(1.2, 2.3))
    parts = (-0.9, 0.9) if rng.random() < 0.12 else (0.0,)
    for part in parts:
        size = 0.6 if len(parts) > 1 else 1.0
        outline = irregular_outline(rng, (size * half[0], half[1]), 0)
        build.bones.append(Blob("sesamoid", (x + part * half[0], y), outline, s * rng.uniform(2.0, 4.5)))
