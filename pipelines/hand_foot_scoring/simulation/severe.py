"""Hands after decades of rheumatoid arthritis: dislocated, folded and telescoped fingers, a collapsed wrist, thin bone.

The deformities are those that textbooks name; how far each goes and how often it comes are our choice, wide on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.drawn_postures import CARPALS, fused_carpus
from pipelines.hand_foot_scoring.simulation.posture import Posture, outline_of, posed
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Lesion, Skeleton, Tube

FINGERS = (2, 3, 4, 5)


@dataclass
class _Fingers:
    """The posture of a hand while it is drawn, and the bones whose ends have worn to a point."""

    scale: float
    # as the fields of a `Posture`
    pitch: dict[str, float] = field(default_factory=dict)
    yaw: dict[int, float] = field(default_factory=dict)
    length: dict[str, float] = field(default_factory=dict)
    slip: dict[int, float] = field(default_factory=dict)
    aside: dict[int, float] = field(default_factory=dict)
    kink: dict[str, float] = field(default_factory=dict)
    worn: set[str] = field(default_factory=set)  # names of bones

    def bend(self, ray: int, first: float, second: float, third: float) -> None:
        """Bend the phalanges of a finger, radians to the palm, each against the bone before it."""
        angles = np.cumsum((first, second, third))
        self.pitch |= {f"ray{ray}.{number + 1}": float(angle) for number, angle in enumerate(angles)}


Draw = Callable[[_Fingers, int, np.random.Generator], None]  # writes what becomes of one ray into the fingers


def _dislocated(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """The proximal phalanx lies over or beside the head of the metacarpal."""
    fingers.slip[ray] = float(rng.uniform(4, 24)) * fingers.scale
    fingers.aside[ray] = float(rng.uniform(-3, 11)) * fingers.scale
    fingers.bend(ray, rng.uniform(-0.2, 0.8), rng.normal(0.2, 0.4), rng.normal(0.1, 0.3))


def _boutonniere(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """Bent at the PIP joint, overstretched at the DIP joint."""
    fingers.bend(ray, rng.uniform(-0.3, 0.4), rng.uniform(0.8, 1.9), rng.uniform(-1.1, -0.1))


def _swan_neck(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """Overstretched at the PIP joint, bent at the other two."""
    fingers.bend(ray, rng.uniform(0.2, 1.1), rng.uniform(-1.2, -0.3), rng.uniform(0.5, 1.5))


def _end_on(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """One or two phalanges point at the tube."""
    upright = rng.normal(np.pi / 2, 0.2)
    if rng.random() < 0.4:
        fingers.bend(ray, upright, rng.normal(0.3, 0.5), rng.normal(0.3, 0.4))
    else:
        first = rng.uniform(-0.2, 0.7)
        fingers.bend(ray, first, upright - first, rng.normal(0.2, 0.5))


def _folded(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """Folded into the palm."""
    fingers.bend(ray, rng.uniform(0.1, 1.2), rng.uniform(1.0, 1.9), rng.uniform(0.2, 1.1))


def _mutilated(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """Arthritis mutilans: bone is resorbed from the joints, the finger telescopes, ends are pencils."""
    for number, least in enumerate((0.75, 0.4, 0.3, 0.4)):  # of the length, metacarpal to distal phalanx
        name = f"ray{ray}.{number}"
        fingers.length[name] = float(rng.uniform(least, 1.0))
        if number < 2 and rng.random() < 0.6:
            fingers.worn.add(name)
        fingers.kink[name] = float(rng.normal(0, 0.3)) if number else 0.0
    fingers.slip[ray] = float(rng.uniform(0, 10)) * fingers.scale
    fingers.bend(ray, rng.normal(0.2, 0.4), rng.normal(0.3, 0.4), rng.normal(0.2, 0.4))


def _angled(fingers: _Fingers, ray: int, rng: np.random.Generator) -> None:
    """Angled to the side at its interphalangeal joints."""
    fingers.kink[f"ray{ray}.2"], fingers.kink[f"ray{ray}.3"] = float(rng.normal(0, 0.7)), float(rng.normal(0, 0.4))
    fingers.bend(ray, rng.uniform(0, 0.6), rng.uniform(0.1, 0.9), rng.normal(0, 0.5))


# What may have become of a finger, and the share of the hands of which most fingers have it (together 1). Fingers seen
# end-on and folded ones come more often than in a clinic: a localiser that knew only milder deformity failed on them
FINGER_KINDS: Mapping[str, tuple[Draw, float]] = {
    "dislocated": (_dislocated, 0.2),
    "boutonniere": (_boutonniere, 0.12),
    "swan neck": (_swan_neck, 0.1),
    "end on": (_end_on, 0.24),
    "folded": (_folded, 0.16),
    "mutilated": (_mutilated, 0.12),
    "angled": (_angled, 0.06),
}


def severe_hand(skeleton: Skeleton, rng: np.random.Generator, kind: str | None = None) -> Skeleton:
    """A hand with most of the deformities of long-standing rheumatoid arthritis.

    Grades stay as they were drawn: a joint that is worn, dislocated or fused here may have a low one. Such hands teach
    where joints are, not how damaged they are.

    Parameters
    ----------
    skeleton
        Flat, as it is drawn.
    rng
        Draws what becomes of it.
    kind
        Of `FINGER_KINDS`: what most of the fingers have; drawn if None.
    """
    fingers = _drawn_fingers(skeleton.scale, rng, kind)
    skeleton = _thinned(skeleton, rng)
    if rng.random() < 0.75:
        skeleton = collapsed_carpus(skeleton, rng)
    if rng.random() < 0.6:
        skeleton = _without_ulnar_head(skeleton, rng)
    bones = tuple(_worn(b, rng) if isinstance(b, Tube) and b.name in fingers.worn else b for b in skeleton.bones)
    posture = Posture(
        turn=float(rng.normal(0, 0.15)),
        pitch=fingers.pitch,
        yaw=fingers.yaw,
        length=fingers.length,
        slip=fingers.slip,
        aside=fingers.aside,
        kink=fingers.kink,
    )
    skeleton = posed(replace(skeleton, bones=bones), posture)
    if rng.random() < 0.5:
        skeleton = fused_carpus(skeleton, rng)
    return _swollen(skeleton, rng) if rng.random() < 0.6 else skeleton


def _drawn_fingers(scale: float, rng: np.random.Generator, kind: str | None) -> _Fingers:
    """Most fingers of one kind, some of another or straight, and a thumb that mostly has its own deformity."""
    names = list(FINGER_KINDS)
    shares = [share for _, share in FINGER_KINDS.values()]
    kind = kind or str(rng.choice(names, p=shares))
    fingers = _Fingers(scale)
    drift = -float(rng.uniform(0.1, 0.9)) if rng.random() < 0.65 else float(rng.normal(0, 0.15))
    fan = float(rng.normal(0, 0.1))  # the fingers drift more or less from ray to ray
    for ray in FINGERS:
        fingers.yaw[ray] = float(np.clip(drift + fan * (ray - 3.5) + rng.normal(0, 0.12), -1.2, 0.6))
        if rng.random() < 0.6:
            FINGER_KINDS[kind][0](fingers, ray, rng)
        elif rng.random() < 0.6:
            FINGER_KINDS[str(rng.choice(names, p=shares))][0](fingers, ray, rng)
        if ray not in fingers.slip and rng.random() < 0.3:
            fingers.slip[ray] = float(rng.uniform(2, 16)) * scale
            fingers.aside[ray] = float(rng.uniform(-2, 7)) * scale
    thumb = rng.random()
    if thumb < 0.5:  # Z: bent at one joint and overstretched at the other
        way = 1.0 if rng.random() < 0.75 else -1.0
        fingers.yaw[1], fingers.kink["ray1.2"] = -way * float(rng.uniform(0.2, 1.1)), way * float(rng.uniform(0.3, 1.4))
    elif thumb < 0.7:
        fingers.yaw[1] = float(rng.normal(0, 0.4))
        fingers.pitch |= {"ray1.1": float(rng.uniform(-0.3, 1.4)), "ray1.2": float(rng.uniform(-0.5, 1.5))}
    if rng.random() < 0.35:
        fingers.slip[1] = float(rng.uniform(2, 12)) * scale
        fingers.aside[1] = float(rng.normal(0, 4)) * scale
    return fingers


def _thinned(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """Osteopenia: a thin cortex, less bone, fewer and coarser trabeculae."""
    density, wall, filled = rng.uniform(0.65, 1.0), rng.uniform(0.35, 0.95), rng.uniform(0.6, 1.1)
    coarse = float(rng.uniform(1.0, 1.7))
    bones: list[Tube | Blob] = []
    for bone in skeleton.bones:
        look = replace(bone.look, filled=filled * bone.look.filled, core=filled * bone.look.core, coarse=coarse)
        bone = replace(bone, look=look, density=bone.density * density)
        bones.append(replace(bone, cortex=bone.cortex * wall) if isinstance(bone, Tube) else bone)
    return replace(skeleton, bones=tuple(bones))


def _worn(bone: Tube, rng: np.random.Generator) -> Tube:
    """A bone whose head has become a pencil and whose base a cup, more or less."""
    left = float(rng.uniform(0.25, 0.75))  # of the width, at the tip
    begin = float(rng.uniform(0.35, 0.8))  # share of the length from which on it tapers
    wide = 1.0 if bone.name.endswith(".0") else float(rng.uniform(1.0, 1.25))  # a metacarpal's base is no cup
    knots = []
    for at, half in bone.knots:
        share = at / bone.length
        pencil = 1 - (1 - left) * float(np.clip((share - begin) / (1 - begin), 0, 1))
        knots.append((at, half * pencil * (wide if share < 0.15 else 1.0)))
    return replace(bone, knots=tuple(knots), hollow=bone.hollow * wide**3)


def collapsed_carpus(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A hand whose carpus has lost height: the metacarpals come near the radius, and to its ulnar side.

    The hand stays where it is; the forearm comes up, moves to the radial side, and turns. A hand without a radius
    stays as it is.
    """
    s = skeleton.scale
    radius = next((bone for bone in skeleton.bones if isinstance(bone, Tube) and bone.name == "radius"), None)
    if radius is None:
        return skeleton
    top, low = 4 * s, radius.start[1]  # the metacarpals' bases stay; everything from the radius down moves as one
    left = float(rng.uniform(0.4, 0.9))  # of the height between
    aside, turn = float(rng.uniform(-1, 10)) * s, float(rng.normal(-0.08, 0.15))
    cosine, sine = np.cos(turn), np.sin(turn)

    def moved(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        share = float(np.clip((y - top) / (low - top), 0, 1))
        if share == 1.0:
            dx, dy = x - radius.start[0], y - low
            x, y = radius.start[0] + dx * cosine - dy * sine, low + dx * sine + dy * cosine
        return x + share * aside, y - share * (1 - left) * (low - top)

    def with_it(lesions: tuple[Lesion, ...]) -> tuple[Lesion, ...]:
        return tuple(replace(lesion, centre=moved(lesion.centre)) for lesion in lesions)

    bones: list[Tube | Blob] = []
    for bone in skeleton.bones:
        if isinstance(bone, Tube) and bone.name in ("radius", "ulna"):
            ux, uy = bone.direction
            direction = (float(ux * cosine - uy * sine), float(ux * sine + uy * cosine))
            bone = replace(
                bone,
                start=moved(bone.start),
                direction=direction,
                lesions=with_it(bone.lesions),
                marks=with_it(bone.marks),
            )
        elif isinstance(bone, Blob) and bone.name in CARPALS:
            theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
            x, y = bone.radii * np.cos(theta), left**0.5 * bone.radii * np.sin(theta)
            radii = outline_of(np.arctan2(y, x), np.hypot(x, y), bone.radii.size)
            bone = replace(
                bone, centre=moved(bone.centre), radii=radii, lesions=with_it(bone.lesions), marks=with_it(bone.marks)
            )
        elif isinstance(bone, Blob) and bone.name in ("styloid", "tubercle"):
            bone = replace(bone, centre=moved(bone.centre), lesions=with_it(bone.lesions), marks=with_it(bone.marks))
        bones.append(bone)
    tissue = tuple(replace(piece, start=moved(piece.start), end=moved(piece.end)) for piece in skeleton.tissue)
    sites = {name: moved(site) for name, site in skeleton.sites.items()}
    return replace(skeleton, bones=tuple(bones), tissue=tissue, sites=sites)


def _without_ulnar_head(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """The head of the ulna is eroded to a point, or was resected: then there is no site."""
    s = skeleton.scale
    resected = rng.random() < 0.25
    bones: list[Tube | Blob] = []
    for bone in skeleton.bones:
        if bone.name == "styloid" and (resected or rng.random() < 0.5):
            continue
        if isinstance(bone, Tube) and bone.name == "ulna":
            if resected:
                off = float(rng.uniform(10, 26)) * s
                start = (bone.start[0] + off * bone.direction[0], bone.start[1] + off * bone.direction[1])
                knots = ((0.0, 5.6 * s), (bone.length, 5.8 * s))
                bone = replace(bone, start=start, knots=knots, face=(), marks=(), scars=())
            else:
                left, over = float(rng.uniform(0.35, 0.85)), float(rng.uniform(8, 25)) * s
                narrow = tuple((at, half * (left + (1 - left) * min(1.0, at / over))) for at, half in bone.knots)
                bone = replace(bone, knots=narrow, tilt=float(rng.normal(0, 0.4)))
        bones.append(bone)
    states = {**skeleton.states, "ULN": "absent"} if resected else skeleton.states
    return replace(skeleton, bones=tuple(bones), states=states)


def _swollen(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """Thick soft tissue round joints and wrist."""
    s = skeleton.scale
    added = []
    for name, site in skeleton.sites.items():
        if name[:3] in ("MCP", "PIP") and rng.random() < 0.6:
            radius = float(rng.uniform(8, 13)) * s
            added.append(Capsule(site, site, (radius, radius), float(rng.uniform(0.5, 0.9))))
    if rng.random() < 0.6:
        radius = float(rng.uniform(22, 32)) * s
        added.append(Capsule(skeleton.sites["CMC4"], skeleton.sites["RADCARP"], (radius, radius), 0.55))
    return replace(skeleton, tissue=(*skeleton.tissue, *added))
