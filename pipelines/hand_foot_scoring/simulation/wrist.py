"""The wrist of a hand: carpal bones, radius, ulna, and what of a healthy one looks like disease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.bone_shapes import (
    irregular_outline,
    mean_point,
    point_along,
    smooth_profile,
)
from pipelines.hand_foot_scoring.simulation.limb_builder import GROWN, LimbBuilder
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Lesion, Tube
from pipelines.hand_foot_scoring.simulation.wrist_spaces import Carpus, fit_wrist, reach_of


def draw_wrist(build: LimbBuilder, bases: Mapping[int, tuple[float, float]], broad: float) -> None:
    """Draw carpal bones, radius and ulna under the metacarpal bases.

    Parameters
    ----------
    build
        The hand so far; the wrist is added to it.
    bases
        Metacarpal (1 to 5) to the middle of its base, mm.
    broad
        Breadth of palm and wrist against their length.
    """
    rng, s = build.rng, build.scale
    ossified = 1.0 if build.age >= 13 else float(np.clip((build.age / 13) ** 0.6, 0.25, 1.0))
    block = float(rng.normal(1.08, 0.07)) * (1 + 0.35 * build.young)  # carpal height against the hand
    lean = rng.normal(0, 0.12)  # ulnar or radial deviation of the hand against the forearm

    def at(x: float, y: float) -> tuple[float, float]:
        return (s * (broad * x + rng.normal(0, 0.8)), s * (block * y + rng.normal(0, 0.7)))

    def carpal(
        name: str,
        centre: tuple[float, float],
        half: tuple[float, float],
        angle: float,
        appears: float,
        power: float = 2.4,
    ) -> int:
        late = 1.0 if build.age >= 13 else float(np.clip((build.age - appears) / (13 - appears), 0.01, 1)) ** 0.5
        size = s * min(ossified, late) * rng.uniform(0.9, 1.02)
        build.bones.append(
            Blob(
                name,
                centre,
                irregular_outline(rng, (broad**0.7 * half[0] * size, half[1] * size), np.radians(angle), power),
                13 * s * rng.uniform(0.85, 1.1),
            )
        )
        return len(build.bones) - 1

    capitate = carpal("capitate", at(-0.8, 11.3), (6.6, 11.6), 0, 0.3, 3.0)
    hamate = carpal("hamate", at(-12.6, 9.5), (7.2, 9.0), 15, 0.3)
    trapezoid = carpal("trapezoid", at(10.0, 6.7), (4.9, 6.2), 0, 5.0)
    trapezium = carpal("trapezium", at(17.3, 9.0), (6.2, 7.6), 20, 4.5)
    scaphoid = carpal("scaphoid", at(9.3, 22.0), (10.6, 5.9), -55, 4.5)
    lunate = carpal("lunate", at(-7.0, 28.0), (8.4, 6.2), -8, 3.5)
    triquetrum = carpal("triquetrum", at(-18.0, 21.5), (6.3, 7.4), 25, 2.2)
    pisiform = carpal("pisiform", at(-19.0, 20.5), (4.6, 5.2), 0, 9.0)
    for index in (hamate, triquetrum):
        build.bones[index] = replace(build.bones[index], density=rng.uniform(0.85, 1.1))

    end = (
        s * (6.3 * broad + rng.normal(0, 0.8)),
        s * (31.8 * block + rng.normal(0, 0.6)),
    )
    shaft = (float(np.sin(lean)), float(np.cos(lean)))
    visible = s * rng.uniform(170.0, 300.0)
    plates = _forearm_plates(build)
    if build.age < build.first_centres:
        end = point_along(end, shaft, 7 * s)  # the end is cartilage
    radius = _draw_radius(build, _ForearmBone(end, shaft, visible, plates, broad))
    if build.age >= GROWN:
        carpus = Carpus(capitate, hamate, trapezoid, trapezium, scaphoid, lunate, triquetrum)
        end = fit_wrist(build, bases, carpus, radius)
        _lie_over(build, carpus, pisiform, radius)
    variance = float(np.clip(rng.normal(0, 1.9), -4.5, 4.5))
    late = 6.0 * s if build.first_centres <= build.age < 6.5 else 0.0  # the ulna's epiphysis is seen late
    ulna_end = (end[0] - s * (24.4 * broad + rng.normal(0, 1.3)), end[1] + s * (4.2 + variance) + late)
    ulna = _draw_ulna(build, _ForearmBone(ulna_end, shaft, visible, () if late else plates, broad))
    centre = {
        bone.name: bone.centre
        for bone in (build.bones[i] for i in (capitate, trapezoid, trapezium, scaphoid, lunate))
        if isinstance(bone, Blob)
    }
    build.sites |= {
        "MULT": mean_point(centre["trapezoid"], centre["trapezium"]),
        "NAV": centre["scaphoid"],
        "LUN": centre["lunate"],
        "RAD": point_along(end, shaft, 4.5 * s),
        "ULN": point_along(ulna_end, shaft, 2.5 * s),
        "MULTNAV": mean_point(mean_point(centre["trapezoid"], centre["trapezium"]), centre["scaphoid"]),
        "CAPNAVLUN": (
            s * 0.5 + 0.3 * (centre["lunate"][0] + centre["scaphoid"][0]) / 2,
            (centre["capitate"][1] + 9.6 * s + centre["lunate"][1] - 6 * s) / 2,
        ),
        "RADCARP": (end[0] - 1.5 * s, end[1] + 0.3 * s),
    }
    build.eroded_blobs("MULT", [trapezoid, trapezium])
    build.eroded_blobs("NAV", [scaphoid])
    build.eroded_blobs("LUN", [lunate])
    build.eroded_tubes("RAD", None, radius)
    build.eroded_tubes("ULN", None, ulna)
    wrist = ((end[0] + ulna_end[0]) / 2, end[1])
    palm = s * rng.uniform(0.92, 1.12) * (1 + 0.2 * build.young)
    build.tissue += [
        Capsule((wrist[0], s * 5), wrist, (29 * palm * broad, 25.5 * palm * broad), 0.6),
        Capsule(wrist, point_along(wrist, shaft, visible * 1.3), (25 * palm * broad, 27 * palm), 0.65),
        Capsule(mean_point(bases[2], bases[3]), (s * 2.0, -34 * s), (28 * palm * broad, 29 * palm * broad), 0.5),
        Capsule((s * 20, -4 * s), (s * 26, -26 * s), (16 * palm, 12 * palm), 0.9),
    ]


@dataclass(frozen=True)
class _ForearmBone:
    """How radius or ulna lies."""

    end: tuple[float, float]  # middle of the joint surface, mm
    shaft: tuple[float, float]  # unit vector from there along the forearm
    visible: float  # length on the film, mm
    plates: tuple[tuple[float, float], ...]  # as in `Tube.plates`
    broad: float  # breadth of palm and wrist against their length


def _draw_radius(build: LimbBuilder, lie: _ForearmBone) -> int:
    """Add the radius; returns its index in `bones`.

    Parameters
    ----------
    build
        The hand so far.
    lie
        How it lies.
    """
    rng, s = build.rng, build.scale
    build.bones.append(
        Tube(
            "radius",
            lie.end,
            lie.shaft,
            lie.visible,
            (
                *_styloid(lie.broad * s),
                (0.0, 14.6 * lie.broad * s),
                (7 * s, 15.2 * lie.broad * s),
                (16 * s, 12.0 * s),
                (30 * s, 8.2 * s),
                (lie.visible, 7.2 * s),
            ),
            cortex=2.3 * s * build.wall,
            hollow=2.2 * s,
            tilt=0.36 * (1 - 0.75 * build.young) + rng.normal(0, 0.06),
            plates=lie.plates,
            density=0.75,
            scars=_closed_plate(build, (7.0, 12.0)),
            face=_radial_face(rng, s) if build.age >= GROWN else (),
        )
    )
    return len(build.bones) - 1


def _draw_ulna(build: LimbBuilder, lie: _ForearmBone) -> int:
    """Add the ulna with its styloid process, and what lies around it; returns its index in `bones`.

    Parameters
    ----------
    build
        The hand so far.
    lie
        How it lies.
    """
    rng, s = build.rng, build.scale
    build.bones.append(
        Tube(
            "ulna",
            lie.end,
            lie.shaft,
            lie.visible,
            (
                (0.0, 7.6 * lie.broad * s),
                (5 * s, 8.2 * lie.broad * s),
                (13 * s, 6.6 * s),
                (28 * s, 5.6 * s),
                (lie.visible, 5.8 * s),
            ),
            cortex=1.9 * s * build.wall,
            hollow=-s * (rng.uniform(0.3, 3.6) if build.age >= GROWN else 1.0),
            tilt=rng.normal(0, 0.08) if build.age >= GROWN else 0.0,
            plates=lie.plates,
            density=0.8,
            scars=_closed_plate(build, (4.0, 8.0)),
            face=_ulnar_face(rng, s) if build.age >= GROWN else (),
        )
    )
    ulna = len(build.bones) - 1
    if build.age >= GROWN:
        _around_the_ulna(build, ulna)
    elif build.age > 9:
        tip = (lie.end[0] - s * 6.2, lie.end[1] - s * rng.uniform(0.5, 3.0))
        build.bones.append(Blob("styloid", tip, irregular_outline(rng, (2.0 * s, 3.6 * s), 0), 4 * s))
    return ulna


def _styloid(size: float) -> tuple[tuple[float, float], ...]:
    """Half-widths of the radius beyond the middle of its joint, for a `size` of 1 in mm: its styloid is rounded."""
    return ((-7.5 * size, 4.0 * size), (-5.5 * size, 10.0 * size), (-3.0 * size, 13.4 * size))


def _closed_plate(build: LimbBuilder, where: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The dense line that a growth plate leaves, at a distance from the joint in mm; some grown people have one."""
    if build.age < GROWN or build.rng.random() > 0.55:
        return ()
    return ((build.scale * float(build.rng.uniform(*where)), float(build.rng.uniform(0.1, 0.8))),)


def _ulnar_face(rng: np.random.Generator, s: float) -> tuple[tuple[float, float], ...]:
    """The end of the ulna, as a `Tube.face`: a round or flat head, a pit (fovea) beside it, and the styloid process."""
    process = rng.uniform(2.0, 5.5) if rng.random() < 0.9 else rng.uniform(0, 1.5)
    pit, inner = rng.uniform(-0.3, 1.8), rng.uniform(0.25, 0.5)
    tip = rng.uniform(0.72, 0.9)
    rim, slope = rng.uniform(0.5, 3.0), rng.uniform(0.0, 0.8)
    rise = tip - rng.uniform(0.1, 0.25)
    profile = (
        (-1.0, rim),
        (-0.7, slope),
        (inner - 0.35, 0.0),
        (inner, pit),
        (rise if rise > inner else inner + 0.02, -rng.uniform(0.4, 0.95) * process),
        (tip, -process),
        (1.0, rng.uniform(-0.9, 0.3) * process),
    )
    return smooth_profile(tuple((float(at), float(deep * s)) for at, deep in profile))


def _radial_face(rng: np.random.Generator, s: float) -> tuple[tuple[float, float], ...]:
    """The end of the radius, as a `Tube.face`: a ridge between the hollows of scaphoid and lunate, rounded corners."""
    ridge, corner = -s * rng.uniform(0, 0.9), s * rng.uniform(0, 1.6)
    return smooth_profile(
        ((-1.0, float(corner)), (-0.8, 0.0), (-0.4, 0.0), (-0.05, float(ridge)), (0.35, 0.0), (1.0, float(corner)))
    )


def _around_the_ulna(build: LimbBuilder, ulna: int) -> None:
    """A thinning at the pit of the ulna's head, which is no erosion, and now and then a separate ossicle.

    `ulna` is its index in `bones`.
    """
    rng, s = build.rng, build.scale
    bone = build.bones[ulna]
    assert isinstance(bone, Tube)
    half = bone.half_at_start
    if rng.random() < 0.1:
        tip = (bone.start[0] - half * rng.uniform(0.7, 1.0), bone.start[1] - s * rng.uniform(4, 7))
        outline = irregular_outline(
            rng, (s * rng.uniform(1.2, 2.2), s * rng.uniform(1.5, 3.0)), float(rng.normal(0, 0.3))
        )
        build.bones.append(Blob("styloid", tip, outline, s * rng.uniform(3, 6)))
    pit = (bone.start[0] - half * rng.uniform(0.15, 0.6), bone.start[1] + s * rng.uniform(0.0, 2.2))
    radii = (s * rng.uniform(0.9, 2.4), s * rng.uniform(0.7, 1.9))
    mark = Lesion(pit, radii, float(rng.normal(0, 0.5)), float(rng.uniform(0.0, 0.5)), float(rng.uniform(0.5, 0.9)))
    build.bones[ulna] = replace(bone, marks=(*bone.marks, mark))


def _lie_over(build: LimbBuilder, carpus: Carpus, pisiform: int, radius: int) -> None:
    """What of a healthy wrist is seen over other bones: pisiform, hooks and tubercles, rims; and marks in the bones.

    Parameters
    ----------
    build
        The hand so far.
    carpus
        The carpal bones that were fitted into each other.
    pisiform
        Index of the pisiform in `bones`; it comes to lie over the triquetrum.
    radius
        Index of the radius in `bones`.
    """
    rng, s = build.rng, build.scale
    bones = {bone.name: bone for bone in (build.bones[i] for i in carpus) if isinstance(bone, Blob)}

    def over(name: str, x: float, y: float, half: tuple[float, float], thick: float) -> None:
        middle = bones[name].centre
        centre = (middle[0] + s * (x + rng.normal(0, 0.8)), middle[1] + s * (y + rng.normal(0, 0.8)))
        outline = irregular_outline(rng, (half[0] * s, half[1] * s), float(rng.normal(0, 0.4)))
        build.bones.append(Blob("tubercle", centre, outline, s * thick * rng.uniform(0.4, 1.2)))

    if rng.random() < 0.85:
        over("hamate", 1.0, -1.5, (rng.uniform(1.8, 2.6), rng.uniform(2.4, 3.8)), 7.0)  # its hook, seen end on
    if rng.random() < 0.6:  # the tubercle of the scaphoid, a ring
        over("scaphoid", 3.2, -4.6, (rng.uniform(2.6, 4.6), rng.uniform(2.6, 4.4)), 7.0)
    if rng.random() < 0.5:
        over("trapezium", -2.0, 0.0, (rng.uniform(1.6, 2.6), rng.uniform(3.0, 5.0)), 6.0)  # its ridge
    piece = build.bones[pisiform]
    assert isinstance(piece, Blob)
    middle = bones["triquetrum"].centre
    where = (middle[0] + s * rng.normal(-0.5, 2.2), middle[1] + s * rng.normal(-1.0, 2.4))
    build.bones[pisiform] = replace(piece, centre=where, thickness=piece.thickness * rng.uniform(0.5, 1.0))
    for index in carpus:
        bone = build.bones[index]
        assert isinstance(bone, Blob)
        lip = s * float(rng.uniform(0.4, 3.0)) if rng.random() < 0.6 else 0.0
        build.bones[index] = replace(
            bone, lip=lip, lip_towards=float(rng.uniform(-np.pi, np.pi)), marks=tuple(_carpal_marks(build, bone))
        )
    tube = build.bones[radius]
    assert isinstance(tube, Tube)
    marks = list(tube.marks)
    if rng.random() < 0.5:  # the tubercle on the back of the radius, a dense line along it
        x, y = point_along(tube.start, tube.direction, s * rng.uniform(7, 16))
        radii = (s * rng.uniform(2.5, 6), s * rng.uniform(0.5, 1.3))
        along = float(np.arctan2(tube.direction[1], tube.direction[0]))
        marks.append(Lesion((x + s * rng.normal(0, 3), y), radii, along, -float(rng.uniform(0.1, 0.35)), 0.8))
    build.bones[radius] = replace(tube, lip=build.rim_over("RADCARP"), marks=tuple(marks))


def _carpal_marks(build: LimbBuilder, bone: Blob) -> list[Lesion]:
    """Holes for vessels, small cysts and dense islands within a carpal bone; its border is whole."""
    rng, s = build.rng, build.scale
    marks = []
    for _ in range(int(rng.poisson(0.7))):
        theta, share = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.1, 0.7))
        reach = share * reach_of(bone, theta)
        radius = s * float(rng.uniform(0.4, 1.3))
        centre = (bone.centre[0] + reach * float(np.cos(theta)), bone.centre[1] + reach * float(np.sin(theta)))
        marks.append(
            Lesion(centre, (radius, radius * rng.uniform(0.7, 1.4)), theta, float(rng.uniform(-0.35, 0.4)), 0.7)
        )
    return marks


def _forearm_plates(build: LimbBuilder) -> tuple[tuple[float, float], ...]:
    """Open growth plate of radius and ulna, as in `Tube.plates`."""
    if build.age >= 17.5 or build.age < build.first_centres:
        return ()
    width = build.scale * float(np.clip(0.3 * (17.5 - build.age), 0.4, 2.2))
    return ((build.scale * float(np.clip(0.45 * build.age, 1.0, 7.0)), width),)
