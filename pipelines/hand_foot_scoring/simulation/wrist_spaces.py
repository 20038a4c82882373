"""Fits the bones of a grown wrist into each other, so that every joint space is as wide as its grade says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipelines.hand_foot_scoring.simulation.bone_shapes import point_along
from pipelines.hand_foot_scoring.simulation.limb_builder import LimbBuilder
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Points, Tube

WRIST_SPACES = {"MULTNAV": 1.5, "CAPNAVLUN": 1.6, "RADCARP": 1.9}  # mm, of a mean adult
OTHER_SPACE = 1.4  # mm, between carpal bones whose space is not scored
CMC_SPACE = 0.75  # mm, from the middle of a metacarpal's base to the carpal bone, as the ray was drawn
SPACE_OF = {  # two carpal bones to the site that scores the space between them
    frozenset(("trapezium", "scaphoid")): "MULTNAV",
    frozenset(("trapezoid", "scaphoid")): "MULTNAV",
    frozenset(("capitate", "scaphoid")): "CAPNAVLUN",
    frozenset(("capitate", "lunate")): "CAPNAVLUN",
}


class Carpus(NamedTuple):
    """The carpal bones whose spaces are fitted, as indices in the `bones` of a limb; the pisiform lies over them."""

    capitate: int
    hamate: int
    trapezoid: int
    trapezium: int
    scaphoid: int
    lunate: int
    triquetrum: int


def fit_wrist(
    build: LimbBuilder, bases: Mapping[int, tuple[float, float]], carpus: Carpus, radius: int
) -> tuple[float, float]:
    """Fit the carpal bones into each other and move the radius, so that every space is as wide as its grade says.

    The bones are drawn with random places and outlines, beside which a grade of narrowing would hardly show.

    Parameters
    ----------
    build
        The hand so far; its bones are replaced.
    bases
        Metacarpal (1 to 5) to the middle of its base, mm.
    carpus
        The carpal bones.
    radius
        Index of the radius in `bones`.

    Returns
    -------
    tuple
        Where the radius ends now, mm.
    """
    s = build.scale
    width: dict[str | frozenset[str], float] = {
        site: s * build.space(site, normal) for site, normal in WRIST_SPACES.items()
    }
    names = [build.bones[index].name for index in carpus]
    width |= {frozenset(pair): _seen_between(build, pair) for pair in combinations(names, 2)}
    metacarpal = {bone.name: bone for bone in build.bones if isinstance(bone, Tube)}
    plain = {index: build.bones[index] for index in carpus}
    tube = build.bones[radius]
    assert isinstance(tube, Tube)
    cup: Tube | None = None  # in the first round the radius is not there yet
    for _ in range(2):  # each facet moves its neighbours a little
        _interlock(build, bases, plain, width, cup)
        for name, index in (("ray3.0", carpus.capitate), ("ray4.0", carpus.hamate), ("ray5.0", carpus.hamate)):
            # where the surface was put that the narrowing of the joint was measured from when the ray was drawn
            facet = point_along(build.sites[f"CMC{name[3]}"], metacarpal[name].direction, -CMC_SPACE * s)
            _reach(build, index, facet)
        for index in (carpus.trapezium, carpus.trapezoid):
            _space(build, index, carpus.scaphoid, width["MULTNAV"])
        for index in (carpus.scaphoid, carpus.lunate):
            _space(build, carpus.capitate, index, width["CAPNAVLUN"], first_gives=0.0)
        proximal = (carpus.scaphoid, carpus.lunate)
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
            gap = width[SPACE_OF.get(pair, pair)]
            limits.append(_first(reach, _share_of(neighbour, x, y) < steps) - gap / 2)
        for number, base in bases.items():
            tube = metacarpals[f"ray{number}.0"]
            ux, uy = tube.direction
            # where a carpal bone ends that leaves the space which the ray was drawn with
            face = (base[0] - tube.start[0]) * ux + (base[1] - tube.start[1]) * uy - CMC_SPACE * s
            along, across = _along(tube, x, y)
            limits.append(_first(reach, (along > face) & (np.abs(across) < tube.half_at_start)))
        if cup is not None and bone.name in ("scaphoid", "lunate"):
            along, across = _along(cup, x, y)
            limits.append(_first(reach, along > _surface(cup, across) - width["RADCARP"]))
        limit = np.min(limits, axis=0)
        radii = np.where(np.isfinite(limit), np.clip(limit, 0.5 * bone.radii, 1.4 * bone.radii), bone.radii)
        build.bones[index] = replace(bone, radii=gaussian_filter1d(radii, 0.7, mode="wrap"))


def _first(reach: Points, met: NDArray[np.bool_]) -> Points:
    """In each of N directions the first of the distances (N, M) at which something is met, or infinity; (N,)."""
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


def _fuse(build: LimbBuilder, carpus: Carpus, radius: int) -> None:
    """Let the rims of wrist bones fade where a joint has grown together."""
    places = {bone.name: index for index, bone in enumerate(build.bones)}
    for site, proximal, distal in (
        ("MULTNAV", carpus.scaphoid, carpus.trapezium),
        ("MULTNAV", carpus.scaphoid, carpus.trapezoid),
        ("CAPNAVLUN", carpus.scaphoid, carpus.capitate),
        ("CAPNAVLUN", carpus.lunate, carpus.capitate),
        ("RADCARP", radius, carpus.scaphoid),
        ("RADCARP", radius, carpus.lunate),
        ("CMC3", carpus.capitate, places["ray3.0"]),
        ("CMC4", carpus.hamate, places["ray4.0"]),
        ("CMC5", carpus.hamate, places["ray5.0"]),
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


def reach_of(bone: Blob, towards: float) -> float:
    """How far the outline of a short bone lies from its middle in a direction (radians from +x), mm."""
    theta = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    return float(np.interp(towards, theta, bone.radii, period=2 * np.pi))


def _reach(build: LimbBuilder, index: int, point: tuple[float, float]) -> None:
    """Let the outline of a short bone end at a point."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    dx, dy = point[0] - bone.centre[0], point[1] - bone.centre[1]
    towards = float(np.arctan2(dy, dx))
    build.bones[index] = _facet(bone, towards, float(np.hypot(dx, dy)) - reach_of(bone, towards))


def _space(build: LimbBuilder, first: int, second: int, gap: float, first_gives: float = 0.5) -> None:
    """Make the space between two short bones, on the line between their centres, `gap` mm wide."""
    a, b = build.bones[first], build.bones[second]
    assert isinstance(a, Blob)
    assert isinstance(b, Blob)
    dx, dy = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
    there, back = float(np.arctan2(dy, dx)), float(np.arctan2(-dy, -dx))
    excess = float(np.hypot(dx, dy)) - reach_of(a, there) - reach_of(b, back) - gap
    build.bones[first] = _facet(a, there, first_gives * excess)
    build.bones[second] = _facet(b, back, (1 - first_gives) * excess)


def _radial_excess(build: LimbBuilder, tube: Tube, index: int, gap: float) -> float:
    """How much wider than `gap` the space between the radius's cup and a carpal bone is, along the forearm, mm."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    ux, uy = tube.direction
    along, across = _along(tube, np.array(bone.centre[0]), np.array(bone.centre[1]))
    return float(_surface(tube, across) - along) - reach_of(bone, float(np.arctan2(uy, ux))) - gap
