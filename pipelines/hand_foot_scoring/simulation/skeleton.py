"""Parametric skeletons of a hand with its wrist and of a foot, with disease written into them and the truth beside it.

Everything lies in one plane, in mm, x to the radial (medial) side, y towards the body, the base of the third metacarpal
(the second metatarsal) at the origin: a left hand or foot with the fingers up, as a radiograph shows it from behind or
above. A right limb is its mirror image. Lengths of the tubular bones of the hand are the adult means of anthropometry.
Everything else is drawn to look like a radiograph and varied widely, breadth of the hand and height of the wrist after
looking at public radiographs. No network sees one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.sites import Part

State = Literal["evaluable", "prosthesis", "covered", "absent"]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Lesion:
    """Bone that is missing: an ellipse at the surface."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    depth: float = 0.95  # share of the bone's thickness that is gone; below 0 the bone is denser
    soft: float = 0.18  # breadth of its border against its radius


@dataclass(frozen=True)
class Look:
    """How the bone of a limb is built: people and beams differ in it."""

    plate: float = 0.22  # brightness of the subchondral plate, as a share of solid bone
    plate_mm: float = 0.7  # its width
    filled: float = 0.42  # share of the ends that cancellous bone fills
    rim: float = 0.26  # the same of a short bone's rim
    core: float = 0.36  # and of its inside
    coarse: float = 1.0  # how much its trabeculae stand out


@dataclass(frozen=True)
class Tube:
    """A tubular bone: an axis, half-widths along it, a cortex, and two ends."""

    name: str
    start: tuple[float, float]
    direction: tuple[float, float]  # unit vector along the axis, from `start`
    length: float
    knots: tuple[tuple[float, float], ...]  # distance from the start, half-width
    cortex: float  # thickness of the shaft's wall
    hollow: float = 0.0  # depth of the cup at the start
    round: float = 0.0  # height of the dome at the other end
    tilt: float = 0.0  # slope of the start against the axis
    bend: float = 0.0
    plates: tuple[tuple[float, float], ...] = ()  # growth plates: distance from the start, width
    lesions: tuple[Lesion, ...] = ()
    density: float = 1.0
    look: Look = Look()
    lip: float = 0.0  # mm by which the rim of the cup reaches over the joint in front of and behind it
    deep: float = 0.0  # mm by which the end lies further back than the start; `length` is what the beam sees of it
    # what looks like a lesion and is none: hollows for ligaments, vessels, dense islands
    marks: tuple[Lesion, ...] = ()
    scars: tuple[tuple[float, float], ...] = ()  # closed growth plates: distance from the start, strength of the line
    # of the start: pairs of where across it, as a share -1..1 of the half-width, and mm deeper than the cup
    face: tuple[tuple[float, float], ...] = ()
    fused: tuple[float, float] = (0.0, 0.0)  # share of the plates at start and end that has gone in a fused joint

    @property
    def half_at_start(self) -> float:
        """Half-width at the start, mm; a styloid process reaches beyond it."""
        at, half = zip(*self.knots, strict=True)
        return float(np.interp(0.0, at, half))

    def face_mm(self, share: Points) -> Points:
        """How much deeper than its cup the start begins, mm, at shares -1..1 of the half-width."""
        if not self.face:
            return np.zeros_like(share)
        at, deep = np.array(self.face).T
        return np.asarray(np.interp(share, at, deep))

    @property
    def end(self) -> tuple[float, float]:
        """Where the axis ends, mm."""
        return (
            self.start[0] + self.length * self.direction[0],
            self.start[1] + self.length * self.direction[1],
        )


@dataclass(frozen=True)
class Blob:
    """A short bone: a star-shaped outline filled like a lens."""

    name: str
    centre: tuple[float, float]
    radii: Points  # (32,) distance of the outline from the centre, from angle -pi
    thickness: float
    lesions: tuple[Lesion, ...] = ()
    density: float = 1.0
    look: Look = Look()
    marks: tuple[Lesion, ...] = ()  # as those of a tubular bone
    lip: float = 0.0  # mm by which its front or back reaches beyond its outline: a second contour
    lip_towards: float = 0.0  # and where, radians from +x
    fused: tuple[float, ...] = ()  # directions, radians from +x, in which it has grown together with another bone


@dataclass(frozen=True)
class Capsule:
    """Soft tissue round a line."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: tuple[float, float]  # at the start and at the end
    flat: float = 1.0  # thickness against width
    bone: str = ""  # name of the bone of a ray with which it moves; "": it stays with the limb
    in_front: bool = False  # it lies before the rest of the limb and adds to its thickness, instead of merging with it


@dataclass(frozen=True)
class Plate:
    """Something that is not bone and lies over the limb: metal, silicone, a ring, a cast."""

    centre: tuple[float, float]
    half: tuple[float, float]
    angle: float
    thickness: float  # mm of bone that absorbs as much
    hollow: bool = False


@dataclass(frozen=True)
class Skeleton:
    """One limb with its exact truth."""

    part: Part
    bones: tuple[Tube | Blob, ...]
    tissue: tuple[Capsule, ...]
    objects: tuple[Plate, ...]
    sites: Mapping[str, tuple[float, float]]  # joint centre, mm
    states: Mapping[str, State]
    erosion: Mapping[str, int]  # grade, of the sites that have one
    narrowing: Mapping[str, int]
    scale: float  # size against the mean adult
    open_plates: bool  # growth plates are open: a child
