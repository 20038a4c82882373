"""Parametric skeletons of a hand with its wrist and of a foot, with disease written into them and the truth beside it.

Everything lies in one plane, in mm, x to the radial (medial) side, y towards the body, the base of the third metacarpal
(the second metatarsal) at the origin: a left hand or foot with the fingers up, as a radiograph shows it from behind or
above. A right limb is its mirror image. Lengths of the tubular bones of the hand are the adult means of anthropometry.
Everything else is drawn to look like a radiograph and varied widely, breadth of the hand and height of the wrist after
looking at public radiographs. No network sees one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom_sr.codes import SVH_SITES

Part = Literal["hand", "foot"]
State = Literal["evaluable", "prosthesis", "covered", "absent"]
Points = NDArray[np.float64]

HAND_SITES = tuple(site.id for site in SVH_SITES if site.limb == "hand")
FOOT_SITES = tuple(site.id for site in SVH_SITES if site.limb == "foot")
NO_EROSION = frozenset(site.id for site in SVH_SITES if site.limb == "hand" and not site.erosion_maximum)
# the interphalangeal joint of the thumb has no narrowing score, that of the great toe has one
NO_NARROWING = {
    limb: frozenset(site.id for site in SVH_SITES if site.limb == limb and not site.jsn_maximum)
    for limb in ("hand", "foot")
}


@dataclass(frozen=True)
class Lesion:
    """Bone that is missing: an ellipse at the surface."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    depth: float = 0.95  # share of the bone's thickness that is gone


@dataclass(frozen=True)
class Look:
    """How the bone of a limb is built, which people and beams differ in."""

    plate: float = 0.22  # brightness of the subchondral plate, as a share of solid bone
    plate_mm: float = 0.7  # its width
    filled: float = 0.42  # share of the ends that cancellous bone fills
    rim: float = 0.26  # the same of a short bone's rim
    core: float = 0.36  # and of its inside


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

    @property
    def end(self) -> tuple[float, float]:
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


@dataclass(frozen=True)
class Capsule:
    """Soft tissue round a line."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: tuple[float, float]  # at the start and at the end
    flat: float = 1.0  # thickness against width


@dataclass(frozen=True)
class Plate:
    """Something that is no bone and lies over the limb: metal, silicone, a ring, a cast."""

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


GROWN = 17.0  # years from which joints are drawn as a grown patient's
SYMMETRY = 0.6  # chance that a site is as ill as that of the other side


@dataclass(frozen=True)
class Disease:
    """How ill the limb to be drawn is."""

    erosion: Mapping[str, int] = field(default_factory=dict)
    narrowing: Mapping[str, int] = field(default_factory=dict)


def site_rates(part: Part, rng: np.random.Generator, severity: float) -> dict[str, float]:
    """How ill each site of a limb is on average: `severity` in 0..1 is the chance scale."""
    return {site: severity * rng.gamma(0.7, 1.4) for site in (HAND_SITES if part == "hand" else FOOT_SITES)}


def random_disease(
    part: Part, rng: np.random.Generator, severity: float, other_side: Mapping[str, float] | None = None
) -> Disease:
    """Grades for every site as in a clinic.

    Parameters
    ----------
    severity
        Chance scale, 0..1; erosion and narrowing of a site are ill together.
    other_side
        Rates of the patient's other side: a site shares its own with a chance of `SYMMETRY`, since rheumatoid arthritis
        is more or less symmetrical. How much so is our choice.
    """
    local = site_rates(part, rng, severity)
    if other_side is not None:
        local = {site: other_side[site] if rng.random() < SYMMETRY else rate for site, rate in local.items()}
    top = 5 if part == "hand" else 10
    erosion = {s: min(top, rng.poisson(1.2 * rate * (top / 5))) for s, rate in local.items() if s not in NO_EROSION}
    narrowing = {s: min(4, rng.poisson(1.1 * rate)) for s, rate in local.items() if s not in NO_NARROWING[part]}
    return Disease(erosion, narrowing)


def uniform_disease(part: Part, rng: np.random.Generator) -> Disease:
    """Grades that cover every value about equally, half of them none: for training the heads."""
    sites = HAND_SITES if part == "hand" else FOOT_SITES
    top = 5 if part == "hand" else 10
    erosion = {s: int(rng.integers(1, top + 1)) if rng.random() < 0.6 else 0 for s in sites if s not in NO_EROSION}
    narrowing = {s: int(rng.integers(1, 5)) if rng.random() < 0.6 else 0 for s in sites if s not in NO_NARROWING[part]}
    return Disease(erosion, narrowing)


# ---------------------------------------------------------------- lesions and gaps by grade
# radius of a single erosion by its own grade, mm at adult size: discrete, larger, past the midline of the bone
LESION_RADIUS = {1: (1.0, 1.5), 2: (1.7, 2.3), 3: (2.7, 3.5), 5: (4.6, 6.0)}
# share of the joint space that is left, by grade
GAP_LEFT = {0: (0.9, 1.15), 1: (0.68, 0.82), 2: (0.48, 0.62), 3: (0.1, 0.38), 4: (-0.15, 0.0)}


def lesion_grades(grade: int, rng: np.random.Generator) -> list[int]:
    """Single erosions that add up to `grade` on one bone side, e.g. 4 as 3 + 1."""
    if grade >= 5:
        return [5]
    parts: list[int] = []
    while grade > 0:
        part = min(grade, int(rng.integers(1, 4)))
        parts.append(part)
        grade -= part
    return parts


def implant(centre: tuple[float, float], half_width: float, rng: np.random.Generator) -> list[Plate]:
    """An implant over a joint: silicone with a stem, or metal."""
    thick = float(rng.uniform(14, 30) if rng.random() < 0.6 else rng.uniform(2.5, 5))
    angle = float(rng.normal(0, 0.25))
    return [
        Plate(centre, (half_width * 0.85, half_width * 0.8), angle, thick),
        Plate(centre, (half_width * 0.28, half_width * 2.6), angle, thick * 0.8),
    ]


def _unit(angle: float) -> tuple[float, float]:
    """Direction `angle` radians from straight up, positive to +x."""
    return float(np.sin(angle)), float(-np.cos(angle))


def _along(point: tuple[float, float], direction: tuple[float, float], distance: float) -> tuple[float, float]:
    return point[0] + distance * direction[0], point[1] + distance * direction[1]


def _mean(*points: tuple[float, float]) -> tuple[float, float]:
    x, y = np.mean(points, axis=0)
    return float(x), float(y)


def _outline(rng: np.random.Generator, half: tuple[float, float], angle: float, power: float = 2.4) -> Points:
    """(32,) radii of a superellipse with irregularities; `angle` turns its first axis from +x."""
    theta = np.linspace(-np.pi, np.pi, 32, endpoint=False)
    turned = theta - angle
    radii = ((np.abs(np.cos(turned)) / half[0]) ** power + (np.abs(np.sin(turned)) / half[1]) ** power) ** (-1 / power)
    for harmonic in (2, 3, 4, 5):
        radii *= 1 + rng.normal(0, 0.05 / harmonic**0.5) * np.cos(harmonic * theta + rng.uniform(0, 2 * np.pi))
    return np.asarray(radii, np.float64)


def _profile(length: float, base: float, shaft: float, head: float) -> tuple[tuple[float, float], ...]:
    """Half-widths along a phalanx or metacarpal from three full widths, mm."""
    b, s, h = base / 2, shaft / 2, head / 2
    flare = min(0.28 * length, 1.25 * base)
    return (
        (0.0, 0.94 * b),
        (0.06 * length, b),
        (0.45 * flare + 0.06 * length, 0.62 * b + 0.38 * s),
        (flare + 0.06 * length, s * 1.06),
        (0.52 * length, s),
        (0.74 * length, 1.08 * s),
        (0.88 * length, 0.97 * h),
        (0.94 * length, h),
        (length, 0.9 * h),
    )


@dataclass
class _Builder:
    """What a limb is drawn with."""

    rng: np.random.Generator
    disease: Disease
    age: float  # years; 18 and more is grown up
    scale: float

    def __post_init__(self) -> None:
        self.bones: list[Tube | Blob] = []
        self.tissue: list[Capsule] = []
        self.objects: list[Plate] = []
        self.sites: dict[str, tuple[float, float]] = {}
        self.states: dict[str, State] = {}
        self.gap_scale = self.rng.uniform(0.85, 1.2) * (1.25 if self.age < 14 else 1.0)
        self.width = self.rng.uniform(0.88, 1.12)
        self.wall = self.rng.uniform(0.75, 1.25)
        self.look = Look(
            self.rng.uniform(0.15, 0.7),
            self.rng.uniform(0.45, 1.1),
            self.rng.uniform(0.2, 0.48),
            self.rng.uniform(0.2, 0.8),
            self.rng.uniform(0.15, 0.45),
        )
        self.cup = self.rng.uniform(0.5, 1.6)  # how deep the cups of the phalanges are against the mean
        self.lip = self.rng.uniform(0.2, 1.4) if self.rng.random() < 0.7 else 0.0

    def jitter(self, value: float, share: float) -> float:
        return float(value * self.rng.normal(1, share))

    def grade_e(self, site: str) -> int:
        return int(self.disease.erosion.get(site, 0))

    def grade_j(self, site: str) -> int:
        return int(self.disease.narrowing.get(site, 0))

    def space(self, site: str, normal: float) -> float:
        """Width of the joint space, mm; negative when the bones have grown together."""
        low, high = GAP_LEFT[self.grade_j(site)]
        return float(normal * self.gap_scale * self.rng.uniform(low, high))

    def shift(self, site: str, width: float) -> float:
        """Sideways displacement of the distal bone: subluxation (grade 3) or luxation (grade 4)."""
        grade = self.grade_j(site)
        if grade == 3 and self.rng.random() < 0.35:
            return float(self.rng.choice([-1, 1]) * width * self.rng.uniform(0.25, 0.5))
        if grade == 4 and self.rng.random() < 0.35:
            return float(self.rng.choice([-1, 1]) * width * self.rng.uniform(0.7, 0.95))
        return 0.0

    def eroded_tubes(self, site: str, proximal: int | None, distal: int | None) -> None:
        """Write the erosions of a joint into the head of one bone and the base of the other (indices in `bones`)."""
        sides = [side for side in ((proximal, "head"), (distal, "base")) if side[0] is not None]
        grade = self.grade_e(site)
        if grade > 5 or (self.part_is_foot and len(sides) == 2):
            first = int(self.rng.integers(max(0, grade - 5), min(5, grade) + 1))
            shares = [first, grade - first]
        elif len(sides) == 2 and grade < 5:
            first = int(self.rng.integers(0, grade + 1))
            shares = [first, grade - first]
        else:
            shares = [grade] if len(sides) == 1 else self.rng.permutation([grade, 0]).tolist()
        for (index, end), share in zip(sides, shares, strict=False):
            for single in lesion_grades(int(share), self.rng):
                self._erode_tube(int(index or 0), end, single)

    part_is_foot = False

    def _erode_tube(self, index: int, end: str, single: int) -> None:
        bone = self.bones[index]
        assert isinstance(bone, Tube)
        radius = self.rng.uniform(*LESION_RADIUS[single]) * self.scale
        u = bone.direction
        normal = (-u[1], u[0])
        at_head = end == "head"
        half = bone.knots[-2][1] if at_head else bone.knots[0][1]
        side = self.rng.choice([-1.0, 1.0])
        if single == 5:  # the end of the bone has collapsed
            along, across, radii = (
                self.rng.uniform(-0.1, 0.25) * radius,
                self.rng.uniform(-0.3, 0.3) * half,
                (radius, 1.3 * half),
            )
        else:
            along = self.rng.uniform(0.15, 0.55) * half * (1.4 if at_head else 0.9)
            across = half * (1 - 0.25 * self.rng.random()) - (0.35 * radius if single == 3 else 0.0)
            across *= side
            radii = (radius * self.rng.uniform(0.85, 1.25), radius)
        origin = bone.end if at_head else bone.start
        sign = -1.0 if at_head else 1.0
        centre = (
            origin[0] + sign * along * u[0] + across * normal[0],
            origin[1] + sign * along * u[1] + across * normal[1],
        )
        lesion = Lesion(
            centre, radii, float(np.arctan2(u[1], u[0]) + self.rng.normal(0, 0.4)), self.rng.uniform(0.75, 1.0)
        )
        self.bones[index] = replace(bone, lesions=(*bone.lesions, lesion))

    def eroded_blobs(self, site: str, indices: list[int]) -> None:
        """Write the erosions of a carpal bone at its rim."""
        for single in lesion_grades(self.grade_e(site), self.rng):
            index = int(self.rng.choice(indices))
            bone = self.bones[index]
            assert isinstance(bone, Blob)
            angle_index = int(self.rng.integers(32))
            theta = -np.pi + 2 * np.pi * angle_index / 32
            radius = self.rng.uniform(*LESION_RADIUS[single]) * self.scale * 0.95
            reach = bone.radii[angle_index] * (0.15 if single == 5 else self.rng.uniform(0.75, 1.0))
            centre = (bone.centre[0] + reach * np.cos(theta), bone.centre[1] + reach * np.sin(theta))
            lesion = Lesion(centre, (radius, radius * self.rng.uniform(0.7, 1.2)), theta, self.rng.uniform(0.7, 0.95))
            self.bones[index] = replace(bone, lesions=(*bone.lesions, lesion))

    def ray(
        self,
        start: tuple[float, float],
        angles: list[float],
        lengths: list[float],
        widths: list[tuple[float, float, float]],
        joints: list[tuple[str, float]],
        name: str,
        plate_at: list[Literal["base", "head", "none"]],
        flesh: float,
        cut: int | None,
    ) -> list[int]:
        """Draw metacarpal and phalanges one after another; `cut` is the joint at which the ray was amputated."""
        indices: list[int] = []
        point = start
        for n, (angle, length, width) in enumerate(zip(angles, lengths, widths, strict=True)):
            if n > 0:
                site, normal = joints[n - 1]
                u = _unit((angles[n - 1] + angle) / 2)
                gap = self.space(site, normal) if site in HAND_SITES or site in FOOT_SITES else normal * self.gap_scale
                self.sites[site] = _along(point, u, gap / 2)
                self.states[site] = "evaluable"
                if cut is not None and n - 1 >= cut:
                    self.states[site] = "absent"
                    continue
                shift = self.shift(site, width[0] / 2) if site in HAND_SITES or site in FOOT_SITES else 0.0
                # the space is measured in the middle, where the cup of the next bone is deepest
                free = gap - 0.09 * width[0] * self.width * self.cup
                point = _along(
                    _along(point, u, free if abs(shift) < 0.6 * width[0] / 2 else -0.3 * width[0]), (-u[1], u[0]), shift
                )
            direction = _unit(angle)
            taper = self.width
            base, shaft, head = (w * taper for w in width)
            last = n == len(angles) - 1
            tube = Tube(
                f"{name}{n}",
                point,
                direction,
                length,
                _profile(length, base, shaft, head),
                cortex=0.21 * shaft * self.wall,
                hollow=0.09 * base * self.cup if n > 0 else 0.05 * base,
                tilt=float(self.rng.normal(0, 0.03 if n > 0 else 0.16)),
                round=(0.42 if n == 0 else 0.2 * (0.4 + 0.6 * self.cup)) * head * self.rng.uniform(0.8, 1.2),
                bend=self.rng.normal(0, 0.012) * length,
                plates=self._plates(plate_at[n], length, base),
                density=self.rng.uniform(0.9, 1.1) * (0.85 if last else 1.0),
                lip=self.lip * self.scale if n > 0 else 0.0,
            )
            indices.append(len(self.bones))
            self.bones.append(tube)
            if n > 0:
                self.tissue.append(
                    Capsule(tube.start, tube.end, (flesh * (1.04 - 0.08 * n), flesh * (0.98 - 0.08 * n)))
                )
            if last:
                tip = _along(tube.end, direction, 0.8 * self.scale)
                self.tissue.append(Capsule(tube.end, tip, (flesh * 0.8, flesh * 0.72)))
            point = tube.end
        for n, (site, _) in enumerate(joints):
            if site in (*HAND_SITES, *FOOT_SITES) and self.states[site] == "evaluable" and n + 1 < len(indices):
                self.eroded_tubes(site, indices[n], indices[n + 1])
        return indices

    def _plates(self, where: str, length: float, base: float) -> tuple[tuple[float, float], ...]:
        """Growth plate near one end, open below about 15 years; the width closes with age."""
        if where == "none" or self.age >= 16.5:
            return ()
        width = self.scale * float(np.clip(0.22 * (16.5 - self.age), 0.25, 1.8)) * self.rng.uniform(0.7, 1.2)
        at = float(np.clip(0.03 * self.age, 0.1, 0.42)) * 0.75 * base + 0.5
        return ((at if where == "base" else length - 1.35 * at, width),)

    def skeleton(self, part: Part) -> Skeleton:
        sites = HAND_SITES if part == "hand" else FOOT_SITES
        return Skeleton(
            part,
            tuple(replace(bone, look=self.look) for bone in self.bones),
            tuple(self.tissue),
            tuple(self.objects),
            {site: self.sites[site] for site in sites},
            {site: self.states.get(site, "evaluable") for site in sites},
            {site: self.grade_e(site) for site in sites if site not in NO_EROSION},
            {site: self.grade_j(site) for site in sites if site not in NO_NARROWING[part]},
            self.scale,
            self.age < 16.5,
        )


# ---------------------------------------------------------------- hand
# mean adult bone lengths, mm, thumb to little finger: metacarpal, proximal, middle, distal phalanx
METACARPAL = (46.2, 68.1, 64.6, 58.0, 53.7)
PROXIMAL = (31.6, 39.8, 44.6, 41.4, 32.7)
MIDDLE = (0.0, 22.4, 26.3, 25.7, 18.1)
DISTAL = (21.7, 15.8, 17.4, 17.3, 16.0)
FINGER_WIDTH = (1.0, 0.97, 1.0, 0.92, 0.84)


def hand(
    rng: np.random.Generator, disease: Disease | None = None, age: float | None = None, odd: bool = True
) -> Skeleton:
    """A left hand with its wrist, fingers up.

    Parameters
    ----------
    disease
        The grades to draw; sites that it leaves out are healthy.
    age
        Years; below 16.5 growth plates are open and the wrist is not fully ossified. Random adult when None.
    odd
        Whether amputations, implants and rings may occur.
    """
    grown = 18.0 if age is None else age
    growth = float(np.clip(0.42 + 0.58 * (grown / 17.0) ** 0.85, 0.4, 1.0))
    scale = growth * float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.22))
    build = _Builder(rng, disease or Disease(), grown, scale)
    s = scale
    spread = rng.uniform(-0.35, 1.5)  # fingers closed to wide apart
    broad = float(rng.normal(1.1, 0.08))  # breadth of palm and wrist against their length
    open_fan = float(rng.normal(1.25, 0.2))  # how far the metacarpals spread
    fan = [0.0, *(open_fan * mean + rng.normal(0, 1.5) for mean in (8.5, 2.0, -5.5, -14.5))]
    splay = [0.0, 3.0 + 6.5 * spread, 1.0 + 0.5 * spread, -1.5 - 4.5 * spread, -4.0 - 10 * spread]
    drift = -abs(rng.normal(0, 16)) if disease is not None and rng.random() < 0.3 else 0.0  # ulnar deviation
    foreshorten = rng.random() < 0.15
    cut_ray, cut_joint = (int(rng.integers(0, 5)), int(rng.integers(1, 3))) if odd and rng.random() < 0.03 else (-1, 0)
    bases = {1: (23.0, 4.0), 2: (10.8, 0.0), 3: (0.3, 0.5), 4: (-10.3, 0.6), 5: (-18.6, 3.2)}
    bases = {n: (s * (broad * x + rng.normal(0, 0.9)), s * (y + rng.normal(0, 0.8))) for n, (x, y) in bases.items()}
    cmc_sites = {3: "CMC3", 4: "CMC4", 5: "CMC5"}
    thumb = rng.normal(40, 10)
    # people differ in how long their metacarpals are against their phalanges
    share = [float(rng.normal(mean, spread)) for mean, spread in ((0.97, 0.05), (1.0, 0.04), (1.0, 0.05), (1.0, 0.05))]
    for n in (1, 2, 3, 4, 5):
        w = FINGER_WIDTH[n - 1] * s
        size = s * float(rng.normal(1, 0.025 if n > 1 else 0.06))  # the thumb is seen from its side, more or less
        means = (METACARPAL[n - 1], PROXIMAL[n - 1], MIDDLE[n - 1], DISTAL[n - 1])
        lengths = [mean * size * part for mean, part in zip(means, share, strict=True)]
        widths = [
            ((12.6 + (1.8 if n in (1, 2) else 0)) * w, 8.6 * w, 14.3 * w),
            (14.8 * w, 9.2 * w, 11.2 * w),
            (13.0 * w, 8.0 * w, 9.6 * w),
            (10.6 * w, 5.2 * w, 7.4 * w),
        ]
        if n == 1:
            first = thumb + rng.normal(0, 3)
            second = first + rng.normal(-12, 14)
            angles = [first, second, second + rng.normal(0, 9)]
            lengths, widths = [lengths[0], lengths[1], lengths[3]], [widths[0], widths[1], (12.0 * w, 6.6 * w, 9.2 * w)]
            joints = [("MCP1", 1.6 * s), ("IP1", 1.3 * s)]
            plates: list[Literal["base", "head", "none"]] = ["base", "base", "base"]
        else:
            first = fan[n - 1] + spread * (3.3 - n)
            second = fan[n - 1] * 0.3 + splay[n - 1] + drift + rng.normal(0, 2.5)
            third = second + rng.normal(0, 3)
            angles = [first, second, third, third + rng.normal(0, 4)]
            joints = [(f"MCP{n}", 1.75 * s), (f"PIP{n}", 1.3 * s), (f"DIP{n}", 1.1 * s)]
            plates = ["head", "base", "base", "base"]
            if foreshorten:
                bent = rng.uniform(0.6, 1.0, size=2)
                lengths[2] *= bent[0]
                lengths[3] *= bent[1]
        base = bases[n]
        direction = _unit(np.radians(angles[0]))
        if n in cmc_sites:
            site = cmc_sites[n]
            gap = build.space(site, 1.4 * s)
            build.sites[site] = base
            build.states[site] = "evaluable"
            start = _along(base, direction, gap - 0.75 * s)
            lengths[0] -= gap - 1.4 * s
        else:
            start = _along(base, direction, 0.8 * s)
        indices = build.ray(
            start,
            [float(np.radians(a)) for a in angles],
            lengths,
            widths,
            joints,
            f"ray{n}.",
            plates,
            flesh=(9.3 if n > 1 else 10.2) * w * rng.uniform(0.88, 1.12),
            cut=cut_joint if cut_ray == n - 1 else None,
        )
        if n == 1:
            build.sites["MC1B"] = base
            build.states["MC1B"] = "evaluable"
            build.eroded_tubes("MC1B", None, indices[0])
        metacarpal = build.bones[indices[0]]
        assert isinstance(metacarpal, Tube)
        build.tissue.append(Capsule(metacarpal.start, metacarpal.end, (13 * s, (11.5 if n > 1 else 12) * s), 1.05))
    if odd:
        _hand_oddities(build)
    _wrist(build, bases, broad)
    return build.skeleton("hand")


def _hand_oddities(build: _Builder) -> None:
    rng, s = build.rng, build.scale
    for site in ("MCP2", "MCP3", "MCP4", "MCP5", "PIP2", "PIP3", "MCP1"):
        if build.age > 17 and rng.random() < 0.012 and build.states[site] == "evaluable":
            build.objects += implant(build.sites[site], 7.0 * s, rng)
            build.states[site] = "prosthesis"
    if rng.random() < 0.08:
        ray = int(rng.choice([3, 4, 4]))
        bone = next((b for b in build.bones if b.name == f"ray{ray}.1"), None)
        if isinstance(bone, Tube):
            centre = _along(bone.start, bone.direction, bone.length * rng.uniform(0.3, 0.6))
            angle = float(np.arctan2(bone.direction[0], -bone.direction[1]))
            build.objects.append(Plate(centre, (9.5 * s, rng.uniform(1.2, 3) * s), angle, rng.uniform(8, 25)))
    mcp1 = build.sites["MCP1"]
    for side in (-1, 1):
        if build.age > 12 and rng.random() < 0.8:
            centre = (mcp1[0] + side * 4.0 * s - 2 * s, mcp1[1] - side * 2.5 * s + 3 * s)
            build.bones.append(Blob("sesamoid", centre, _outline(rng, (2.3 * s, 2.0 * s), 0), 3.5 * s))


def _wrist(build: _Builder, bases: Mapping[int, tuple[float, float]], broad: float) -> None:
    """Carpal bones, radius and ulna under the metacarpal bases."""
    rng, s = build.rng, build.scale
    ossified = 1.0 if build.age >= 13 else float(np.clip((build.age / 13) ** 0.6, 0.25, 1.0))
    block = float(rng.normal(1.08, 0.07))  # carpal height against the hand
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
                _outline(rng, (broad**0.7 * half[0] * size, half[1] * size), np.radians(angle), power),
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
    visible = s * 170.0
    plates = _forearm_plates(build)
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
            tilt=0.36 + rng.normal(0, 0.06),
            plates=plates,
            density=0.75,
        )
    )
    radius = len(build.bones) - 1
    if build.age >= GROWN:
        end = _wrist_spaces(build, capitate, hamate, (trapezium, trapezoid), scaphoid, lunate, radius)
    variance = rng.normal(0, 1.6)
    ulna_end = (end[0] - s * (25.0 * broad + rng.normal(0, 1.0)), end[1] + s * (4.2 + variance))
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
            plates=plates,
            density=0.8,
        )
    )
    ulna = len(build.bones) - 1
    if build.age > 9:
        tip = (ulna_end[0] - s * 6.2, ulna_end[1] - s * rng.uniform(0.5, 3.0))
        build.bones.append(Blob("styloid", tip, _outline(rng, (2.0 * s, 3.6 * s), 0), 4 * s))
    centre = {
        bone.name: bone.centre
        for bone in (build.bones[i] for i in (capitate, trapezoid, trapezium, scaphoid, lunate))
        if isinstance(bone, Blob)
    }
    build.sites |= {
        "MULT": _mean(centre["trapezoid"], centre["trapezium"]),
        "NAV": centre["scaphoid"],
        "LUN": centre["lunate"],
        "RAD": _along(end, shaft, 4.5 * s),
        "ULN": _along(ulna_end, shaft, 2.5 * s),
        "MULTNAV": _mean(_mean(centre["trapezoid"], centre["trapezium"]), centre["scaphoid"]),
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
        Capsule(wrist, _along(wrist, shaft, visible * 1.3), (25 * palm * broad, 27 * palm), 0.65),
        Capsule(_mean(bases[2], bases[3]), (s * 2.0, -34 * s), (28 * palm * broad, 29 * palm * broad), 0.5),
        Capsule((s * 20, -4 * s), (s * 26, -26 * s), (16 * palm, 12 * palm), 0.9),
    ]


WRIST_SPACES = {"MULTNAV": 1.5, "CAPNAVLUN": 1.6, "RADCARP": 1.9}  # mm, of a mean adult


def _wrist_spaces(
    build: _Builder, capitate: int, hamate: int, multangular: tuple[int, int], scaphoid: int, lunate: int, radius: int
) -> tuple[float, float]:
    """Move the radius and shape the carpal bones so that every joint space is as wide as its grade says.

    The bones are drawn with random places and outlines, beside which a grade of narrowing would hardly show. Gives back
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
            facet = _along(build.sites[f"CMC{name[3]}"], metacarpal[name].direction, -0.75 * s)
            _reach(build, index, facet)
        for index in multangular:
            _space(build, index, scaphoid, width["MULTNAV"])
        for index in (scaphoid, lunate):
            _space(build, capitate, index, width["CAPNAVLUN"], first_gives=0.0)
        carpus = (scaphoid, lunate)
        back = -float(np.mean([_radial_excess(build, tube, index, width["RADCARP"]) for index in carpus]))
        tube = replace(tube, start=_along(tube.start, tube.direction, back))
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


def _reach(build: _Builder, index: int, point: tuple[float, float]) -> None:
    """Let the outline of a short bone end at a point."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    dx, dy = point[0] - bone.centre[0], point[1] - bone.centre[1]
    towards = float(np.arctan2(dy, dx))
    build.bones[index] = _facet(bone, towards, float(np.hypot(dx, dy)) - _reach_of(bone, towards))


def _space(build: _Builder, first: int, second: int, gap: float, first_gives: float = 0.5) -> None:
    """Make the space between two short bones, on the line between their centres, `gap` mm wide."""
    a, b = build.bones[first], build.bones[second]
    assert isinstance(a, Blob)
    assert isinstance(b, Blob)
    dx, dy = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
    there, back = float(np.arctan2(dy, dx)), float(np.arctan2(-dy, -dx))
    excess = float(np.hypot(dx, dy)) - _reach_of(a, there) - _reach_of(b, back) - gap
    build.bones[first] = _facet(a, there, first_gives * excess)
    build.bones[second] = _facet(b, back, (1 - first_gives) * excess)


def _radial_excess(build: _Builder, tube: Tube, index: int, gap: float) -> float:
    """How much wider than `gap` the space between the radius's cup and a carpal bone is, along the forearm, mm."""
    bone = build.bones[index]
    assert isinstance(bone, Blob)
    ux, uy = tube.direction
    x, y = bone.centre[0] - tube.start[0], bone.centre[1] - tube.start[1]
    along, across = x * ux + y * uy, y * ux - x * uy
    half = tube.knots[0][1]
    surface = tube.hollow * (1 - min(1.0, (across / half) ** 2)) + tube.tilt * across
    return surface - along - _reach_of(bone, float(np.arctan2(uy, ux))) - gap


def _forearm_plates(build: _Builder) -> tuple[tuple[float, float], ...]:
    if build.age >= 17.5:
        return ()
    width = build.scale * float(np.clip(0.3 * (17.5 - build.age), 0.4, 2.2))
    return ((build.scale * float(np.clip(0.45 * build.age, 1.0, 7.0)), width),)


# ---------------------------------------------------------------- foot
METATARSAL = (61.0, 74.0, 70.0, 68.5, 66.0)
TOE = ((33.0, 0.0, 24.0), (27.0, 11.5, 9.0), (25.0, 9.0, 8.5), (22.5, 7.5, 8.0), (20.0, 6.0, 7.5))


def foot(
    rng: np.random.Generator, disease: Disease | None = None, age: float | None = None, odd: bool = True
) -> Skeleton:
    """A left forefoot with midfoot from above, toes up; parameters as for `hand`."""
    grown = 18.0 if age is None else age
    growth = float(np.clip(0.42 + 0.58 * (grown / 17.0) ** 0.85, 0.4, 1.0))
    scale = growth * float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.22))
    build = _Builder(rng, disease or Disease(), grown, scale)
    build.part_is_foot = True
    s = scale
    bases = {1: (16.0, 5.0), 2: (0.0, 0.0), 3: (-11.0, 3.0), 4: (-20.5, 7.0), 5: (-29.5, 13.0)}
    fan = {1: 5.0, 2: 0.0, 3: -3.5, 4: -7.5, 5: -12.5}
    spread = rng.normal(0, 1.5)
    bunion = abs(rng.normal(0, 9))
    cut_ray, cut_joint = (int(rng.integers(1, 6)), 0) if odd and rng.random() < 0.03 else (0, 0)
    for n in (1, 2, 3, 4, 5):
        size = s * float(rng.normal(1, 0.025))
        base = (s * (bases[n][0] + rng.normal(0, 0.8)), s * (bases[n][1] + rng.normal(0, 1.0)))
        first = fan[n] + spread * (2.5 - n) * 0.6 + (0.5 * bunion if n == 1 else 0)
        second = (4 - bunion if n == 1 else 2 - 1.5 * n) + rng.normal(0, 5)
        proximal, middle, distal = (part * size for part in TOE[n - 1])
        if n == 1:
            lengths = [METATARSAL[0] * size, proximal, distal]
            widths = [(19.0 * s, 13.5 * s, 21.0 * s), (20.0 * s, 13.0 * s, 17.0 * s), (18.0 * s, 9.5 * s, 12.0 * s)]
            angles = [first, second, second + rng.normal(-3, 5)]
            joints = [("MTP1", 2.0 * s), ("IP1", 1.5 * s)]
            plates: list[Literal["base", "head", "none"]] = ["base", "base", "base"]
        else:
            toe = rng.uniform(0.65, 1.0)  # toes claw: they are seen shortened
            lengths = [METATARSAL[n - 1] * size, proximal * toe, middle * toe, distal * toe]
            widths = [
                (13.5 * s, 7.4 * s, 11.8 * s),
                (10.8 * s, 6.0 * s, 8.2 * s),
                (8.6 * s, 6.2 * s, 7.6 * s),
                (7.4 * s, 4.2 * s, 5.2 * s),
            ]
            third = second + rng.normal(0, 7)
            angles = [first, second, third, third + rng.normal(0, 8)]
            joints = [(f"MTP{n}", 1.7 * s), (f"toe PIP{n}", 1.0 * s), (f"toe DIP{n}", 0.8 * s)]
            plates = ["head", "base", "none", "none"]
        indices = build.ray(
            base,
            [float(np.radians(a)) for a in angles],
            lengths,
            widths,
            joints,
            f"ray{n}.",
            plates,
            flesh=(12.5 if n == 1 else 7.8) * s * rng.uniform(0.9, 1.15),
            cut=cut_joint if cut_ray == n else None,
        )
        metatarsal = build.bones[indices[0]]
        assert isinstance(metatarsal, Tube)
        build.tissue.append(Capsule(metatarsal.start, metatarsal.end, (18 * s, (15 if n == 1 else 12) * s), 0.9))
        if n == 1:
            for side in (-1, 1):
                x, y = _along(metatarsal.end, metatarsal.direction, -7 * s)
                build.bones.append(
                    Blob("sesamoid", (x + side * 4.6 * s, y), _outline(rng, (3.4 * s, 4.4 * s), 0), 7 * s)
                )
    if odd and build.age > 17 and rng.random() < 0.03:
        build.objects += implant(build.sites["MTP1"], 10 * s, rng)
        build.states["MTP1"] = "prosthesis"
    _midfoot(build)
    return build.skeleton("foot")


def _midfoot(build: _Builder) -> None:
    rng, s = build.rng, build.scale
    for name, x, y, half, thick in (
        ("medial cuneiform", 15, 19, (8.5, 13), 20),
        ("middle cuneiform", 1, 12, (6.5, 9.5), 22),
        ("lateral cuneiform", -9.5, 16, (6.5, 12), 22),
        ("cuboid", -21, 28, (10.5, 15), 22),
        ("navicular", 6, 36, (17, 8), 24),
        ("talus", 4, 58, (15, 19), 28),
        ("calcaneus", -14, 66, (14, 26), 26),
    ):
        centre = (s * (x + rng.normal(0, 0.8)), s * (y + rng.normal(0, 0.8)))
        build.bones.append(Blob(name, centre, _outline(rng, (half[0] * s, half[1] * s), 0, 2.8), thick * s))
    wide = s * rng.uniform(0.92, 1.1)
    build.tissue += [
        Capsule((-6 * s, -55 * s), (-6 * s, 10 * s), (36 * wide, 36 * wide), 0.55),
        Capsule((-6 * s, 10 * s), (-4 * s, 90 * s), (38 * wide, 34 * wide), 0.9),
    ]
