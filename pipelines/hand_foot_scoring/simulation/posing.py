"""Moves the bones of a real limb: another build, bent and turned joints, joint spaces as wide as their grades say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import Disease, seen_space
from pipelines.hand_foot_scoring.simulation.layers import CANVAS_MM, LEG, BoneLayer, Canvas
from pipelines.hand_foot_scoring.simulation.outlines import crossings, resampled, rotated, space_between, unit
from pipelines.hand_foot_scoring.simulation.skeleton import Points
from pipelines.hand_foot_scoring.sites import SITES, Part

# the space that is taken for healthy where the picture does not show one, mm of a mean adult, and its bounds
NORMAL_MM = {"MCP": 1.7, "PIP": 1.3, "IP1": 1.3, "MTP": 1.9, "DIP": 1.1, "CMC": 1.3}
OTHER_NORMAL_MM = 1.5
GAP_RANGE_MM = (0.7, 2.4)
CHAIN = ("metacarpal", "metatarsal", "proximal phalanx", "middle phalanx", "distal phalanx")
CMC = {
    "CMC1": ("trapezium", "metacarpal 1"),  # not scored for narrowing
    "CMC2": ("trapezoid", "metacarpal 2"),
    "CMC3": ("capitate", "metacarpal 3"),
    "CMC4": ("hamate", "metacarpal 4"),
    "CMC5": ("hamate", "metacarpal 5"),
}
# what moves a carpal bone: the site whose space changes, and the bone on its other side
CARPAL = {
    "MULTNAV": (("trapezium", "scaphoid"), ("trapezoid", "scaphoid")),
    "CAPNAVLUN": (("capitate", "scaphoid"), ("capitate", "lunate")),
    "RADCARP": (("scaphoid", "radius"), ("lunate", "radius")),
}
FOLLOWS = {"triquetrum": ("lunate", 0.7), "pisiform": ("lunate", 0.7), "ulna": ("radius", 1.0)}


@dataclass(frozen=True)
class Picture:
    """Whose picture a bone is given, and how it is changed across the bone: people's bones differ."""

    layer: BoneLayer
    outline: Points
    base: Points
    axis: Points
    length: float
    wide: float = 1.0  # width of that bone against the one that it stands for
    mirrored: bool = False
    profile: Points = field(default_factory=lambda: np.ones(6))  # width from base to end against the picture
    cortex: float = 1.0  # exponent of the distance from the axis: below 1 the walls are thicker
    gain: float = 1.0  # brightness of the bone that it stands for against it


@dataclass
class Placed:
    """A bone and where it goes. Points are (column, row) in pixels of the canvas; lengths in the same."""

    name: str
    outline: Points
    base: Points  # (2,) the nearer end of its axis; of a short bone, its middle
    axis: Points  # (2,) unit vector from the base to the other end
    length: float
    tubular: bool
    layer: BoneLayer
    turn: float = 0.0  # radians, clockwise
    stretch: tuple[float, float] = (1.0, 1.0)  # across and along
    moved_base: Points = field(default_factory=lambda: np.zeros(2))
    bend: float = 0.0  # pixels, sideways at the middle
    ripple: Points = field(default_factory=lambda: np.zeros((2, 12)))  # pixels, of both sides along the bone
    density: float = 1.0
    leader: str | None = None  # the bone that a sesamoid goes with

    def __post_init__(self) -> None:
        self.moved_base = self.base.copy()
        self.picture = Picture(self.layer, self.outline, self.base, self.axis, self.length)

    @property
    def moved_axis(self) -> Points:
        """(2,) unit vector of the axis where the bone goes."""
        return rotated(self.axis, self.turn)

    @property
    def moved_end(self) -> Points:
        """(2,) the other end of the axis where the bone goes."""
        return np.asarray(self.moved_base + self.stretch[1] * self.length * self.moved_axis)

    def local(self, points: Points) -> tuple[Points, Points]:
        """Along and across the axis, as pixels of the canvas, of points where the bone goes."""
        u = self.moved_axis
        away = points - self.moved_base
        along = (away @ u) / self.stretch[1]
        across = (away @ np.array([-u[1], u[0]])) / self.stretch[0]
        return along, across - self.bend * np.sin(np.pi * np.clip(along / self.length, 0, 1))

    def back(self, points: Points) -> Points:
        """Where on the canvas a point (N, 2) of the new film comes from."""
        along, across = self.local(points)
        return np.asarray(self.base + along[:, None] * self.axis + across[:, None] * [-self.axis[1], self.axis[0]])

    def forth(self, points: Points) -> Points:
        """Where points (N, 2) of the canvas go."""
        away = points - self.base
        along = away @ self.axis
        across = away @ np.array([-self.axis[1], self.axis[0]])
        across = across + self.bend * np.sin(np.pi * np.clip(along / self.length, 0, 1))
        u = self.moved_axis
        return np.asarray(
            self.moved_base
            + (self.stretch[1] * along)[:, None] * u
            + (self.stretch[0] * across)[:, None] * [-u[1], u[0]]
        )

    @property
    def moved_outline(self) -> Points:
        """(N, 2) the outline where the bone goes."""
        shown = self.picture
        away = shown.outline - shown.base
        along = (away @ shown.axis) * self.length / shown.length
        across = (away @ np.array([-shown.axis[1], shown.axis[0]])) / shown.wide * self.profile(along)
        across = -across if shown.mirrored else across
        return self.forth(self.base + along[:, None] * self.axis + across[:, None] * [-self.axis[1], self.axis[0]])

    def profile(self, along: Points) -> Points:
        """How much wider the bone is than its picture, at pixels of the canvas along the axis."""
        knots = np.linspace(0, self.length, len(self.picture.profile))
        return np.asarray(np.interp(along, knots, self.picture.profile))


@dataclass
class Pose:
    """Where the bones of a limb go, and what became of its joints."""

    bones: dict[str, Placed]
    rays: Mapping[int, tuple[str, ...]]
    sites: dict[str, tuple[float, float]]
    axes: dict[str, tuple[float, float]]  # unit vector across the space of a joint, from the body outwards
    unreadable: set[str]  # joints that are seen end on
    shifted: set[str] = field(default_factory=set)  # joints that are out of place
    lost: tuple[str, ...] = ()  # bones that were amputated


def amputated(pose: Pose, part: Part, rng: np.random.Generator) -> set[str]:
    """Take the end of one ray off a limb, and name the joints that went with it."""
    ray = int(rng.choice(list(pose.rays)))
    chain = pose.rays[ray]
    if len(chain) < 2:
        return set()
    first = int(rng.integers(1, len(chain)))
    pose.lost = chain[first:]
    return {joint_name(part, ray, number, len(chain)) for number in range(first - 1, len(chain) - 1)}


def joint_name(part: Part, ray: int, number: int, bones: int) -> str:
    """The joint after bone `number` (0: metacarpal or metatarsal) of a ray of so many bones."""
    if number == 0:
        return f"{'MCP' if part == 'hand' else 'MTP'}{ray}"
    if ray == 1:
        return "IP1"
    prefix = "" if part == "hand" else "toe "
    return f"{prefix}{'PIP' if number == 1 and bones > 2 else 'DIP'}{ray}"


def rays(names: Mapping[str, object]) -> dict[int, tuple[str, ...]]:
    """The bones of each ray, from the body outwards, as far as they are marked without a break."""
    found = {}
    for ray in range(1, 6):
        chain = [f"{kind} {ray}" for kind in CHAIN if f"{kind} {ray}" in names]
        if chain and chain[0].startswith("meta"):
            found[ray] = tuple(chain)
    return found


def placed(canvas: Canvas) -> dict[str, Placed]:
    """The bones of a canvas with their axes, nothing moved."""
    up = np.array([0.0, -1.0])
    out = {}
    for name, layer in canvas.bones.items():
        outline = resampled(layer.outline)
        middle = outline.mean(axis=0)
        tubular = name.rsplit(" ", 1)[0] in CHAIN or name in ("radius", "ulna")
        if not tubular:
            reach = float(np.hypot(*(outline - middle).T).max())
            if name.startswith("sesamoid"):
                out[name] = Placed(
                    name, layer.outline, middle, up, reach, False, layer, leader=_nearest(canvas, middle)
                )
                continue
            out[name] = Placed(name, layer.outline, middle, up, reach, False, layer)
            continue
        away = outline - middle
        _, spread, axes = np.linalg.svd(away, full_matrices=False)
        axis = axes[0]
        towards = -up if name in ("radius", "ulna") else up
        if name.endswith(" 1") and canvas.part == "hand":
            towards = np.array([0.64, -0.77])  # the thumb lies aslant
        if not canvas.whole and spread[0] < 1.9 * spread[1]:  # little of the shaft is on the picture
            axis = towards
        if canvas.part == "foot" and "phalanx" in name and spread[0] < 1.6 * spread[1]:  # toes are as wide as long
            axis = _ray_direction(canvas, name)
        axis = axis if axis @ towards >= 0 else -axis
        along = away @ axis
        across = away @ np.array([-axis[1], axis[0]])
        start, end = along.min(), along.max()
        third = 0.12 * (end - start)
        centre = [float(np.mean([across[near].min(), across[near].max()])) for near in (along < start + third,)]
        base = middle + start * axis + centre[0] * np.array([-axis[1], axis[0]])
        last = across[along > end - third]
        top = middle + end * axis + 0.5 * (last.min() + last.max()) * np.array([-axis[1], axis[0]])
        if name in ("radius", "ulna"):
            top = base + (end - start) * axis
        length = float(np.hypot(*(top - base)))
        out[name] = Placed(name, layer.outline, base, (top - base) / length, length, True, layer)
    return out


def _ray_direction(canvas: Canvas, name: str) -> Points:
    """(2,) unit vector along a ray at one of its bones, from the bone before it to the one after it."""
    ray = name.rpartition(" ")[2]
    chain = [other for kind in CHAIN if (other := f"{kind} {ray}") in canvas.bones]
    at = chain.index(name)
    first, last = (canvas.bones[chain[k]].outline.mean(axis=0) for k in (max(0, at - 1), min(len(chain) - 1, at + 1)))
    return np.asarray((last - first) / max(float(np.hypot(*(last - first))), 1e-6))


def _nearest(canvas: Canvas, point: Points) -> str | None:
    """The metacarpal, metatarsal or phalanx whose outline comes nearest to a point."""
    names = [name for name in canvas.bones if name.rsplit(" ", 1)[0] in CHAIN]
    return min(names, key=lambda name: np.hypot(*(canvas.bones[name].outline - point).T).min(), default=None)


def usual_space(name: str) -> float:
    """The healthy space of a joint of a mean adult, mm."""
    return next((mm for key, mm in NORMAL_MM.items() if name.removeprefix("toe ").startswith(key)), OTHER_NORMAL_MM)


def _change(name: str, seen_mm: float, now_mm: float, left: float) -> float:
    """How much wider a space has to become so that a share of the healthy one is left, mm.

    Parameters
    ----------
    name
        Of the joint.
    seen_mm
        The space on the picture, which is a healthy one.
    now_mm
        The same between the bones as they lie now.
    left
        Share of the healthy space that is to be left.
    """
    usual = usual_space(name)
    if np.isfinite(seen_mm) and np.isfinite(now_mm) and seen_mm >= 0.5 * usual:
        return float(np.clip(seen_mm, *GAP_RANGE_MM)) * left - now_mm
    # the beam passes aslant: healthy is what the picture shows, and their movement is all that is seen of a narrowing
    moved = now_mm - seen_mm if np.isfinite(seen_mm) and np.isfinite(now_mm) else 0.0
    return 0.9 * usual * (min(left, 1.0) - 1.0) - moved


@dataclass(frozen=True)
class Build:
    """What is drawn of a limb's build and pose; the share of films that has it stands beside each."""

    size: float = 1.0  # of the limb
    gap: float = 1.0  # healthy spaces against those of the picture
    deformity: float = 0.0  # 0: a healthy hand that lies flat; 1: severe arthritis


def random_pose(canvas: Canvas, disease: Disease, rng: np.random.Generator, build: Build) -> Pose:
    """Draw where the bones of a limb go.

    Parameters
    ----------
    canvas
        The limb.
    disease
        Grades of narrowing by site.
    rng
        Draws lengths, widths, angles and displacements.
    build
        Size, width of the spaces, and how deformed the limb is.
    """
    bones = placed(canvas)
    chains = rays(bones)
    pose = Pose(bones, chains, {}, {}, set())
    wide = float(rng.normal(1.0, 0.06))
    for bone in bones.values():
        across = wide * float(rng.normal(1.0, 0.03))
        along = float(rng.normal(1.0, 0.04 if bone.tubular else 0.03))
        if not bone.tubular:
            across = along = float(rng.normal(1.0, 0.035))
            bone.turn = float(rng.normal(0, 0.05))
        if bone.name in ("radius", "ulna"):
            along = 1.0
        if bone.name in LEG:
            across, along, bone.turn = 1.0, 1.0, 0.0
        bone.stretch = (across, along)
        if bone.tubular:
            bone.bend = float(rng.normal(0, 0.01)) * bone.length
            bone.ripple = _ripple(rng, 0.10 / CANVAS_MM)
        bone.density = float(rng.normal(1.0, 0.05))
        bone.picture = _random_picture(bone, bones, canvas, rng)
    _turn_rays(pose, canvas.part, rng, build)
    for ray, chain in chains.items():
        _lay_ray(pose, canvas, ray, chain, disease, rng, build)
    if canvas.part == "hand":
        _lay_wrist(pose, canvas, disease, rng, build)
    for bone in bones.values():
        if bone.leader is not None:
            lead = bones[bone.leader]
            bone.moved_base = lead.forth(bone.base[None])[0] + rng.normal(0, 0.6 / CANVAS_MM, 2)
            bone.turn = lead.turn
    _place_sites(pose, canvas)
    return pose


def _random_picture(bone: Placed, bones: Mapping[str, Placed], canvas: Canvas, rng: np.random.Generator) -> Picture:
    """The bone's own picture, or that of the same bone of another or of a neighbour of its kind, of another build."""
    kind, _, ray = bone.name.rpartition(" ")
    other = bone
    if canvas.donors and bone.name not in ("radius", "ulna", *LEG) and bone.leader is None and rng.random() < 0.35:
        donor = canvas.donors[int(rng.integers(len(canvas.donors)))]
        # hindfoot bones lie over each other in another way on every film
        if bone.name in donor.bones and (donor.whole if bone.tubular else canvas.part == "hand"):
            other = _placed_once(donor)[bone.name]
    elif kind.endswith("phalanx") and ray not in ("", "1") and rng.random() < 0.3:
        names = [name for name in bones if name.startswith(kind) and not name.endswith(" 1")]
        other = bones[str(rng.choice(names))]
    gain = bone.layer.usual / max(other.layer.usual, 1e-3)
    if not bone.tubular:
        return Picture(other.layer, other.outline, other.base, other.axis, bone.length, gain=gain)
    wide = _width_at(other, 0.5) / _width_at(bone, 0.5)
    profile = np.exp(rng.normal(0, 0.05, 6))
    return Picture(
        other.layer,
        other.outline,
        other.base,
        other.axis,
        other.length,
        float(np.clip(wide, 0.6, 1.7)),
        kind.endswith("phalanx") and bool(rng.random() < 0.25),
        profile if bone.name not in ("radius", "ulna") else np.ones(6),
        float(np.exp(rng.normal(0, 0.13))) if kind.endswith(("phalanx", "carpal", "tarsal")) else 1.0,
        gain,
    )


@lru_cache(maxsize=8)
def _placed_once(canvas: Canvas) -> dict[str, Placed]:
    return placed(canvas)


def _ripple(rng: np.random.Generator, spread: float) -> Points:
    wave = rng.standard_normal((2, 12))
    return np.asarray(spread * rng.uniform(0.2, 1.6) * wave)


def _turn_rays(pose: Pose, part: Part, rng: np.random.Generator, build: Build) -> None:
    """Angles of the bones: fan, spread fingers, drift, and bends of single joints."""
    ill = build.deformity
    fan, spread = rng.normal(0, 0.02), rng.normal(-0.02, 0.07)
    drift = 0.0
    if rng.random() < 0.25 + 0.5 * ill:
        drift = -abs(float(rng.normal(0, 0.08 + 0.35 * ill)))  # to the ulnar side
        drift *= 1.0 if part == "hand" else 0.3
    for ray, chain in pose.rays.items():
        thumb = part == "hand" and ray == 1
        turn = 0.0
        for number, name in enumerate(chain):
            bone = pose.bones[name]
            if number == 0:
                turn = float(rng.normal(0.0, 0.14)) if thumb else fan * (3 - ray) + float(rng.normal(0, 0.012))
            elif number == 1:
                own = 0.16 if thumb else 0.05
                turn += float(rng.normal(0, own + 0.12 * ill * (1.0 if part == "hand" else 0.5)))
                if part == "foot" and ray == 1 and rng.random() < 0.35:
                    turn -= abs(float(rng.normal(0, 0.15)))  # hallux valgus
                if not thumb:
                    turn += spread * (3 - ray) * (1.0 if part == "hand" else 0.4) + drift
            else:
                turn += float(rng.normal(0, 0.045 + 0.12 * ill))
            bone.turn = float(np.clip(turn, -0.9, 0.9))
            bent = rng.random()
            if number >= 1 and bent < (0.10 if part == "hand" else 0.2) + 0.25 * ill:
                low = 0.72 if rng.random() < 0.8 - 0.4 * ill else 0.4
                short = float(rng.uniform(low, 1.0))
                bone.stretch = (bone.stretch[0], bone.stretch[1] * short)
                bone.density *= 1 + 0.5 * (1 / short - 1)
                if short < 0.6:
                    pose.unreadable.add(joint_name(part, ray, number - 1, len(chain)))
                    if number + 1 < len(chain):
                        pose.unreadable.add(joint_name(part, ray, number, len(chain)))


def _lay_ray(
    pose: Pose,
    canvas: Canvas,
    ray: int,
    chain: tuple[str, ...],
    disease: Disease,
    rng: np.random.Generator,
    build: Build,
) -> None:
    """Put the bones of a ray one after the other, each joint space as wide as its grade says."""
    for number in range(1, len(chain)):
        a, b = pose.bones[chain[number - 1]], pose.bones[chain[number]]
        name = joint_name(canvas.part, ray, number - 1, len(chain))
        end = a.base + a.length * a.axis
        head = 0.5 * _width_at(a, 0.9)
        pivot = end - head * a.axis
        out = b.base - pivot
        distance = float(np.hypot(*out))
        towards = rotated(out / distance, b.turn)
        moved_pivot = a.moved_end - a.stretch[0] * head * a.moved_axis
        grown = head * a.stretch[0] + (distance - head)
        b.moved_base = moved_pivot + grown * towards
        # the width of a head that is turned is not that of its end: the space is measured, then set
        x, y = canvas.sites.get(name, (end + b.base) / 2)
        centre, half = np.array([[x, y]]), 0.22 * _width_at(b, 0.1)
        seen = space_between(a.outline, b.outline, centre[0], unit(a.axis + b.axis), half) * CANVAS_MM
        towards = unit(a.moved_axis + b.moved_axis)
        middle = (a.forth(centre)[0] + b.forth(centre)[0]) / 2
        now = space_between(a.moved_outline, b.moved_outline, middle, towards, half) * CANVAS_MM
        left = build.gap * seen_space(name, disease.narrowing.get(name, 0), rng)
        change = _change(name, seen, now, left)
        b.moved_base = b.moved_base + change / CANVAS_MM * towards
        if disease.erosion.get(name, 0) >= 5 and disease.narrowing.get(name, 0) >= 3:  # the ends sink into each other
            b.moved_base = b.moved_base - float(rng.uniform(0.5, 3.5)) * build.size / CANVAS_MM * towards
        sideways, back = _displacement(disease.narrowing.get(name, 0), name in SITES[canvas.part], rng)
        if sideways or back:
            width = _width_at(b, 0.08) * b.stretch[0]
            across = np.array([-towards[1], towards[0]])
            b.moved_base = b.moved_base + width * (sideways * across - back * towards)
            pose.shifted.add(name)
        pose.axes[name] = (float(towards[0]), float(towards[1]))


def _displacement(grade: int, scored: bool, rng: np.random.Generator) -> tuple[float, float]:
    """How far a bone has slipped, sideways and back over its neighbour, as shares of its width.

    Subluxation at grade 3 and luxation at grade 4, to the side or, more often, to the palm: the bones are seen over
    each other.
    """
    if not scored or grade < 3 or rng.random() > 0.35:
        return 0.0, 0.0
    side = -1.0 if rng.random() < 0.7 else 1.0
    if grade == 3:
        return side * float(rng.uniform(0.15, 0.3)), 0.0
    if rng.random() < 0.6:
        return side * float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.25, 0.6))
    return side * float(rng.uniform(0.45, 0.7)), float(rng.uniform(0.05, 0.25))


def _width_at(bone: Placed, share: float) -> float:
    """Width of a bone's outline at a share of its length, pixels."""
    away = bone.outline - bone.base
    hits = crossings(away, np.array([-bone.axis[1], bone.axis[0]]), bone.axis, share * bone.length)
    return float(np.ptp(hits)) if len(hits) > 1 else 0.3 * bone.length


def _lay_wrist(pose: Pose, canvas: Canvas, disease: Disease, rng: np.random.Generator, build: Build) -> None:
    """Move metacarpals, carpal bones and forearm so that the spaces of the wrist are as wide as their grades say."""
    bones = pose.bones
    before = {name: bone.outline for name, bone in bones.items()}

    def lacking(site: str, pair: tuple[str, str], left: float) -> tuple[Points, float] | None:
        """The direction from the first bone to the second, and how far the second has to move along it."""
        if pair[0] not in bones or pair[1] not in bones:
            return None
        a, b = bones[pair[0]], bones[pair[1]]
        seen, _ = _facing(before[pair[0]], before[pair[1]], b)
        now, axis = _facing(a.moved_outline, b.moved_outline, b)
        return axis, _change(site, seen * CANVAS_MM, now * CANVAS_MM, left) / CANVAS_MM

    def left(site: str) -> float:
        return build.gap * seen_space(site, disease.narrowing.get(site, 0), rng)

    shares = {site: left(site) for site in (*CMC, *CARPAL)}
    moved_rays: dict[int, Points] = {}
    for site, pair in CMC.items():
        found = lacking(site, pair, shares[site])
        if found is not None:
            moved_rays[int(site[-1])] = found[0] * float(np.clip(found[1], -14, 14))
            pose.axes[site] = (float(found[0][0]), float(found[0][1]))
    for ray, shift in moved_rays.items():
        for name in pose.rays.get(ray, ()):
            bones[name].moved_base = bones[name].moved_base + shift

    def move(name: str, wishes: list[tuple[Points, float]]) -> None:
        if not wishes:
            return
        directions = np.array([axis for axis, _ in wishes])
        amounts = np.clip(np.array([amount for _, amount in wishes]), -14, 14)
        system = directions.T @ directions + 0.05 * np.eye(2)
        bones[name].moved_base = bones[name].moved_base + np.linalg.solve(system, directions.T @ amounts)

    for _ in range(2):
        for name in ("scaphoid", "lunate"):
            if name in bones:
                pairs = [(site, pair) for site in ("MULTNAV", "CAPNAVLUN") for pair in CARPAL[site] if pair[1] == name]
                wishes = [lacking(site, pair, shares[site]) for site, pair in pairs]
                move(name, [wish for wish in wishes if wish is not None])
    if "radius" in bones:
        for _ in range(2):
            wishes = [lacking("RADCARP", pair, shares["RADCARP"]) for pair in CARPAL["RADCARP"]]
            given = [float(axis @ bones["radius"].moved_axis) * amount for axis, amount in filter(None, wishes)]
            if given:
                bones["radius"].moved_base = (
                    bones["radius"].moved_base + float(np.clip(np.mean(given), -18, 18)) * bones["radius"].moved_axis
                )
        pose.axes["RADCARP"] = (float(-bones["radius"].moved_axis[0]), float(-bones["radius"].moved_axis[1]))
    for name, (leader, share) in FOLLOWS.items():
        if name in bones and leader in bones:
            by = bones[leader].moved_base - bones[leader].base
            bones[name].moved_base = bones[name].moved_base + share * by
            if name == "ulna":
                variance = float(np.clip(rng.normal(0, 1.5), -4, 4)) / CANVAS_MM
                bones[name].moved_base = bones[name].moved_base + variance * bones[name].moved_axis
    for site in ("MULTNAV", "CAPNAVLUN"):
        facing = [pair for pair in CARPAL[site] if pair[0] in bones and pair[1] in bones]
        if facing:
            away = np.mean([bones[a].moved_base - bones[b].moved_base for a, b in facing], axis=0)
            away = away / np.hypot(*away)
            pose.axes[site] = (float(away[0]), float(away[1]))


def _facing(first: Points, second: Points, bone: Placed) -> tuple[float, Points]:
    """The space between two bones on the line between them, and its direction from the first to the second."""
    start = first.mean(axis=0)
    goal = second.mean(axis=0)
    if bone.tubular:  # its end faces the other bone, not its middle
        away = np.hypot(*(second - start).T)
        goal = second[away <= np.quantile(away, 0.2)].mean(axis=0)
    axis = unit(goal - start)
    return space_between(first, second, (start + goal) / 2, axis, 2.0 / CANVAS_MM), axis


# the bones whose movement a site follows: the middle of the joint goes with both of them
BONES_OF: Mapping[str, tuple[str, ...]] = {
    "MC1B": ("metacarpal 1",),
    "MULT": ("trapezoid", "trapezium"),
    "NAV": ("scaphoid",),
    "LUN": ("lunate",),
    "RAD": ("radius",),
    "ULN": ("ulna",),
    "CMC3": ("capitate", "metacarpal 3"),
    "CMC4": ("hamate", "metacarpal 4"),
    "CMC5": ("hamate", "metacarpal 5"),
    "MULTNAV": ("trapezoid", "trapezium", "scaphoid", "scaphoid"),
    "CAPNAVLUN": ("capitate", "capitate", "scaphoid", "lunate"),
    "RADCARP": ("radius", "radius", "scaphoid", "lunate"),
}


def joint_bones(part: Part, chains: Mapping[int, tuple[str, ...]], site: str) -> tuple[str, ...]:
    """The bones at a site, the one nearer to the body first."""
    if part == "hand" and site in BONES_OF:
        return BONES_OF[site]
    for ray, chain in chains.items():
        for number in range(1, len(chain)):
            if joint_name(part, ray, number - 1, len(chain)) == site:
                return (chain[number - 1], chain[number])
    return ()


def _place_sites(pose: Pose, canvas: Canvas) -> None:
    for site, point in canvas.sites.items():
        names = [name for name in joint_bones(canvas.part, pose.rays, site) if name in pose.bones]
        if not names:
            continue
        if site in pose.shifted:
            names = names[:1]
        where = np.mean([pose.bones[name].forth(np.array([point]))[0] for name in names], axis=0)
        pose.sites[site] = (float(where[0]), float(where[1]))


def tissue_source(pose: Pose, points: Points) -> tuple[Points, Points]:
    """Where on the canvas the soft tissue at points of the new film comes from: it follows the bones near it.

    Parameters
    ----------
    pose
        Where the bones went.
    points
        (N, 2) on the new film, in pixels of the canvas.

    Returns
    -------
    tuple
        (N, 2) pixels of the canvas, and (N,) how much farther from any bone each point is now, mm: where a finger was
        and is no longer, moved or amputated, this is large.
    """
    leaders = [bone for bone in pose.bones.values() if bone.leader is None]
    total = np.zeros((len(points), 1))
    out = np.zeros((len(points), 2))
    now, stump = np.full(len(points), np.inf), np.full(len(points), np.inf)
    for bone in leaders:
        near = _away_mm(points, bone.moved_base, bone.moved_end if bone.tubular else None)
        now = np.minimum(now, near)
        if bone.name not in pose.lost:
            stump = np.minimum(stump, near)
        weight = (1 / (near**2 + 4.0) ** 2)[:, None]
        total += weight
        out += weight * bone.back(points)
    source = out / total
    before = np.full(len(points), np.inf)
    for bone in leaders:
        end = bone.base + bone.length * bone.axis if bone.tubular else None
        before = np.minimum(before, _away_mm(source, bone.base, end))
    moved = np.where(now > 10.0, now - before, 0.0)
    return np.asarray(source), np.asarray(np.maximum(moved, np.where(stump > now, stump - 6.0, 0.0)))


def _away_mm(points: Points, start: Points, end: Points | None) -> Points:
    """Distance (N,) of points from a bone: from its axis, or about from the outline of a short bone; mm."""
    if end is None:
        return np.asarray(np.maximum(np.hypot(*(points - start).T) * CANVAS_MM - 4.0, 0))
    t = np.clip(((points - start) @ (end - start)) / max(float((end - start) @ (end - start)), 1e-6), 0, 1)
    return np.asarray(np.hypot(*(points - start - t[:, None] * (end - start)).T) * CANVAS_MM)
