"""What disease and chance do to the picture of a bone: erosions, collapse, cysts, islands, vessels, mottling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import LESION_RADIUS
from pipelines.hand_foot_scoring.simulation.radiograph import Image
from pipelines.hand_foot_scoring.simulation.skeleton import Points


@dataclass(frozen=True)
class Bite:
    """An ellipse with an irregular outline, in which bone is missing or denser; in mm of the film."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    depth: float  # share of the bone that is gone; negative: bone is added
    waves: Points  # (2, 4) amplitude and phase of the outline's irregularities
    rim: float  # how much denser the border is
    soft: float  # width of the border as a share of the radius
    added: float = 0.0  # bone put on, as a share of what the bone usually has


def random_bite(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float,
    depth: float,
    irregular: float = 0.12,
) -> Bite:
    """A bite with a border drawn at random: sharp, soft or sclerotic."""
    waves = np.stack((irregular * rng.standard_normal(4) / np.sqrt(np.arange(1, 5)), rng.uniform(0, 2 * np.pi, 4)))
    rim = float(rng.uniform(0.1, 0.5)) if rng.random() < 0.35 else 0.0
    return Bite(centre, radii, angle, depth, waves, rim, float(rng.uniform(0.15, 0.8)))


def bitten(amount: Image, bite: Bite, x: Image, y: Image, pixel_mm: float, usual: float = 0.0) -> Image:
    """The layer of a bone after a bite.

    Parameters
    ----------
    amount
        (H, W) what the bone adds to the picture.
    bite
        What is missing.
    x
        (H, W) or (1, W) mm to the right.
    y
        (H, W) or (H, 1) mm down.
    pixel_mm
        Size of a pixel.
    usual
        What the bone mostly adds to the picture.
    """
    c, s = np.cos(bite.angle), np.sin(bite.angle)
    u = ((x - bite.centre[0]) * c + (y - bite.centre[1]) * s) / bite.radii[0]
    v = ((y - bite.centre[1]) * c - (x - bite.centre[0]) * s) / bite.radii[1]
    distance = np.hypot(u, v)
    reach = 1.0
    if np.any(bite.waves[0]):
        theta = np.arctan2(v, u)
        reach = 1 + sum(
            size * np.cos((k + 2) * theta + phase) for k, (size, phase) in enumerate(zip(*bite.waves, strict=True))
        )
    soft = max(bite.soft, 1.2 * pixel_mm / min(bite.radii))
    inside = (reach - distance) / soft
    gone = np.clip(inside + 0.5, 0, 1)
    gone = gone * gone * (3 - 2 * gone)
    out = amount * (1 - bite.depth * gone)
    if bite.added:
        out = np.maximum(out, bite.added * usual * gone)
    if bite.rim:
        away = (distance - reach - 0.12) * min(bite.radii)
        out = out * (1 + bite.rim * np.exp(-((away / max(0.45, pixel_mm)) ** 2)) * (1 - gone))
    return np.asarray(out, np.float32)


@dataclass(frozen=True)
class BoneEnd:
    """One end of a tubular bone on the film, mm: where it ends, which way out is, and half its width there."""

    tip: tuple[float, float]
    outwards: tuple[float, float]  # unit vector along the axis
    half: float  # at the widest
    head: bool
    edges: Points = field(default_factory=lambda: np.zeros((0, 3)))  # depth, and the border on either side of the axis

    def at(self, depth: float, across: float) -> tuple[float, float]:
        """The point `depth` mm in from the end and `across` mm beside the axis."""
        ux, uy = self.outwards
        return (self.tip[0] - depth * ux - across * uy, self.tip[1] - depth * uy + across * ux)

    def border(self, depth: float, side: float) -> float:
        """How far from the axis the bone's surface lies `depth` mm in from the end, on side -1 or 1."""
        if not len(self.edges):
            return self.half
        return float(np.interp(depth, self.edges[:, 0], self.edges[:, 1 if side < 0 else 2]))

    @property
    def shoulder(self) -> float:
        """How far in from the end the bone is widest, mm."""
        return float(self.edges[self.edges[:, 1:].sum(axis=1).argmax(), 0]) if len(self.edges) else 0.3 * self.half


def erosion(end: BoneEnd, single: int, scale: float, rng: np.random.Generator) -> list[Bite]:
    """One erosion at the end of a tubular bone: at the margin where no cartilage covers it, or the end has collapsed.

    Parameters
    ----------
    end
        The end of the bone.
    single
        Grade of the single erosion: 1 to 3, or 5.
    scale
        Of the limb against the mean adult.
    rng
        Draws place, size and border.
    """
    radius = float(rng.uniform(*LESION_RADIUS[single])) * scale
    angle = float(np.arctan2(end.outwards[1], end.outwards[0]) + rng.normal(0, 0.4))
    if single == 5:
        centre = end.at(float(rng.uniform(-0.1, 0.25)) * radius, float(rng.uniform(-0.3, 0.3)) * end.half)
        bite = random_bite(rng, centre, (radius, 1.3 * end.half), angle, float(rng.uniform(0.75, 0.97)), 0.16)
        return [replace(bite, soft=float(rng.uniform(0.15, 0.5)), rim=0.4 * bite.rim), *_beside(bite, rng, 3)]
    side = float(rng.choice([-1.0, 1.0]))
    if rng.random() < 0.12:  # seen from the front, within the bone: a rounded thinning
        centre = end.at(float(rng.uniform(0.3, 0.9)) * end.half, side * float(rng.uniform(0.1, 0.55)) * end.half)
        bite = random_bite(
            rng, centre, (radius, radius * float(rng.uniform(0.8, 1.2))), angle, float(rng.uniform(0.35, 0.65))
        )
        return [replace(bite, soft=float(rng.uniform(0.4, 0.8)), rim=0.5 * bite.rim)]
    depth_in = float(rng.uniform(0.15, 0.55)) * end.half * (1.4 if end.head else 0.9)
    across = end.border(depth_in, side) * (1 - 0.15 * float(rng.random())) - (0.35 * radius if single == 3 else 0.0)
    centre = end.at(depth_in, side * across)
    radii = (radius * float(rng.uniform(0.85, 1.25)), radius)
    bite = random_bite(rng, centre, radii, angle, float(rng.uniform(0.55, 1.0)))
    return [bite, *_beside(bite, rng, int(rng.integers(0, 3)))]


def _beside(bite: Bite, rng: np.random.Generator, count: int) -> list[Bite]:
    """Smaller bites at the border of another, which make it scalloped."""
    out = []
    for _ in range(count):
        turn, share = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.25, 0.5))
        c, s = np.cos(bite.angle), np.sin(bite.angle)
        u, v = bite.radii[0] * np.cos(turn) * (1 - 0.4 * share), bite.radii[1] * np.sin(turn) * (1 - 0.4 * share)
        centre = (float(bite.centre[0] + u * c - v * s), float(bite.centre[1] + u * s + v * c))
        size = share * min(bite.radii)
        small = random_bite(rng, centre, (size, size * float(rng.uniform(0.7, 1.4))), turn, bite.depth * 0.8, 0.15)
        out.append(replace(small, rim=0.0, soft=float(rng.uniform(0.4, 0.9))))
    return out


def rim_erosion(middle: Points, outline: Points, single: int, scale: float, rng: np.random.Generator) -> list[Bite]:
    """One erosion at the border of a short bone.

    Parameters
    ----------
    middle
        (2,) of the bone, mm.
    outline
        (N, 2) of the bone, mm.
    single
        Grade of the single erosion: 1 to 3, or 5.
    scale
        Of the limb against the mean adult.
    rng
        Draws place, size and border.
    """
    point = outline[int(rng.integers(len(outline)))]
    away = point - middle
    radius = float(rng.uniform(*LESION_RADIUS[single])) * scale * 0.95
    centre = middle + away * (0.15 if single == 5 else float(rng.uniform(0.75, 1.0)))
    radii = (radius, radius * float(rng.uniform(0.7, 1.2)))
    angle = float(np.arctan2(away[1], away[0]))
    bite = random_bite(rng, (float(centre[0]), float(centre[1])), radii, angle, float(rng.uniform(0.4, 0.85)))
    return [bite, *_beside(bite, rng, int(rng.integers(0, 3)))]


def spur(end: BoneEnd, side: float, size: float, rng: np.random.Generator) -> Bite:
    """A spur of bone at a corner of an end, `size` mm out; `side` is -1 or 1."""
    depth = end.shoulder * float(rng.uniform(0.5, 1.2))
    where = end.at(depth, side * (end.border(depth, side) - 0.3 * size))
    lean = side * float(rng.uniform(0.2, 0.9))
    along = np.arctan2(end.outwards[1], end.outwards[0]) + lean
    radii = (1.5 * size, size * float(rng.uniform(0.6, 0.9)))
    return Bite(where, radii, float(along), 0.0, np.zeros((2, 4)), 0.0, 0.5, float(rng.uniform(0.5, 0.9)))


def sclerosis(end: BoneEnd, share: float, scale: float) -> Bite:
    """A denser plate under the joint: so much more bone."""
    angle = float(np.arctan2(end.outwards[1], end.outwards[0]))
    where = end.at(1.2 * scale, 0.0)
    return Bite(where, (1.6 * scale, end.half), angle, -share, np.zeros((2, 4)), 0.0, 0.9)


def healthy_marks(end: BoneEnd, length: float, scale: float, rng: np.random.Generator) -> list[Bite]:
    """What is no disease: islands of dense bone, vessel channels, the rare cyst, waviness of the border.

    Parameters
    ----------
    end
        An end of the bone; the marks lie between it and the middle of the shaft.
    length
        Of the bone, mm.
    scale
        Of the limb against the mean adult.
    rng
        Draws them; most bones have none.
    """
    marks = []
    none = np.zeros((2, 4))
    if rng.random() < 0.05:  # bone island
        radius = scale * float(rng.uniform(0.3, 0.8))
        where = end.at(float(rng.uniform(0.5, 4)) * end.half, float(rng.uniform(-0.6, 0.6)) * end.half)
        marks.append(
            Bite(
                where, (radius * float(rng.uniform(1, 1.8)), radius), 1.6, -float(rng.uniform(0.15, 0.45)), none, 0, 0.8
            )
        )
    if rng.random() < 0.12:  # vessel channel, aslant through the wall of the shaft
        where = end.at(float(rng.uniform(0.3, 0.6)) * length, float(rng.uniform(-0.6, 0.6)) * end.half)
        tilt = float(np.arctan2(end.outwards[1], end.outwards[0]) + rng.choice([-0.35, 0.35]))
        marks.append(
            Bite(
                where,
                (scale * float(rng.uniform(1.5, 4)), 0.35 * scale),
                tilt,
                float(rng.uniform(0.1, 0.4)),
                none,
                0,
                0.8,
            )
        )
    if rng.random() < 0.3:  # mottled trabeculae: a faint, soft thinning well inside of the border
        radius = scale * float(rng.uniform(0.6, 1.6))
        where = end.at(float(rng.uniform(0.4, 1.5)) * end.half, float(rng.uniform(-0.45, 0.45)) * end.half)
        marks.append(Bite(where, (radius, radius), 0.0, float(rng.uniform(0.05, 0.2)), none, 0, 0.9))
    if end.head and rng.random() < 0.35:  # the hollow at the side of a head, where its ligament is held
        side = float(rng.choice([-1.0, 1.0]))
        depth = end.half * float(rng.uniform(0.9, 1.8))
        where = end.at(depth, side * end.border(depth, side) * float(rng.uniform(0.7, 1.0)))
        along = float(np.arctan2(end.outwards[1], end.outwards[0]))
        radii = (scale * float(rng.uniform(1.2, 2.8)), scale * float(rng.uniform(0.7, 1.4)))
        marks.append(Bite(where, radii, along, float(rng.uniform(0.08, 0.3)), none, 0, 0.95))
    if end.head and rng.random() < 0.06:  # a sesamoid seen over the head
        where = end.at(end.half * float(rng.uniform(0.2, 1.2)), float(rng.uniform(-0.8, 0.8)) * end.half)
        radii = (scale * float(rng.uniform(1.2, 2.4)), scale * float(rng.uniform(1.0, 1.8)))
        marks.append(Bite(where, radii, float(rng.uniform(0, 3)), -float(rng.uniform(0.15, 0.5)), none, 0, 0.35))
    if rng.random() < 0.1:  # the plate is denser in some
        marks.append(sclerosis(end, float(rng.uniform(0, 0.15)), scale))
    if rng.random() < 0.05:  # a small spur
        marks.append(spur(end, float(rng.choice([-1.0, 1.0])), scale * float(rng.uniform(0.3, 0.8)), rng))
    if rng.random() < 0.012:  # a cyst: round, small, with a dense rim, and the border of the bone is whole
        radius = scale * float(rng.uniform(0.6, 1.1))
        where = end.at(float(rng.uniform(0.5, 1.0)) * end.half, float(rng.uniform(-0.4, 0.4)) * end.half)
        marks.append(
            Bite(where, (radius, radius), 0.0, float(rng.uniform(0.25, 0.5)), none, float(rng.uniform(0.3, 0.7)), 0.3)
        )
    return marks


def wrist_marks(end: BoneEnd, ulna: bool, scale: float, rng: np.random.Generator) -> list[Bite]:
    """What is no disease at the wrist's end of the forearm: the line of a closed growth plate, pit and styloid process.

    Parameters
    ----------
    end
        Of the bone.
    ulna
        Whether it is the ulna: its head has a pit beside a process, which varies more than that of the radius.
    scale
        Of the limb against the mean adult.
    rng
        Draws them.
    """
    none = np.zeros((2, 4))
    along = float(np.arctan2(end.outwards[1], end.outwards[0]))
    marks = []
    if rng.random() < 0.45:
        where = end.at(scale * float(rng.uniform(5.0, 11.0)), float(rng.normal(0, 0.1)) * end.half)
        radii = (scale * float(rng.uniform(0.4, 0.9)), end.half * float(rng.uniform(0.6, 1.0)))
        tilt = along + float(rng.normal(0, 0.06))
        marks.append(Bite(where, radii, tilt, -float(rng.uniform(0.05, 0.3)), none, 0.0, 0.8))
    if ulna and rng.random() < 0.6:
        where = end.at(scale * float(rng.uniform(0.0, 2.2)), float(rng.uniform(-0.6, 0.6)) * end.half)
        radii = (scale * float(rng.uniform(0.8, 2.2)), scale * float(rng.uniform(0.7, 1.7)))
        marks.append(random_bite(rng, where, radii, along, float(rng.uniform(0.05, 0.45))))
        marks[-1] = replace(marks[-1], rim=0.0, soft=float(rng.uniform(0.6, 0.95)))
    if rng.random() < (0.5 if ulna else 0.2):
        marks.append(spur(end, float(rng.choice([-1.0, 1.0])), scale * float(rng.uniform(0.4, 2.0)), rng))
    return marks
