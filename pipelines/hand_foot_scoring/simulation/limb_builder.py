"""Draws the bones of a limb one after another, with their lesions, joint spaces, soft tissue and truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.hand_foot_scoring.simulation.bone_shapes import (
    irregular_outline,
    point_along,
    smooth_profile,
    tube_profile,
    unit_vector,
)
from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT, LESION_RADIUS, Disease, lesion_grades, seen_space
from pipelines.hand_foot_scoring.simulation.skeleton import (
    Blob,
    Capsule,
    Lesion,
    Look,
    Plate,
    Skeleton,
    State,
    Tube,
)
from pipelines.hand_foot_scoring.sites import FOOT_SITES, HAND_SITES, NO_EROSION, NO_NARROWING, Part

GROWN = 17.0  # years from which joints are drawn as a grown patient's
EPIPHYSIS = ".epiphysis"  # ends the name of a bone's nucleus that has not joined it yet
# of a bone's length that is cartilage at birth: at the end that will have an epiphysis, and at the other
CARTILAGE, CARTILAGE_ELSEWHERE = 0.22, 0.04


def implant(centre: tuple[float, float], half_width: float, rng: np.random.Generator) -> list[Plate]:
    """An implant over a joint: silicone with a stem, or metal.

    Parameters
    ----------
    centre
        Of the joint, mm.
    half_width
        Of the bone, mm.
    rng
        Draws material and turn.
    """
    thick = float(rng.uniform(14, 30) if rng.random() < 0.6 else rng.uniform(2.5, 5))
    angle = float(rng.normal(0, 0.25))
    return [
        Plate(centre, (half_width * 0.85, half_width * 0.8), angle, thick),
        Plate(centre, (half_width * 0.28, half_width * 2.6), angle, thick * 0.8),
    ]


def _below_slant(bone: Tube, along: float, across: float, at_rim: bool) -> tuple[float, float]:
    """Where an erosion lies whose depth counts from the slanting, hollow end of the radius or ulna.

    Parameters
    ----------
    bone
        Radius or ulna.
    along
        Depth of the erosion's middle below the surface, mm.
    across
        Its distance from the axis, mm.
    at_rim
        Whether it has to touch the rim: the bone is not as wide at every depth.

    Returns
    -------
    tuple
        Distances from the middle of the end along the axis and from the axis, mm.
    """
    share = np.clip(across / bone.half_at_start, -1, 1)
    along += bone.tilt * across + max(bone.hollow, 0.0) * (1 - float(share) ** 2)
    depths, halves = np.array(bone.knots).T
    for _ in range(3):  # the width depends on the depth, and the depth on the distance from the axis
        widest = 0.9 * float(np.interp(along, depths, halves))
        if at_rim and abs(across) > widest:
            inside = float(np.sign(across)) * widest
            along -= bone.tilt * (across - inside)
            across = inside
    return along, across


@dataclass
class LimbBuilder:
    """A limb while it is drawn: its build, and the bones, tissue and truth so far."""

    rng: np.random.Generator
    disease: Disease
    age: float  # years; 18 and more is grown up
    scale: float  # of the limb against the mean adult
    part_is_foot: bool = False

    def __post_init__(self) -> None:
        self.bones: list[Tube | Blob] = []
        self.tissue: list[Capsule] = []
        self.objects: list[Plate] = []
        self.sites: dict[str, tuple[float, float]] = {}
        self.states: dict[str, State] = {}
        self.young = float(np.clip((7 - self.age) / 7, 0, 1))  # 1 at birth, 0 from 7 years on
        # years at which the first epiphyses are seen
        self.first_centres = float(self.rng.uniform(0.8, 2.4)) if self.age < 7 else 0.0
        # years from which epiphyses are as wide as their bones, with a growth plate between
        self.wide_centres = float(self.rng.uniform(4.5, 6.0)) if self.age < 7 else 0.0
        # share of an infant's cartilage that is left
        self.cartilage = self.young**0.8 * float(self.rng.uniform(0.75, 1.2)) if self.age < self.wide_centres else 0.0
        self.gap_scale = self.rng.uniform(0.82, 1.25) * (1.25 if self.age < 14 else 1.0)
        self.width = self.rng.uniform(0.88, 1.12)
        self.wall = self.rng.uniform(0.75, 1.25)
        self.look = Look(
            plate=self.rng.uniform(0.15, 0.7),
            plate_mm=self.rng.uniform(0.45, 1.1),
            filled=self.rng.uniform(0.2, 0.48),
            rim=self.rng.uniform(0.2, 0.8),
            core=self.rng.uniform(0.15, 0.45),
        )
        self.displaced: set[str] = set()  # joints that are out of place
        self.aslant: set[str] = set()  # healthy joints that the beam does not pass along
        self.cup = self.rng.uniform(0.5, 1.6)  # how deep the cups of the phalanges are against the mean
        # mm of a mean adult by which the rim of every cup reaches over the head in it, beside what `rim_over` draws
        self.lip = self.rng.uniform(0.2, 1.4) if self.rng.random() < 0.7 else 0.0

    def grade_e(self, site: str) -> int:
        """Erosion grade of a site."""
        return int(self.disease.erosion.get(site, 0))

    def grade_j(self, site: str) -> int:
        """Narrowing grade of a site."""
        return int(self.disease.narrowing.get(site, 0))

    def space(self, site: str, normal: float) -> float:
        """Width of a joint space that is `normal` mm wide in health, as it is seen.

        It is negative if the bones have grown together or, in the wrist, are seen over each other. Of a healthy joint
        that is seen narrow the rims show (`rim_over`): the beam does not pass along it.
        """
        grade = self.grade_j(site)
        if self.age < GROWN:
            left = float(self.rng.uniform(*GAP_LEFT[grade]))
        else:
            left = seen_space(site, grade, self.rng)
        if grade == 0 and left < GAP_LEFT[0][0]:
            self.aslant.add(site)
        return normal * self.gap_scale * left

    def rim_over(self, site: str) -> float:
        """How far the rim of a bone reaches over a joint, mm: farther where the beam does not pass along the joint."""
        if self.age < GROWN:
            return 0.0
        return self.scale * float(self.rng.uniform(0.6, 2.6) if site in self.aslant else self.rng.uniform(0, 0.9))

    def shift(self, site: str, width: float) -> float:
        """Sideways displacement of the distal bone: subluxation (grade 3) or luxation (grade 4)."""
        grade = self.grade_j(site)
        if grade == 3 and self.rng.random() < 0.35:
            return float(self.rng.choice([-1, 1]) * width * self.rng.uniform(0.25, 0.5))
        if grade == 4 and self.rng.random() < 0.35:
            return float(self.rng.choice([-1, 1]) * width * self.rng.uniform(0.7, 0.95))
        return 0.0

    def eroded_tubes(self, site: str, proximal: int | None, distal: int | None) -> None:
        """Write the erosions of a joint into the head of one bone and the base of the other.

        Parameters
        ----------
        site
            Name of the joint.
        proximal
            Index in `bones` of the bone whose head is eroded; None: there is none.
        distal
            Index of the bone whose base is eroded; None: there is none.
        """
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

    def _erode_tube(self, index: int, end: str, single: int) -> None:
        bone = self.bones[index]
        assert isinstance(bone, Tube)
        radius = self.rng.uniform(*LESION_RADIUS[single]) * self.scale
        u = bone.direction
        normal = (-u[1], u[0])
        at_head = end == "head"
        half = bone.knots[-2][1] if at_head else bone.half_at_start
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
        if not at_head and bone.name in ("radius", "ulna"):
            along, across = _below_slant(bone, along, across, at_rim=single != 5)
        if at_head and single != 5:  # the corner of a round head lies behind its end
            along = max(along, bone.round * (1 - float(np.sqrt(1 - min(1.0, abs(across) / half) ** 2))))
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
        """Draw a metacarpal and its phalanges, one after the other.

        Parameters
        ----------
        start
            Where the metacarpal begins, mm.
        angles
            Of each bone, radians from straight up.
        lengths
            Of each bone, mm.
        widths
            Base, shaft and head of each bone, mm.
        joints
            Site and normal joint space, mm, after each bone but the last.
        name
            Prefix of the names of the bones.
        plate_at
            End of each bone that has a growth plate.
        flesh
            Half-width of the soft tissue, mm.
        cut
            Number of the joint at which the ray was amputated; None: it was not.

        Returns
        -------
        list
            Indices of the bones in `bones`.
        """
        indices: list[int] = []
        thumb = name == "ray1." and not self.part_is_foot
        # the head of the thumb's metacarpal is flatter and seen from its side
        flattest = 0.8 if self.age < GROWN else 0.4 if thumb else 0.6
        point = start
        for n, (angle, length, width) in enumerate(zip(angles, lengths, widths, strict=True)):
            if n > 0:
                site, normal = joints[n - 1]
                amputated = cut is not None and n - 1 >= cut
                across = unit_vector((angles[n - 1] + angle) / 2)
                point = self._across_joint(point, across, site, normal, width[0], amputated)
                if amputated:
                    continue
            direction = unit_vector(angle)
            end = point_along(point, direction, length)
            near, far = self._unossified(plate_at[n], length)
            base, shaft, head = (w * self.width for w in width)
            last = n == len(angles) - 1
            if self.first_centres <= self.age < self.wide_centres and plate_at[n] != "none":
                at_base = plate_at[n] == "base"
                middle = (
                    point_along(point, direction, 0.5 * near) if at_base else point_along(end, direction, -0.5 * far)
                )
                self.bones.append(self._nucleus(f"{name}{n}", middle, angle, (base if at_base else head) / 2, at_base))
            tube = Tube(
                f"{name}{n}",
                point_along(point, direction, near),
                direction,
                length - near - far,
                tube_profile(length - near - far, base, shaft, head),
                cortex=0.21 * shaft * self.wall,
                hollow=0.09 * base * self.cup if n > 0 else 0.05 * base,
                tilt=float(self.rng.normal(0, (0.1 if thumb and n == 1 else 0.04) if n > 0 else 0.16)),
                round=(0.42 if n == 0 else 0.2 * (0.4 + 0.6 * self.cup)) * head * self.rng.uniform(flattest, 1.2),
                bend=self.rng.normal(0, 0.012) * length,
                plates=self._plates(plate_at[n], length, base),
                density=self.rng.uniform(0.9, 1.1) * (0.85 if last else 1.0) * (1 - 0.15 * self.young),
                lip=self.lip * self.scale + self.rim_over(joints[n - 1][0])
                if n > 0
                else self.rim_over(f"CMC{name[3]}"),
            )
            if self.age >= GROWN:
                face = self._face(name, n, base)
                tube = replace(tube, marks=self._healthy_marks(tube, head=not last), face=face)
            indices.append(len(self.bones))
            self.bones.append(tube)
            if n > 0:
                self.tissue.append(
                    Capsule(point, end, (flesh * (1.04 - 0.08 * n), flesh * (0.98 - 0.08 * n)), bone=tube.name)
                )
            if last:
                tip = point_along(end, direction, 0.8 * self.scale)
                self.tissue.append(Capsule(end, tip, (flesh * 0.8, flesh * 0.72), bone=tube.name))
            point = end
        for n, (site, _) in enumerate(joints):
            if site in (*HAND_SITES, *FOOT_SITES) and self.states[site] == "evaluable" and n + 1 < len(indices):
                self._grow_together(site, indices[n], indices[n + 1])
                self.eroded_tubes(site, indices[n], indices[n + 1])
        return indices

    def _across_joint(
        self,
        point: tuple[float, float],
        u: tuple[float, float],
        site: str,
        normal: float,
        base: float,
        amputated: bool,
    ) -> tuple[float, float]:
        """Write down where a joint of a ray lies and its state; returns where the next bone begins, mm.

        Parameters
        ----------
        point
            End of the bone before it, mm.
        u
            Unit vector across the joint.
        site
            Name of the joint; not every one is scored.
        normal
            Its space in health, mm.
        base
            Full width of the base of the next bone before the patient's own breadth, mm.
        amputated
            Whether nothing follows: the point is then of no account.
        """
        scored = site in HAND_SITES or site in FOOT_SITES
        gap = self.space(site, normal) if scored else normal * self.gap_scale
        self.sites[site] = point_along(point, u, gap / 2)
        if amputated:
            self.states[site] = "absent"
            return point
        self.states[site] = "evaluable"
        shift = self.shift(site, base / 2) if scored else 0.0
        if shift:
            self.displaced.add(site)
        # the space is measured in the middle, where the cup of the next bone is deepest
        free = gap - 0.09 * base * self.width * self.cup
        luxated = abs(shift) >= 0.6 * base / 2  # then it lies beside the head before it and a little behind its end
        return point_along(point_along(point, u, -0.3 * base if luxated else free), (-u[1], u[0]), shift)

    def _grow_together(self, site: str, proximal: int, distal: int) -> None:
        """Let the subchondral plates of a joint fade if it has grown together: a narrowed one keeps them."""
        if self.grade_j(site) != 4 or site in self.displaced:
            return
        gone = float(self.rng.uniform(0.5, 1.0))
        near, far = self.bones[proximal], self.bones[distal]
        assert isinstance(near, Tube)
        assert isinstance(far, Tube)
        self.bones[proximal] = replace(near, fused=(near.fused[0], gone))
        self.bones[distal] = replace(far, fused=(gone, far.fused[1]))

    def _face(self, ray: str, number: int, base: float) -> tuple[tuple[float, float], ...]:
        """The face of a bone's base, which is no plain cup: hollows beside the middle, corners that stand out.

        The middle, where the space is measured, stays where it is, but for the groove of the second metacarpal.

        Parameters
        ----------
        ray
            Prefix of the names of its bones.
        number
            Of the bone in its ray, 0 for the metacarpal.
        base
            Full width of the base, mm.
        """
        rng = self.rng
        spread = 0.06 if number == 0 else 0.02
        left, right = rng.normal(0, spread, 2)
        hollow = rng.normal(0.0, 0.03) if number == 0 else rng.uniform(0.0, 0.04) if number > 1 else 0.0
        grooved = number == 0 and ray == "ray2." and not self.part_is_foot
        groove = rng.uniform(0.0, 0.2) if grooved else 0.0
        return smooth_profile(
            (
                (-1.0, left * base),
                (-0.45, hollow * base),
                (0.0, groove * base),
                (0.45, hollow * base),
                (1.0, right * base),
            )
        )

    def _healthy_marks(self, bone: Tube, head: bool) -> tuple[Lesion, ...]:
        """Hollows at the sides of a head, where its ligaments are held, faint thinnings and dense islands of a bone.

        They are softer and shallower than erosions.

        Parameters
        ----------
        bone
            As it was drawn.
        head
            Whether it has a head with ligaments at its sides; a distal phalanx has none.
        """
        rng, u = self.rng, bone.direction
        along = float(np.arctan2(u[1], u[0]))
        half = bone.knots[-2][1]
        marks = []

        def mark(depth: float, across: float, radii: tuple[float, float], gone: float) -> None:
            """Add one `depth` mm in from the head and `across` mm beside the axis."""
            x, y = point_along(bone.end, u, -depth)
            centre = (x - across * u[1], y + across * u[0])
            marks.append(Lesion(centre, (radii[0] * self.scale, radii[1] * self.scale), along, gone, 0.8))

        for side in (-1.0, 1.0):
            if head and rng.random() < 0.35:
                where = (half * rng.uniform(0.8, 1.8), side * half * rng.uniform(0.75, 1.05))
                mark(*where, (rng.uniform(1.0, 2.8), rng.uniform(0.6, 1.4)), rng.uniform(0.08, 0.4))
        for end in (0.0, bone.length):  # the head and the base, counted from the head
            if rng.random() < 0.25:
                depth = abs(end - half * rng.uniform(0.4, 1.6))
                radius = rng.uniform(0.4, 1.4)
                mark(depth, half * rng.uniform(-0.5, 0.5), (radius, radius), rng.uniform(-0.3, 0.25))
        return tuple(marks)

    def _plates(self, where: str, length: float, base: float) -> tuple[tuple[float, float], ...]:
        """Growth plate near one end, open below about 15 years, narrower with age. A small child has none yet."""
        if where == "none" or self.age >= 16.5 or self.age < self.wide_centres:
            return ()
        width = self.scale * float(np.clip(0.22 * (16.5 - self.age), 0.25, 1.8)) * self.rng.uniform(0.7, 1.2)
        at = float(np.clip(0.03 * self.age, 0.1, 0.42)) * 0.75 * base + 0.5
        return ((at if where == "base" else length - 1.35 * at, width),)

    def _unossified(self, where: str, length: float) -> tuple[float, float]:
        """Lengths at the base and at the head of a young child's bone that are cartilage and not seen, mm.

        Parameters
        ----------
        where
            The end that will have an epiphysis.
        length
            Of the bone, mm.
        """
        thick, thin = (share * self.cartilage * length for share in (CARTILAGE, CARTILAGE_ELSEWHERE))
        return (thick if where == "base" else thin), (thick if where == "head" else thin)

    def _nucleus(self, bone: str, middle: tuple[float, float], angle: float, half: float, flat: bool) -> Blob:
        """What is seen of an epiphysis that grows in the cartilage at the end of a bone.

        Parameters
        ----------
        bone
            Name of the bone.
        middle
            Of the cartilage, mm.
        angle
            Of the bone, radians from straight up.
        half
            Half-width of the end of the bone, mm.
        flat
            A disc, as at a base; a head's is round.
        """
        grown = (self.age - self.first_centres) / (self.wide_centres - self.first_centres)
        across = half * float(np.clip(0.35 + 0.6 * grown + self.rng.normal(0, 0.08), 0.2, 0.98))
        along = min(across, (0.8 + 0.9 * grown if flat else 1.6 + 2.0 * grown) * self.scale)
        outline = irregular_outline(self.rng, (across, along), angle)
        return Blob(f"{bone}{EPIPHYSIS}", middle, outline, 2.2 * across)

    def skeleton(self, part: Part) -> Skeleton:
        """The finished limb."""
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
