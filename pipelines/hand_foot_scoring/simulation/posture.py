"""Gives a flat skeleton a third dimension: bent and drifting fingers, and the oblique and lateral views of a limb.

z points to the back of the hand (the upper side of the foot), mm. A skeleton is drawn for a beam along z. Here its rays
are bent at their joints, and the whole is turned about its long axis. Bones keep their width, lie closer together and
overlap. What comes out is a flat skeleton again, with the truth of its sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.limb_builder import EPIPHYSIS, irregular_outline
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Lesion, Plate, Points, Skeleton, Tube
from pipelines.hand_foot_scoring.sites import Part

Ends = dict[str, tuple[Points, Points]]  # name of a tubular bone to its start and end, (3,) mm

# depth of the base of each metacarpal and metatarsal, and how far it sinks towards its head, mm of a mean adult
BASE_DEPTH = {
    "hand": {1: -9.0, 2: -1.0, 3: 0.0, 4: -1.5, 5: -4.5},
    "foot": {1: 26.0, 2: 29.0, 3: 25.0, 4: 18.0, 5: 9.0},
}
HEAD_DEPTH = {
    "hand": {1: -20.0, 2: -1.0, 3: 0.0, 4: -2.5, 5: -6.5},
    "foot": {1: 11.0, 2: 9.0, 3: 8.5, 4: 8.0, 5: 7.0},
}
DEPTH = {  # of the middle of a short bone
    "capitate": 0.0,
    "hamate": -2.5,
    "trapezoid": -3.0,
    "trapezium": -8.0,
    "scaphoid": -6.0,
    "lunate": 0.0,
    "triquetrum": -2.0,
    "pisiform": -13.0,
    "tubercle": -10.0,  # of scaphoid and trapezium, and the hook of the hamate
    "radius": 0.0,
    "ulna": 5.0,
    "styloid": 5.0,
    "medial cuneiform": 28.0,
    "middle cuneiform": 31.0,
    "lateral cuneiform": 27.0,
    "cuboid": 18.0,
    "navicular": 33.0,
    "talus": 44.0,
    "calcaneus": 20.0,
    "tibia": 62.0,
    "fibula": 52.0,
}
IN_FRONT = -14.0  # depth, mm of a mean adult, from which on a bent finger lies in front of the rest of the hand
SITE_BONES = {  # a joint site to the bones on its two sides
    **{f"MCP{n}": (f"ray{n}.0", f"ray{n}.1") for n in (1, 2, 3, 4, 5)},
    **{f"PIP{n}": (f"ray{n}.1", f"ray{n}.2") for n in (2, 3, 4, 5)},
    **{f"MTP{n}": (f"ray{n}.0", f"ray{n}.1") for n in (1, 2, 3, 4, 5)},
    "IP1": ("ray1.1", "ray1.2"),
}


@dataclass(frozen=True)
class Posture:
    """How the rays are bent and the limb is turned."""

    turn: float = 0.0  # radians about the long axis; 0 is the PA (DP) view, pi / 2 a lateral one
    pitch: Mapping[str, float] = field(default_factory=dict)  # bone to radians towards the palm (the sole)
    yaw: Mapping[int, float] = field(default_factory=dict)  # ray to radians in the plane, at the MCP (MTP) joint
    length: Mapping[str, float] = field(default_factory=dict)  # bone to its length against the drawn one
    slip: Mapping[int, float] = field(default_factory=dict)  # ray to mm by which the proximal phalanx slips back
    aside: Mapping[int, float] = field(default_factory=dict)  # and by which it lies beside the joint, to the ulnar side
    kink: Mapping[str, float] = field(default_factory=dict)  # bone to radians in the plane against the bone before it


def posed(skeleton: Skeleton, posture: Posture) -> Skeleton:
    """A skeleton in a posture, seen along the beam.

    Parameters
    ----------
    skeleton
        Flat, as it is drawn.
    posture
        What becomes of it.

    Returns
    -------
    Skeleton
        Flat again; sites have moved, grades and states are as before.
    """
    c, s = np.cos(posture.turn), np.sin(posture.turn)
    scale = skeleton.scale

    def flat(point: Points) -> tuple[float, float]:
        return float(point[0] * c + point[2] * s), float(point[1])

    def deep(point: tuple[float, float], depth: float) -> Points:
        return np.array([point[0], point[1], depth * scale])

    def further(start: Points, end: Points) -> float:
        return float((end[2] - start[2]) * c - (end[0] - start[0]) * s)

    ends = _ends(skeleton, posture)
    tubes = {bone.name: bone for bone in skeleton.bones if isinstance(bone, Tube)}
    bones: list[Tube | Blob] = []
    for bone in skeleton.bones:
        ray = bone.name.removesuffix(EPIPHYSIS)
        if isinstance(bone, Blob) and ray in ends:
            bones.append(_blob(bone, flat(_beside(tubes[ray], ends, bone.centre)), posture.turn))
        elif isinstance(bone, Tube) and bone.name in ends:
            start, end = ends[bone.name]
            bones.append(_tube(bone, flat(start), flat(end), further(start, end)))
        elif isinstance(bone, Tube):
            depth = DEPTH.get(bone.name, 0.0)
            start, end = deep(bone.start, depth), deep(bone.end, depth)
            bones.append(_tube(bone, flat(start), flat(end), further(start, end)))
        else:
            bones.append(_blob(bone, flat(deep(bone.centre, _depth(bone, skeleton.part))), posture.turn))
    moved = {}
    for name, site in skeleton.sites.items():
        near = SITE_BONES.get(name)
        if near is not None and near[0] in ends and near[1] in ends:
            moved[name] = flat((ends[near[0]][1] + ends[near[1]][0]) / 2)
        else:
            moved[name] = flat(deep(site, _site_depth(name, skeleton.part)))
    tissue = []
    for capsule in skeleton.tissue:
        if capsule.bone in ends:
            start, end = (_beside(tubes[capsule.bone], ends, point) for point in (capsule.start, capsule.end))
        else:
            sole = 12.0 if skeleton.part == "foot" else -4.0
            start, end = deep(capsule.start, sole), deep(capsule.end, sole)
        made = _capsule(capsule, flat(start), flat(end), further(start, end), posture.turn)
        finger = capsule.bone in ends and not capsule.bone.startswith("ray1") and not capsule.bone.endswith(".0")
        lies_over = finger and min(start[2], end[2]) < IN_FRONT * scale
        tissue.append(replace(made, in_front=capsule.in_front or bool(lies_over)))
    objects = tuple(_plate(plate, flat(deep(plate.centre, 0.0)), c) for plate in skeleton.objects)
    return replace(skeleton, bones=tuple(bones), tissue=tuple(tissue), objects=objects, sites=moved)


def _depth(bone: Blob, part: Part) -> float:
    if bone.name == "sesamoid":
        return 2.0 if part == "foot" else -24.0
    return DEPTH.get(bone.name, 0.0)


def _site_depth(name: str, part: Part) -> float:
    if part == "foot":
        return 8.0
    if name == "MC1B":
        return BASE_DEPTH["hand"][1]
    if name.startswith("CMC"):
        return BASE_DEPTH["hand"][int(name[3])]
    return {"MULT": -5.5, "MULTNAV": -5.5, "NAV": -6.0, "ULN": 5.0}.get(name, 0.0)


def _ends(skeleton: Skeleton, posture: Posture) -> Ends:
    """Start and end of every bone of the rays, bent at their joints."""
    tubes = {bone.name: bone for bone in skeleton.bones if isinstance(bone, Tube) and bone.name.startswith("ray")}
    scale = skeleton.scale
    ends: Ends = {}
    for ray in (1, 2, 3, 4, 5):
        yaw = 0.0
        before: Tube | None = None
        for number in range(4):
            bone = tubes.get(f"ray{ray}.{number}")
            if bone is None:
                break
            ux, uy = bone.direction
            length = float(np.hypot(bone.length, bone.deep)) * posture.length.get(bone.name, 1.0)
            if before is None:
                start = np.array([*bone.start, BASE_DEPTH[skeleton.part][ray] * scale])
                sink = (HEAD_DEPTH[skeleton.part][ray] - BASE_DEPTH[skeleton.part][ray]) * scale
                end = start + np.array([ux * length, uy * length, sink])
            else:
                if number == 1:
                    yaw = posture.yaw.get(ray, 0.0)
                yaw += posture.kink.get(bone.name, 0.0)
                gap = _turned((bone.start[0] - before.end[0], bone.start[1] - before.end[1]), yaw)
                start = ends[before.name][1] + np.array([*gap, 0.0])
                if number == 1 and posture.slip.get(ray):
                    start = start - posture.slip[ray] * np.array([*_turned(bone.direction, yaw), 0.0])
                if number == 1 and posture.aside.get(ray):
                    start = start - np.array([posture.aside[ray], 0.0, 0.0])
                pitch = posture.pitch.get(bone.name, float(np.arctan2(-bone.deep, bone.length)))
                dx, dy = _turned((ux, uy), yaw)
                end = start + length * np.array([dx * np.cos(pitch), dy * np.cos(pitch), -np.sin(pitch)])
            ends[bone.name] = (start, end)
            before = bone
    return ends


def _beside(bone: Tube, ends: Ends, point: tuple[float, float]) -> Points:
    """Where a point on the axis of a bone, or on its continuation, has moved with the bone, (3,) mm."""
    ux, uy = bone.direction
    along = (point[0] - bone.start[0]) * ux + (point[1] - bone.start[1]) * uy
    start, end = ends[bone.name]
    return np.asarray(start + along / max(bone.length, 1e-6) * (end - start))


def _turned(vector: tuple[float, float], angle: float) -> tuple[float, float]:
    c, s = np.cos(angle), np.sin(angle)
    return float(vector[0] * c - vector[1] * s), float(vector[0] * s + vector[1] * c)


def _tube(bone: Tube, start: tuple[float, float], end: tuple[float, float], deep: float) -> Tube:
    """A tubular bone between two points, `deep` mm further back at its end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    seen = float(np.hypot(dx, dy))
    length = max(seen, 0.05 * bone.length)
    ux, uy = (dx / seen, dy / seen) if seen > 1e-3 else bone.direction
    share = length / bone.length
    return replace(
        bone,
        start=start,
        direction=(ux, uy),
        length=length,
        knots=tuple((at * share, half) for at, half in bone.knots),
        plates=tuple((at * share, width) for at, width in bone.plates),
        round=bone.round * min(1.0, 0.3 + 0.7 * share),
        bend=bone.bend * share,
        deep=deep,
        scars=tuple((at * share, strength) for at, strength in bone.scars),
        lesions=tuple(_lesion(lesion, bone, start, (ux, uy), share) for lesion in bone.lesions),
        marks=tuple(_lesion(mark, bone, start, (ux, uy), share) for mark in bone.marks),
    )


def _lesion(lesion: Lesion, bone: Tube, start: tuple[float, float], u: tuple[float, float], share: float) -> Lesion:
    vx, vy = bone.direction
    x, y = lesion.centre[0] - bone.start[0], lesion.centre[1] - bone.start[1]
    along, across = (x * vx + y * vy) * share, y * vx - x * vy
    centre = (start[0] + along * u[0] - across * u[1], start[1] + along * u[1] + across * u[0])
    change = np.arctan2(u[1], u[0]) - np.arctan2(vy, vx)
    return replace(lesion, centre=centre, angle=float(lesion.angle + change))


def _blob(bone: Blob, centre: tuple[float, float], turn: float) -> Blob:
    """A short bone from the side is as wide as it was thick."""
    if abs(turn) < 1e-6:
        return replace(
            bone,
            centre=centre,
            lesions=_with(bone, bone.lesions, centre),
            marks=_with(bone, bone.marks, centre),
        )
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    x, y = bone.radii * np.cos(theta), bone.radii * np.sin(theta)
    wide = max(float(np.abs(x).max()), 1e-3)
    half = bone.thickness / 2
    factor = float(np.hypot(np.cos(turn), half / wide * np.sin(turn)))
    radii = outline_of(np.arctan2(y, x * factor), np.hypot(x * factor, y), bone.radii.size)
    thickness = 2 * float(np.hypot(half * np.cos(turn), wide * np.sin(turn)))
    lesions, marks = _with(bone, bone.lesions, centre), _with(bone, bone.marks, centre)
    return replace(bone, centre=centre, radii=radii, thickness=thickness, lesions=lesions, marks=marks)


def _with(bone: Blob, lesions: tuple[Lesion, ...], centre: tuple[float, float]) -> tuple[Lesion, ...]:
    """Lesions that go with a short bone to its new middle."""
    dx, dy = centre[0] - bone.centre[0], centre[1] - bone.centre[1]
    return tuple(replace(lesion, centre=(lesion.centre[0] + dx, lesion.centre[1] + dy)) for lesion in lesions)


def outline_of(theta: Points, radii: Points, count: int) -> Points:
    order = np.argsort(theta)
    grid = np.linspace(-np.pi, np.pi, count, endpoint=False)
    return np.asarray(np.interp(grid, theta[order], radii[order], period=2 * np.pi))


def _capsule(
    capsule: Capsule, start: tuple[float, float], end: tuple[float, float], deep: float, turn: float
) -> Capsule:
    """Soft tissue between two points; the beam runs aslant, or along it, where one of them lies `deep` mm behind."""
    factor = float(np.hypot(np.cos(turn), capsule.flat * np.sin(turn)))
    flat = capsule.flat / max(factor, 1e-3) ** 2
    radius = (capsule.radius[0] * factor, capsule.radius[1] * factor)
    seen, wide = float(np.hypot(end[0] - start[0], end[1] - start[1])), max(*radius, 1e-3)
    longer = min(float(np.hypot(1, deep / max(seen, 1e-3))), 1 + abs(deep) / (2 * wide))
    return replace(capsule, start=start, end=end, radius=radius, flat=flat * longer)


def _plate(plate: Plate, centre: tuple[float, float], c: float) -> Plate:
    return replace(plate, centre=centre, half=(max(abs(c) * plate.half[0], 1.0), plate.half[1]))


# ---------------------------------------------------------------- drawn postures
def deformed_hand(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A hand with the deformities of long rheumatoid arthritis, more or less of each.

    Ulnar drift, fingers that are bent or slip back over the metacarpals, boutonniere and swan neck deformity,
    telescoped phalanges, and a carpus that has collapsed or grown together.
    """
    pitch: dict[str, float] = {}
    yaw: dict[int, float] = {}
    length: dict[str, float] = {}
    slip: dict[int, float] = {}
    drift = rng.normal(-0.15, 0.4) if rng.random() < 0.6 else 0.0
    bent = rng.uniform(0.2, 1.0)
    for ray in (2, 3, 4, 5):
        yaw[ray] = float(np.clip(drift * rng.uniform(0.5, 1.3) + rng.normal(0, 0.08), -1.0, 0.6))
        if rng.random() < bent:
            pitch |= _bent_finger(ray, rng)
        if rng.random() < 0.25:
            slip[ray] = float(rng.uniform(2, 14)) * skeleton.scale
        if rng.random() < 0.2:
            length[f"ray{ray}.{int(rng.integers(1, 4))}"] = float(rng.uniform(0.45, 0.85))
    if rng.random() < 0.5:  # Z deformity of the thumb
        yaw[1] = float(rng.normal(0, 0.45))
        pitch["ray1.1"], pitch["ray1.2"] = float(rng.uniform(-0.3, 1.2)), float(rng.uniform(-0.5, 1.2))
    changed = posed(skeleton, Posture(float(rng.normal(0, 0.1)), pitch, yaw, length, slip))
    return fused_carpus(changed, rng) if rng.random() < 0.4 else changed


def _bent_finger(ray: int, rng: np.random.Generator) -> dict[str, float]:
    kind = rng.random()
    if kind < 0.3:  # bent at the MCP joint
        first, second, third = rng.uniform(0.3, 1.45), rng.normal(0.1, 0.3), rng.normal(0.1, 0.3)
    elif kind < 0.55:  # boutonniere
        first, second = rng.normal(0, 0.25), rng.uniform(0.6, 1.9)
        third = second + rng.normal(-0.2, 0.5)
    elif kind < 0.75:  # swan neck
        first, second, third = rng.uniform(0, 0.6), rng.uniform(-0.6, 0), rng.uniform(0.3, 1.2)
    else:  # curled in
        first = rng.uniform(0.2, 1.2)
        second, third = first + rng.uniform(0, 1.2), first + rng.uniform(0.2, 1.8)
    return {f"ray{ray}.1": float(first), f"ray{ray}.2": float(second), f"ray{ray}.3": float(third)}


CARPALS = ("capitate", "hamate", "trapezoid", "trapezium", "scaphoid", "lunate", "triquetrum", "pisiform")


def fused_carpus(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A hand whose carpal bones are pressed together or have grown into one.

    Outlines reach into each other, the rims between them fade, and bone fills the spaces. Sites stay where they are.
    """
    carpals = [bone for bone in skeleton.bones if isinstance(bone, Blob) and bone.name in CARPALS]
    if not carpals:
        return skeleton
    middle = np.mean([bone.centre for bone in carpals], axis=0)
    grow, fade = rng.uniform(1.05, 1.3), rng.uniform(0.0, 0.6)
    bones: list[Tube | Blob] = []
    for bone in skeleton.bones:
        if isinstance(bone, Blob) and bone.name in CARPALS:
            look = replace(bone.look, rim=fade * bone.look.rim)
            bones.append(
                replace(bone, radii=bone.radii * grow, look=look, density=bone.density * rng.uniform(0.6, 0.9))
            )
        else:
            bones.append(bone)
    reach = np.ptp([bone.centre for bone in carpals], axis=0) / 2 + np.mean([bone.radii.mean() for bone in carpals])
    half = (float(rng.uniform(0.7, 0.95) * reach[0]), float(rng.uniform(0.65, 1.15) * reach[1]))
    thick = 9 * skeleton.scale
    whole = Blob("carpus", (float(middle[0]), float(middle[1])), irregular_outline(rng, half, 0.0), thick)
    look = replace(carpals[0].look, rim=0.1)
    return replace(skeleton, bones=(*bones, replace(whole, look=look, density=float(rng.uniform(0.2, 0.7)))))


def clawed_foot(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A foot with clawed, drifting and slipped toes, more or less of each."""
    pitch: dict[str, float] = {}
    yaw: dict[int, float] = {1: float(rng.normal(0, 0.25))}
    slip: dict[int, float] = {}
    drift = float(rng.normal(0, 0.2))
    for ray in (2, 3, 4, 5):
        yaw[ray] = drift + float(rng.normal(0, 0.1))
        if rng.random() < 0.5:
            first = float(rng.uniform(-1.0, 0.3))
            pitch |= {f"ray{ray}.1": first, f"ray{ray}.2": float(rng.uniform(0.2, 1.4)), f"ray{ray}.3": first + 0.8}
        if rng.random() < 0.15:
            slip[ray] = float(rng.uniform(2, 10)) * skeleton.scale
    return posed(skeleton, Posture(float(rng.normal(0, 0.1)), pitch, yaw, {}, slip))


def curled_child(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A small child's hand or foot that does not lie still: digits a little bent, the thumb often in the palm."""
    yaw = {1: -float(rng.uniform(0, 0.8))} if skeleton.part == "hand" and rng.random() < 0.5 else {}
    return posed(skeleton, Posture(float(rng.normal(0, 0.12)), _relaxed(rng, 0.3), yaw))


def oblique(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A limb turned by 33 to 62 degrees about its long axis, mostly the way in which it is done."""
    usual = -1.0 if skeleton.part == "hand" else 1.0
    angle = np.radians(rng.uniform(33, 62)) * (usual if rng.random() < 0.8 else -usual)
    return posed(skeleton, Posture(float(angle), _relaxed(rng, 0.35)))


MOST_BENT = 0.8  # radians: a joint of a finger that is bent more is not graded as if it lay flat


def not_quite_flat(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A limb in the view that is scored as it mostly lies: turned by a few degrees, its rays a little bent.

    The little finger and the toes are bent the most.
    """
    pitch: dict[str, float] = {}
    for ray in (1, 2, 3, 4, 5):
        curled = skeleton.part == "foot" or ray == 5
        first = float(np.clip(rng.normal(-0.15 if skeleton.part == "foot" else 0.08, 0.2), -0.5, 0.5))
        second = min(MOST_BENT, first + abs(float(rng.normal(0, 0.45 if curled else 0.15))))
        pitch |= {f"ray{ray}.1": first, f"ray{ray}.2": second, f"ray{ray}.3": second + float(rng.normal(0.05, 0.15))}
    return posed(skeleton, Posture(float(rng.normal(0, 0.07)), pitch))


def lateral(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A limb turned by 75 to 105 degrees about its long axis; a foot gets a heel and a leg as the side shows them."""
    angle = np.radians(rng.uniform(75, 105)) * rng.choice([-1, 1])
    fanned = rng.uniform(0, 0.9) if rng.random() < 0.7 else 0.0
    if skeleton.part == "hand":
        return posed(skeleton, Posture(float(angle), _relaxed(rng, 0.25, fanned)))
    kept = tuple(b for b in skeleton.bones if b.name not in ("talus", "calcaneus", "tibia", "fibula"))
    toes = tuple(c for c in skeleton.tissue if max(c.start[1], c.end[1]) < 25 * skeleton.scale)
    return _with_heel(posed(replace(skeleton, bones=kept, tissue=toes), Posture(float(angle), _relaxed(rng, 0.3))), rng)


def _relaxed(rng: np.random.Generator, spread: float, fan: float = 0.0) -> dict[str, float]:
    """Fingers or toes as they lie without force: a little bent, or fanned out (the little finger most)."""
    pitch = {}
    way = rng.choice([-1, 1])
    for ray in (1, 2, 3, 4, 5):
        first = float(rng.normal(0.1, spread)) + (fan * (ray - 2 if way > 0 else 5 - ray) / 3 if ray > 1 else 0.0)
        for number in (1, 2, 3):
            pitch[f"ray{ray}.{number}"] = first
            first += float(rng.normal(0.08, 0.5 * spread))
    return pitch


def _with_heel(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """The back of a foot from the side, in the plane in which the sole lies at x = 0."""
    s = skeleton.scale
    middle = float(np.mean([site[0] for site in skeleton.sites.values()]))
    up = 1.0 if middle >= 0 else -1.0

    def at(height: float, along: float) -> tuple[float, float]:
        return up * s * (height + float(rng.normal(0, 1.0))), s * (along + float(rng.normal(0, 1.5)))

    look = skeleton.bones[0].look

    def blob(name: str, centre: tuple[float, float], half: tuple[float, float], angle: float) -> Blob:
        bone = Blob(name, centre, irregular_outline(rng, (half[0] * s, half[1] * s), up * angle, 2.6), 26 * s)
        return replace(bone, look=look)

    lean = rng.uniform(-0.5, 1.1)  # of the leg against upright, towards the toes less than backwards
    direction = (float(up * np.cos(lean)), float(np.sin(lean)))
    ankle = at(58, 64)
    length = s * rng.uniform(60, 330)
    wide = ((0.0, 17 * s), (12 * s, 18 * s), (35 * s, 12.5 * s), (length, 11.5 * s))
    thin = ((0.0, 8 * s), (15 * s, 7 * s), (length, 5.5 * s))
    bones: list[Tube | Blob] = [
        blob("calcaneus", at(20, 84), (17.0, 36.0), float(rng.normal(0.15, 0.1))),
        blob("talus", at(42, 58), (13.0, 25.0), float(rng.normal(-0.2, 0.12))),
        Tube("tibia", ankle, direction, length, wide, 4 * s, hollow=5 * s, look=look),
        Tube("fibula", at(46, 72), direction, length, thin, 2.5 * s, look=look, density=0.8),
    ]
    end = (ankle[0] + direction[0] * length * 1.05, ankle[1] + direction[1] * length * 1.05)
    tissue = [
        Capsule(at(22, 20), at(26, 80), (22 * s, 24 * s), 0.9),
        Capsule(at(22, 86), at(24, 106), (24 * s, 18 * s), 0.9),
        Capsule(at(50, 70), end, (28 * s, 38 * s), 0.9),
        Capsule(at(12, -60), at(24, 20), (13 * s, 22 * s), 1.4),
    ]
    return replace(skeleton, bones=(*skeleton.bones, *bones), tissue=(*skeleton.tissue, *tissue))
