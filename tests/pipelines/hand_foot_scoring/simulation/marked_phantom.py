"""A rendered hand and foot with the outlines of their bones, as a marked radiograph would have them."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.radiograph import Exposure, Image, View, expose
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Points, Skeleton, Tube
from pipelines.hand_foot_scoring.sites import Part

HAND_BONES = ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx")
PLAIN = Exposure(noise=0.0, trabeculae=0.1, scatter=0.0)


def _tube(bone: Tube) -> Points:
    at, half = zip(*bone.knots, strict=True)
    share = np.linspace(-1, 1, 13)
    hollow = bone.hollow * (1 - share**2) if bone.hollow >= 0 else -bone.hollow * (1 - np.sqrt(1 - share**2))
    wide = bone.half_at_start
    base = np.column_stack((hollow + bone.tilt * share * wide + bone.face_mm(share), share * wide))
    dome = bone.length - bone.round * (1 - np.sqrt(1 - share**2))
    head = np.column_stack((dome, share * half[-1]))
    along = np.linspace(0.08, 0.92, 18) * bone.length
    width = np.interp(along, at, half)
    right, left = np.column_stack((along, width)), np.column_stack((along, -width))
    closed = np.vstack((base, right, head[::-1], left[::-1]))
    across = np.array([-bone.direction[1], bone.direction[0]])
    placed = np.array(bone.start) + closed[:, :1] * np.array(bone.direction) + closed[:, 1:] * across
    return np.asarray(placed)


def _blob(bone: Blob) -> Points:
    angle = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    around = bone.radii[:, None] * np.column_stack((np.cos(angle), np.sin(angle)))
    return np.asarray(np.asarray(bone.centre) + around)


def _name(bone: Tube | Blob, part: Part) -> str:
    if not bone.name.startswith("ray"):
        return bone.name
    ray, number = int(bone.name[3]), int(bone.name[-1])
    kinds = [HAND_BONES[0], HAND_BONES[1], HAND_BONES[3]] if ray == 1 else list(HAND_BONES)
    return f"{kinds[number] if part == 'hand' or number else 'metatarsal'} {ray}"


def marked_phantom(skeleton: Skeleton) -> tuple[Image, dict[str, tuple[float, float]], dict[str, Points]]:
    """A picture of a limb, its sites, and the outlines of its bones, in pixels of the picture."""
    view = View((800, 560), 0.33 * skeleton.scale, 0.05, (280.0, 500.0))
    outlines = {
        _name(bone, skeleton.part): view.to_pixels(_tube(bone) if isinstance(bone, Tube) else _blob(bone))
        for bone in skeleton.bones
        if bone.name not in ("sesamoid", "tubercle")
    }
    outlines = {name: np.clip(points, -5, [560, 804]) for name, points in outlines.items()}
    sites = dict(
        zip(
            skeleton.sites,
            ((float(x), float(y)) for x, y in view.to_pixels(np.array(list(skeleton.sites.values())))),
            strict=True,
        )
    )
    return expose(skeleton, view, PLAIN, np.random.default_rng(0)), sites, outlines
