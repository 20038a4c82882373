"""The wrist of a hand: carpal bones, radius, ulna, and the spaces between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.limb_builder import (
    GROWN,
    LimbBuilder,
    irregular_outline,
    mean_point,
    point_along,
)
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Tube


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
    carpal("pisiform", at(-19.0, 20.5), (4.6, 5.2), 0, 9.0)
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
        )
    )
    radius = len(build.bones) - 1
    if build.age >= GROWN:
        end = _wrist_spaces(build, capitate, hamate, (trapezium, trapezoid), scaphoid, lunate, radius)
    variance = rng.normal(0, 1.6)
    late = 6.0 * s if build.first_centres <= build.age < 6.5 else 0.0  # the ulna's epiphysis is seen late
    ulna_end = (end[0] - s * (25.0 * broad + rng.normal(0, 1.0)), end[1] + s * (4.2 + variance) + late)
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
            hollow=-1.0 * s,
            plates=() if late else plates,
            density=0.8,
        )
    )
    ulna = len(build.bones) - 1
    if build.age > 9:
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
    palm = s * rng.uniform(0.92, 1.12)
    build.tissue += [
        Capsule((wrist[0], s * 5), wrist, (29 * palm * broad, 25.5 * palm * broad), 0.6),
        Capsule(wrist, point_along(wrist, shaft, visible * 1.3), (25 * palm * broad, 27 * palm), 0.65),
        Capsule(mean_point(bases[2], bases[3]), (s * 2.0, -34 * s), (28 * palm * broad, 29 * palm * broad), 0.5),
        Capsule((s * 20, -4 * s), (s * 26, -26 * s), (16 * palm, 12 * palm), 0.9),
    ]


WRIST_SPACES = {"MULTNAV": 1.5, "CAPNAVLUN": 1.6, "RADCARP": 1.9}  # mm, of a mean adult


def _wrist_spaces(
    build: LimbBuilder,
    capitate: int,
    hamate: int,
    multangular: tuple[int, int],
    scaphoid: int,
    lunate: int,
    radius: int,
) -> tuple[float, float]:
    """Move the radius and shape the carpal bones so that every joint space is as wide as its grade says.

    The bones are drawn with random places and outlines, beside which a grade of narrowing would hardly show. Returns
    where the radius ends now.
    """
    s = build.scale
    width = {site: s * build.space(site, normal) for site, normal in WRIST_SPACES.items()}
    metacarpal = {bone.name: bone for bone in build.bones if isinstance(bone, Tube)}
    tube = build.bones[radius]
    assert isinstance(tube, Tube)
    for _ in range(2):  # each facet moves its neighbours a little
        for name, index in (("ray3.0", capitate), ("ray4.0", hamate), ("ray5.0", hamate)):
            # where the surface was put that the narrowing of the joint was measured from when the ray was drawn
            facet = point_along(build.sites[f"CMC{name[3]}"], metacarpal[name].direction, -0.75 * s)
            _reach(build, index, facet)
        for index in multangular:
            _space(build, index, scaphoid, width["MULTNAV"])
        for index in (scaphoid, lunate):
            _space(build, capitate, index, width["CAPNAVLUN"], first_gives=0.0)
        carpus = (scaphoid, lunate)
        back = -float(np.mean([_radial_excess(build, tube, index, width["RADCARP"]) for index in carpus]))
        tube = replace(tube, start=point_along(tube.start, tube.direction, back))
        for index in carpus:
            bone = build.bones[index]
            assert isinstance(bone, Blob)
            excess = _radial_excess(build, tube, index, width["RADCARP"])
            build.bones[index] = _facet(bone, float(np.arctan2(tube.direction[1], tube.direction[0])), excess)
    build.bones[radius] = tube
    return tube.start


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
    x, y = bone.centre[0] - tube.start[0], bone.centre[1] - tube.start[1]
    along, across = x * ux + y * uy, y * ux - x * uy
    half = tube.knots[0][1]
    surface = tube.hollow * (1 - min(1.0, (across / half) ** 2)) + tube.tilt * across
    return surface - along - _reach_of(bone, float(np.arctan2(uy, ux))) - gap


def _forearm_plates(build: LimbBuilder) -> tuple[tuple[float, float], ...]:
    if build.age >= 17.5 or build.age < build.first_centres:
        return ()
    width = build.scale * float(np.clip(0.3 * (17.5 - build.age), 0.4, 2.2))
    return ((build.scale * float(np.clip(0.45 * build.age, 1.0, 7.0)), width),)
