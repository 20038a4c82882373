"""Postures drawn at random: how a hand or foot is laid on the film, by someone healthy, ill or small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.bone_shapes import irregular_outline
from pipelines.hand_foot_scoring.simulation.posture import Posture, posed
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Skeleton, Tube

CARPALS = ("capitate", "hamate", "trapezoid", "trapezium", "scaphoid", "lunate", "triquetrum", "pisiform")
# radians against the film: a middle phalanx that is bent more is seen end on, and its joint is not graded as if it lay
# flat
MOST_BENT = 0.78


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
    changed = posed(skeleton, Posture(float(rng.normal(0, 0.1)), pitch, yaw, length=length, slip=slip))
    return fused_carpus(changed, rng) if rng.random() < 0.4 else changed


def _bent_finger(ray: int, rng: np.random.Generator) -> dict[str, float]:
    """The pitch of the three phalanges of a finger, radians towards the palm."""
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
    return posed(skeleton, Posture(float(rng.normal(0, 0.1)), pitch, yaw, slip=slip))


def curled_child(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A small child's hand or foot that does not lie still: digits a little bent, the thumb often in the palm."""
    yaw = {1: -float(rng.uniform(0, 0.8))} if skeleton.part == "hand" and rng.random() < 0.5 else {}
    return posed(skeleton, Posture(float(rng.normal(0, 0.12)), _relaxed(rng, 0.3), yaw))


def oblique(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A limb turned by 33 to 62 degrees about its long axis, mostly the way in which it is done."""
    usual = -1.0 if skeleton.part == "hand" else 1.0
    angle = np.radians(rng.uniform(33, 62)) * (usual if rng.random() < 0.8 else -usual)
    return posed(skeleton, Posture(float(angle), _relaxed(rng, 0.35)))


def not_quite_flat(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """A limb in the view that is scored as it mostly lies: turned by a few degrees, its rays a little bent.

    The little finger and the toes are bent the most. Grades stay what they are.
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
