"""Gives a flat skeleton a third dimension: bent and drifting fingers, and the oblique and lateral views of a limb.

z points to the back of the hand (the upper side of the foot), mm. A skeleton is drawn for a beam along z. Here its rays
are bent at their joints, and the whole is turned about its long axis. Bones keep their width, lie closer together and
overlap. What comes out is a flat skeleton again, with the truth of its sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.limb_builder import EPIPHYSIS
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
TISSUE_DEPTH = {"hand": -4.0, "foot": 12.0}  # of the middle of palm and sole
IN_FRONT = -14.0  # depth, mm of a mean adult, from which on a bent finger lies in front of the rest of the hand
SITE_BONES = {  # a joint site to the bones on its two sides
    **{f"MCP{n}": (f"ray{n}.0", f"ray{n}.1") for n in (1, 2, 3, 4, 5)},
    **{f"PIP{n}": (f"ray{n}.1", f"ray{n}.2") for n in (2, 3, 4, 5)},
    **{f"MTP{n}": (f"ray{n}.0", f"ray{n}.1") for n in (1, 2, 3, 4, 5)},
    "IP1": ("ray1.1", "ray1.2"),
}


@dataclass(frozen=True)
class Posture:
    """How the rays are bent and the limb is turned; mm are those of the limb, not of a mean adult."""

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
            middle = TISSUE_DEPTH[skeleton.part]
            start, end = deep(capsule.start, middle), deep(capsule.end, middle)
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
            lesions=_carried(bone, bone.lesions, centre),
            marks=_carried(bone, bone.marks, centre),
        )
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    x, y = bone.radii * np.cos(theta), bone.radii * np.sin(theta)
    wide = max(float(np.abs(x).max()), 1e-3)
    half = bone.thickness / 2
    factor = float(np.hypot(np.cos(turn), half / wide * np.sin(turn)))
    radii = outline_of(np.arctan2(y, x * factor), np.hypot(x * factor, y), bone.radii.size)
    thickness = 2 * float(np.hypot(half * np.cos(turn), wide * np.sin(turn)))
    lesions, marks = _carried(bone, bone.lesions, centre), _carried(bone, bone.marks, centre)
    return replace(bone, centre=centre, radii=radii, thickness=thickness, lesions=lesions, marks=marks)


def _carried(bone: Blob, lesions: tuple[Lesion, ...], centre: tuple[float, float]) -> tuple[Lesion, ...]:
    """Lesions that go with a short bone to its new middle."""
    dx, dy = centre[0] - bone.centre[0], centre[1] - bone.centre[1]
    return tuple(replace(lesion, centre=(lesion.centre[0] + dx, lesion.centre[1] + dy)) for lesion in lesions)


def outline_of(theta: Points, radii: Points, count: int) -> Points:
    """The outline of a short bone through points round its middle.

    Parameters
    ----------
    theta
        (N,) directions of the points, radians from +x in -pi..pi, in any order.
    radii
        (N,) their distances, mm.
    count
        Number of radii wanted.

    Returns
    -------
    Points
        (count,) radii, mm, from angle -pi.
    """
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
