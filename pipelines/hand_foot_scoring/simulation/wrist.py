"""The wrist of a hand: carpal bones, radius, ulna, and the spaces between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipelines.hand_foot_scoring.simulation.limb_builder import (
    GROWN,
    LimbBuilder,
    irregular_outline,
    mean_point,
    point_along,
    smooth_profile,
)
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Lesion, Points, Tube


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
    build.bones.append(
        Tube(
            "radius",
            end,
            shaft,
            visible,
            (
                *_styloid(broad * s),
                (0.0, 14.6 * broad * s),
                (7 * s, 15.2 * broad * s),
                (16 * s, 12.0 * s),
                (30 * s, 8.2 * s),
                (visible, 7.2 * s),
            ),
            cortex=2.3 * s * build.wall,
            hollow=2.2 * s,
            tilt=0.36 * (1 - 0.75 * build.young) + rng.normal(0, 0.06),
            plates=plates,
            density=0.75,
            scars=_closed_plate(build, (7.0, 12.0)),
            face=_radial_face(rng, s) if build.age >= GROWN else (),
        )
    )
    radius = len(build.bones) - 1
    if build.age >= GROWN:
        carpus = (capitate, hamate, trapezoid, trapezium, scaphoid, lunate, triquetrum)
        end = _wrist_spaces(build, bases, carpus, radius)
        _lie_over(build, carpus, pisiform, radius)
    variance = float(np.clip(rng.normal(0, 1.9), -4.5, 4.5))
    late = 6.0 * s if build.first_centres <= build.age < 6.5 else 0.0  # the ulna's epiphysis is seen late
    ulna_end = (end[0] - s * (24.4 * broad + rng.normal(0, 1.3)), end[1] + s * (4.2 + variance) + late)
    build.bones.append(
        Tube(
            "ulna",
            ulna_end,
            shaft,
            visible,
            (
                (0.0, 7.6 * broad * s),
                (5 * s, 8.2 * broad * s),
                (13 * s, 6.6 * s),
                (28 * s, 5.6 * s),
                (visible, 5.8 * s),
            ),
            cortex=1.9 * s * build.wall,
            hollow=-s * (rng.uniform(0.3, 3.6) if build.age >= GROWN else 1.0),
            tilt=rng.normal(0, 0.08) if build.age >= GROWN else 0.0,
            plates=() if late else plates,
            density=0.8,
            scars=_closed_plate(build, (4.0, 8.0)),
            face=_ulnar_face(rng, s) if build.age >= GROWN else (),
        )
    )
    ulna = len(build.bones) - 1
    if build.age >= GROWN:
        _around_the_ulna(build, ulna)
    elif build.age > 9:
        tip = (ulna_end[0] - s * 6.2, ulna_end[1] - s * rng.uniform(0.5, 3.0))
        build.bones.append(Blob("styloid", tip, irregular_outline(rng, (2.0 * s, 3.6 * s), 0), 4 * s))
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


def _styloid(s: float) -> tuple[tuple[float, float], ...]:
    """Half-widths of the radius beyond the middle of its joint: its styloid process is rounded."""
    return ((-7.5 * s, 4.0 * s), (-5.5 * s, 10.0 * s), (-3.0 * s, 13.4 * s))


def _closed_plate(build: LimbBuilder, where: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The dense line that a growth plate leaves, at a distance from the joint in mm; some grown people have one."""
    if build.age < GROWN or build.rng.random() > 0.55:
        return ()
    return ((build.scale * float(build.rng.uniform(*where)), float(build.rng.uniform(0.1, 0.8))),)


def _ulnar_face(rng: np.random.Generator, s: float) -> tuple[tuple[float, float], ...]:
    """The end of the ulna: a round or flat head, a pit (fovea) beside it, and the styloid process."""
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
    """The end of the radius: hollows for scaphoid and lunate with a ridge between them, and rounded corners."""
    ridge, corner = -s * rng.uniform(0, 0.9), s * rng.uniform(0, 1.6)
    return smooth_profile(
        ((-1.0, float(corner)), (-0.8, 0.0), (-0.4, 0.0), (-0.05, float(ridge)), (0.35, 0.0), (1.0, float(corner)))
    )


def _around_the_ulna(build: LimbBuilder, ulna: int) -> None:
    """A thinning at the pit of the ulna's head, which is no erosion, and now and then a separate ossicle."""
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


def _lie_over(build: LimbBuilder, carpus: tuple[int, ...], pisiform: int, radius: int) -> None:
    """What of a healthy wrist is seen over other bones: pisiform, hooks and tubercles, rims; and marks in the bones."""
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
        reach = share * _reach_of(bone, theta)
        radius = s * float(rng.uniform(0.4, 1.3))
        centre = (bone.centre[0] + reach * float(np.cos(theta)), bone.centre[1] + reach * float(np.sin(theta)))
        marks.append(
            Lesion(centre, (radius, radius * rng.uniform(0.7, 1.4)), theta, float(rng.uniform(-0.35, 0.4)), 0.7)
        )
    return marks


WRIST_SPACES = {"MULTNAV": 1.5, "CAPNAVLUN": 1.6, "RADCARP": 1.9}  # mm, of a mean adult
OTHER_SPACE = 1.4  # mm, between carpal bones whose space is not scored
SPACE_OF = {
    frozenset(("trapezium", "scaphoid")): "MULTNAV",
    frozenset(("trapezoid", "scaphoid")): "MULTNAV",
    frozenset(("capitate", "scaphoid")): "CAPNAVLUN",
    frozenset(("capitate", "lunate")): "CAPNAVLUN",
}


def _wrist_spaces(
    build: LimbBuilder, bases: Mapping[int, tuple[float, float]], carpus: tuple[int, ...], radius: int
) -> tuple[float, float]:
    """Fit the carpal bones into each other and move the radius, so that every space is as wide as its grade says.

    The bones are drawn with random places and outlines, beside which a grade of narrowing would hardly show. Returns
    where the radius ends now.
    """
    s = build.scale
    capitate, hamate, trapezoid, trapezium, scaphoid, lunate, _ = carpus
    width: dict[str | frozenset[str], float] = {
        site: s * build.space(site, normal) for site, normal in WRIST_SPACES.items()
    }
    names = [build.bones[index].name for index in carpus]
    width |= {frozenset(pair): _seen_between(build, pair) for pair in combinations(names, 2)}
    metacarpal = {bone.name: bone for bone in build.bones if isinstance(bone, Tube)}
    plain = {index: build.bones[index] for index in carpus}
    tube = build.bones[radius]
    assert isinstance(tube, Tube)
    cup: Tube | None = None
    for _ in range(2):  # each facet moves its neighbours a little
        _interlock(build, bases, plain, width, cup)
        for name, index in (("ray3.0", capitate), ("ray4.0", hamate), ("ray5.0", hamate)):
            # where the surface was put that the narrowing of the joint was measured from when the ray was drawn
            facet = point_along(build.sites[f"CMC{name[3]}"], metacarpal[name].direction, -0.75 * s)
            _reach(build, index, facet)
        for index in (trapezium, trapezoid):
            _space(build, index, scaphoid, width["MULTNAV"])
        for index in (scaphoid, lunate):
            _space(build, capitate, index, width["CAPNAVLUN"], first_gives=0.0)
        proximal = (scaphoid, lunate)
        back = -float(np.mean([_radial_excess(build, tube, index, width["RADCARP"]) for index in proximal]))
        tube = replace(tube, start=point_along(tube.start, tube.direction, back))
        for index in proximal:
            bone = build.bones[index]
            assert isinstance(bone, Blob)
            excess = _radial_excess(build, tube, index, width["RADCARP"])
            build.bones[index] = _facet(bone, float(np.arctan2(tube.direction[1], tube.direction[0])), excess)
        cup = tube
    build.bones[radius] = tube
    _fuse(build, carpus, radius)
    return tube.start


def _seen_between(build: LimbBuilder, pair: tuple[str, str]) -> float:
    """Space between two carpal bones that is not scored, mm; many such bones are seen over each other."""
    rng = build.rng
    if rng.random() < 0.35 or pair == ("trapezoid", "trapezium"):
        return build.scale * float(rng.uniform(-4.0, 1.0))
    return build.scale * OTHER_SPACE * build.gap_scale * float(rng.uniform(0.5, 1.1))


def _interlock(
    build: LimbBuilder,
    bases: Mapping[int, tuple[float, float]],
    plain: Mapping[int, Tube | Blob],
    width: Mapping[str | frozenset[str], float],
    cup: Tube | None,
) -> None:
    """Shape the carpal bones to their neighbours: facets lie opposite each other, as wide apart as their space is.

    Parameters
    ----------
    build
        The hand so far.
    bases
        Metacarpal to the middle of its base, mm.
    plain
        Index in `bones` to the carpal bone as it was drawn.
    width
        Site, or pair of carpal bones whose space is not scored, to the space, mm.
    cup
        The radius, where it lies already.
    """
    s = build.scale
    blobs = {index: bone for index, bone in plain.items() if isinstance(bone, Blob)}
    metacarpals = {b.name: b for b in build.bones if isinstance(b, Tube)}
    theta = np.linspace(-np.pi, np.pi, 32, endpoint=False)
    steps = np.linspace(0.3, 1.35, 64)
    for index, bone in blobs.items():
        reach = bone.radii[:, None] * steps  # (32, 64) mm
        x, y = bone.centre[0] + reach * np.cos(theta)[:, None], bone.centre[1] + reach * np.sin(theta)[:, None]
        limits = []
        for neighbour in (blob for place, blob in blobs.items() if place != index):
            pair = frozenset((bone.name, neighbour.name))
            gap = width[SPACE_OF.get(pair) or pair]
            limits.append(_first(reach, _share_of(neighbour, x, y) < steps) - gap / 2)
        for number, base in bases.items():
            tube = metacarpals[f"ray{number}.0"]
            ux, uy = tube.direction
            # where a carpal bone ends that leaves the space which the ray was drawn with
            face = (base[0] - tube.start[0]) * ux + (base[1] - tube.start[1]) * uy - 0.75 * s
            along, across = _along(tube, x, y)
            limits.append(_first(reach, (along > face) & (np.abs(across) < tube.half_at_start)))
        if cup is not None and bone.name in ("scaphoid", "lunate"):
            along, across = _along(cup, x, y)
            limits.append(_first(reach, along > _surface(cup, across) - width["RADCARP"]))
        limit = np.min(limits, axis=0)
        radii = np.where(np.isfinite(limit), np.clip(limit, 0.5 * bone.radii, 1.4 * bone.radii), bone.radii)
        build.bones[index] = replace(bone, radii=gaussian_filter1d(radii, 0.7, mode="wrap"))


def _first(reach: Points, met: NDArray[np.bool_]) -> Points:
    """The first of some distances (N, M) at which something is met, or infinity."""
    return np.where(met.any(axis=1), reach[np.arange(len(reach)), met.argmax(axis=1)], np.inf)


def _share_of(bone: Blob, x: Points, y: Points) -> Points:
    """How far points lie from the middle of a short bone, as shares of its outline."""
    dx, dy = x - bone.centre[0], y - bone.centre[1]
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    outline = np.interp(np.arctan2(dy, dx), theta, bone.radii, period=2 * np.pi)
    return np.asarray(np.hypot(dx, dy) / outline)


def _along(tube: Tube, x: Points, y: Points) -> tuple[Points, Points]:
    """Along and across a tubular bone, mm."""
    (ux, uy), dx, dy = tube.direction, x - tube.start[0], y - tube.start[1]
    return dx * ux + dy * uy, dy * ux - dx * uy


def _surface(tube: Tube, across: Points) -> Points:
    """How far along the radius its cup begins, mm."""
    share = np.clip(across / tube.half_at_start, -1, 1)
    return np.asarray(tube.hollow * (1 - share**2) + tube.tilt * across + tube.face_mm(share))


def _fuse(build: LimbBuilder, carpus: tuple[int, ...], radius: int) -> None:
    """Let the rims of wrist bones fade where a joint has grown together."""
    capitate, hamate, trapezoid, trapezium, scaphoid, lunate, _ = carpus
    places = {bone.name: index for index, bone in enumerate(build.bones)}
    for site, proximal, distal in (
        ("MULTNAV", scaphoid, trapezium),
        ("MULTNAV", scaphoid, trapezoid),
        ("CAPNAVLUN", scaphoid, capitate),
        ("CAPNAVLUN", lunate, capitate),
        ("RADCARP", radius, scaphoid),
        ("RADCARP", radius, lunate),
        ("CMC3", capitate, places["ray3.0"]),
        ("CMC4", hamate, places["ray4.0"]),
        ("CMC5", hamate, places["ray5.0"]),
    ):
        if build.grade_j(site) != 4:
            continue
        for index, facing in ((proximal, distal), (distal, proximal)):
            bone, opposite = build.bones[index], build.bones[facing]
            if isinstance(bone, Tube):
                build.bones[index] = replace(bone, fused=(0.9, bone.fused[1]))
            else:
                x, y = opposite.centre if isinstance(opposite, Blob) else opposite.start
                towards = float(np.arctan2(y - bone.centre[1], x - bone.centre[0]))
                build.bones[index] = replace(bone, fused=(*bone.fused, towards))


def _facet(bone: Blob, towards: float, change: float) -> Blob:
    """The bone with `change` mm more (or less) reach in a direction, fading out over about 30 degrees."""
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    away = np.angle(np.exp(1j * (theta - towards)))
    radii = bone.radii + change * np.exp(-((away / 0.5) ** 2))
    return replace(bone, radii=np.maximum(radii, 0.4 * bone.radii))


def _reach_of(bone: Blob, towards: float) -> float:
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    return float(np.interp(towards, theta, bone.radii, period=2 * np.pi))


def _reach(build: LimbBuilder, index: int, point: tuple[float, float]) -> None:
    """Let the outline of a short bone end at a point."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    dx, dy = point[0] - bone.centre[0], point[1] - bone.centre[1]
    towards = float(np.arctan2(dy, dx))
    build.bones[index] = _facet(bone, towards, float(np.hypot(dx, dy)) - _reach_of(bone, towards))


def _space(build: LimbBuilder, first: int, second: int, gap: float, first_gives: float = 0.5) -> None:
    """Make the space between two short bones, on the line between their centres, `gap` mm wide."""
    a, b = build.bones[first], build.bones[second]
    assert isinstance(a, Blob)
    assert isinstance(b, Blob)
    dx, dy = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
    there, back = float(np.arctan2(dy, dx)), float(np.arctan2(-dy, -dx))
    excess = float(np.hypot(dx, dy)) - _reach_of(a, there) - _reach_of(b, back) - gap
    build.bones[first] = _facet(a, there, first_gives * excess)
    build.bones[second] = _facet(b, back, (1 - first_gives) * excess)


def _radial_excess(build: LimbBuilder, tube: Tube, index: int, gap: float) -> float:
    """How much wider than `gap` the space between the radius's cup and a carpal bone is, along the forearm, mm."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    ux, uy = tube.direction
    along, across = _along(tube, np.array(bone.centre[0]), np.array(bone.centre[1]))
    return float(_surface(tube, across) - along) - _reach_of(bone, float(np.arctan2(uy, ux))) - gap


def _forearm_plates(build: LimbBuilder) -> tuple[tuple[float, float], ...]:
    if build.age >= 17.5 or build.age < build.first_centres:
        return ()
    width = build.scale * float(np.clip(0.3 * (17.5 - build.age), 0.4, 2.2))
    return ((build.scale * float(np.clip(0.45 * build.age, 1.0, 7.0)), width),)
