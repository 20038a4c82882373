"""New films from real ones: the bones of a marked radiograph are moved and damaged, and the truth comes with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from pipelines.hand_foot_scoring.crops import CROP, field_mm
from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.simulation.accessories import ring, wire, with_plaster, with_plates
from pipelines.hand_foot_scoring.simulation.crops import NONE, OFF_MM, STORED
from pipelines.hand_foot_scoring.simulation.disease import Disease, lesion_grades
from pipelines.hand_foot_scoring.simulation.layers import CANVAS_MM, BoneLayer, Canvas, lie, taken_apart
from pipelines.hand_foot_scoring.simulation.lesions import (
    Bite,
    BoneEnd,
    bitten,
    erosion,
    healthy_marks,
    rim_erosion,
    sclerosis,
    spur,
    wrist_marks,
)
from pipelines.hand_foot_scoring.simulation.limb_builder import implant
from pipelines.hand_foot_scoring.simulation.marked import marked, marked_parts
from pipelines.hand_foot_scoring.simulation.outlines import crossings
from pipelines.hand_foot_scoring.simulation.posing import (
    Build,
    Placed,
    Pose,
    amputated,
    joint_bones,
    random_pose,
    tissue_source,
)
from pipelines.hand_foot_scoring.simulation.processing import processed
from pipelines.hand_foot_scoring.simulation.radiograph import Image, grain
from pipelines.hand_foot_scoring.simulation.skeleton import Plate, Points, State
from pipelines.hand_foot_scoring.simulation.trabeculae import Trabeculae
from pipelines.hand_foot_scoring.sites import CLASS_OF, NO_EROSION, NO_NARROWING, SITES, Part
from pipelines.hand_foot_scoring.windows import Pyramid, Window

FILM_MM = 0.28  # size of a pixel of a painted film on a mean adult limb
FRAME_MM = 16.0  # free space round the bones
COARSE = 8  # the movement of the soft tissue is computed at every eighth pixel


@dataclass(frozen=True)
class PaintedFilm:
    """A left limb upright on a film, with its truth. Coordinates are (column, row), upper left pixel at (0, 0)."""

    image: Image  # (H, W), bone bright, about 0..1
    pixel_mm: float  # on the limb of a mean adult
    part: Part
    sites: Mapping[str, tuple[float, float]]
    states: Mapping[str, State]
    erosion: Mapping[str, int]
    narrowing: Mapping[str, int]


def canvases(films: Path, part: Part, parts: bool = False) -> tuple[Canvas, ...]:
    """The marked pictures of a part that may be trained on, taken apart.

    Parameters
    ----------
    films
        Folder below which the pictures lie; a picture that is not there is left out.
    part
        Hand or foot.
    parts
        Also pictures of a part of the limb, such as a wrist: for crops of joints, not to find limbs on.
    """
    return _canvases(Path(films), part, parts)


@cache
def _canvases(films: Path, part: Part, parts: bool) -> tuple[Canvas, ...]:
    found = []
    for marks in (*marked("training"), *marked_parts()):
        picture = marks.read(films) if marks.part == part and marks.view in ("pa", "dp") and marks.bones else None
        if picture is not None:
            found.append(taken_apart(marks.name, picture, part, marks.side, marks.sites, marks.bones, marks.covered))
    return tuple(
        replace(canvas, donors=tuple(other for other in found if other is not canvas))
        for canvas in found
        if parts or canvas.whole
    )


def painted_film(
    canvas: Canvas,
    disease: Disease,
    rng: np.random.Generator,
    *,
    build: Build | None = None,
    process: bool = True,
    odd: bool = True,
    bone_texture: Trabeculae | None = None,
) -> PaintedFilm:
    """A new film of a marked limb: another build, another pose, and the damage that is asked for.

    Parameters
    ----------
    canvas
        The limb in layers.
    disease
        The grades to paint; sites that it leaves out are healthy.
    rng
        Draws everything else.
    build
        Size, spaces and deformity; random if None.
    process
        Whether the film is relit and processed as by another maker, with noise.
    odd
        Whether amputations, implants, rings, wires and plaster may occur.
    bone_texture
        Trabeculae of other bone, which are laid over those of the picture in half of the films.
    """
    pose_rng, lesion_rng, look_rng = rng.spawn(3)
    build = build or random_build(disease, pose_rng)
    pose = random_pose(canvas, disease, pose_rng, build)
    painter = _Painter(canvas, pose, disease, build, lesion_rng, look_rng)
    if odd:
        painter.make_odd()
    return painter.film(process, bone_texture)


def random_build(disease: Disease, rng: np.random.Generator) -> Build:
    """A build and, of a damaged limb, how deformed it is: the more damage, the more."""
    grades = [*disease.erosion.values(), *disease.narrowing.values()]
    burden = min(1.0, float(np.mean(grades)) / 1.5) if grades else 0.0
    return Build(
        float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12)),
        float(rng.uniform(0.72, 1.2)),
        burden * float(rng.uniform(0, 1)) if rng.random() < 0.6 else 0.0,
    )


class _Painter:
    """Draws one film. Film pixels are `step` canvas pixels wide, from `corner`."""

    def __init__(
        self,
        canvas: Canvas,
        pose: Pose,
        disease: Disease,
        build: Build,
        lesions: np.random.Generator,
        rng: np.random.Generator,
    ) -> None:
        self.canvas, self.pose, self.disease, self.lesions, self.rng = canvas, pose, disease, lesions, rng
        self.scale = build.size
        self.step = FILM_MM / CANVAS_MM / build.size  # a larger limb has more pixels
        outlines = np.concatenate([bone.moved_outline for bone in pose.bones.values()])
        margin = FRAME_MM / CANVAS_MM
        low, high = outlines.min(axis=0) - margin, outlines.max(axis=0) + margin
        low, high = np.maximum(low, canvas.frame[:2]), np.minimum(high, canvas.frame[2:])
        self.corner = low
        width, height = np.ceil((high - low) / self.step).astype(int)
        self.shape = (int(height), int(width))
        self.states: dict[str, State] = {}  # of sites that are not simply seen
        self.plates: list[Plate] = []
        self.plaster: tuple[float, float] | None = None
        self.osteopenia = float(rng.uniform(0.1, 0.5)) if rng.random() < 0.15 + 0.35 * build.deformity else 0.0
        # how strongly trabeculae show; thin bone is coarse
        self.coarseness = float(np.clip(rng.normal(1.0, 0.3), 0.4, 1.8)) + 0.8 * self.osteopenia
        self.thin = float(rng.uniform(0.6, 1.0)) if rng.random() < 0.3 else float(rng.uniform(0.9, 1.15))

    def make_odd(self) -> None:
        """Draw what some limbs have besides disease: a lost finger, implants, rings, wires, plaster."""
        rng, part = self.rng, self.canvas.part
        if rng.random() < 0.04 and self.canvas.whole:
            self.states |= dict.fromkeys(amputated(self.pose, part, rng), "absent")
        places = {site: self.to_film(np.array([point]))[0] * self.mm for site, point in self.pose.sites.items()}
        for site in places:
            if site.startswith(("MCP", "PIP", "MTP")) and site not in self.states and rng.random() < 0.012:
                half = (7.0 if part == "hand" else 9.0) * self.scale
                x, y = places[site]
                out = self.pose.axes.get(site, (0.0, -1.0))
                along = float(np.arctan2(out[0], -out[1]))
                self.plates += [replace(p, angle=p.angle + along) for p in implant((float(x), float(y)), half, rng)]
                self.states[site] = "prosthesis"
        fingers = [n for n in ("proximal phalanx 4", "proximal phalanx 3") if n in self.pose.bones]
        if part == "hand" and fingers and rng.random() < 0.08:
            name = str(rng.choice(fingers))
            if name not in self.pose.lost:
                bone = self.pose.bones[name]
                where = bone.moved_base + float(rng.uniform(0.3, 0.6)) * (bone.moved_end - bone.moved_base)
                middle = self.to_film(where[None])[0] * self.mm
                self.plates.append(ring(middle, bone.moved_axis, float(rng.uniform(8.5, 10.5)) * self.scale, rng))
        if rng.random() < 0.02 and places:
            middle = places[str(rng.choice(list(places)))]
            reach = rng.normal(0, 14, 2)
            self.plates.append(wire(middle - reach, middle + reach, rng))
        if rng.random() < 0.02 and places:
            self.plaster = tuple(places[str(rng.choice(list(places)))] / self.mm)

    def _with_objects(self, image: Image) -> Image:
        if self.plates:
            image = with_plates(image, self.plates, self.mm)
        if self.plaster is not None:
            half = float(self.rng.uniform(0.08, 0.2)) * self.shape[0]
            image, angle = with_plaster(image, self.plaster, half, self.rng)
            for site, point in self.pose.sites.items():
                x, y = self.to_film(np.array([point]))[0] - self.plaster
                if abs(y * np.cos(angle) - x * np.sin(angle)) < half:
                    self.states.setdefault(site, "covered")
        return image

    def to_film(self, points: Points) -> Points:
        """Film pixels (N, 2) of points in canvas pixels where the bones went."""
        return np.asarray((points - self.corner) / self.step)

    @property
    def mm(self) -> float:
        """Size of a film pixel on this limb, mm; lesions are drawn in mm of the film."""
        return FILM_MM

    def film(self, process: bool, bone_texture: Trabeculae | None = None) -> PaintedFilm:
        """The finished film."""
        bites = self._bites()
        bone = np.zeros(self.shape, np.float32)
        for name, placed in self.pose.bones.items():
            if name in self.pose.lost or placed.leader in self.pose.lost:
                continue
            self._add(bone, placed, placed.picture.layer, bites.get(name, []))
        if bone_texture is not None and self.rng.random() < 0.5:
            bone *= 1 + float(self.rng.uniform(0.03, 0.15)) * bone_texture.texture(self.shape, self.mm, self.rng)
        self._thin_near_joints(bone)
        self._fuse(bone)
        image = self._with_objects(self._tissue() + bone)
        image = processed(image, FILM_MM, self.rng) if process else image
        sites = {site: tuple(self.to_film(np.array([point]))[0]) for site, point in self.pose.sites.items()}
        return PaintedFilm(
            np.asarray(image, np.float32),
            FILM_MM,
            self.canvas.part,
            {site: (float(x), float(y)) for site, (x, y) in sites.items()},
            {site: self._state(site, sites) for site in SITES[self.canvas.part]},
            {s: int(self.disease.erosion.get(s, 0)) for s in SITES[self.canvas.part] if s not in NO_EROSION},
            {
                s: int(self.disease.narrowing.get(s, 0))
                for s in SITES[self.canvas.part]
                if s not in NO_NARROWING[self.canvas.part]
            },
        )

    def _state(self, site: str, sites: Mapping[str, tuple[float, ...]]) -> State:
        if site not in sites:
            return "absent"
        x, y = sites[site]
        room = 1.0 if self.canvas.whole else 0.38 * field_mm(site) / self.mm  # a joint is shown with what is beside it
        if not (room <= x < self.shape[1] - room and room <= y < self.shape[0] - room):
            return "absent"
        return self.states.get(site, "covered" if site in self.pose.unreadable else "evaluable")

    # ------------------------------------------------------------ bones
    def _add(self, out: Image, bone: Placed, layer: BoneLayer, bites: list[Bite]) -> None:
        """Add a bone where it went."""
        corners = self.to_film(bone.moved_outline)
        left, top = np.maximum(np.floor(corners.min(axis=0) - 4).astype(int), 0)
        right, bottom = np.minimum(np.ceil(corners.max(axis=0) + 5).astype(int), [self.shape[1], self.shape[0]])
        if right - left < 2 or bottom - top < 2:
            return
        columns = np.arange(left, right, dtype=np.float32)[None, :]
        rows = np.arange(top, bottom, dtype=np.float32)[:, None]
        along, across = self._local(bone, columns, rows)
        shown = layer.smooth + self.coarseness * (layer.amount - layer.smooth)
        amount = self._sampled(bone, layer, shown, along, across)
        if (
            bone.tubular and self.rng.random() < 0.25
        ):  # front and back of the joint's surface drift apart in a tilted beam
            drift = float(self.rng.normal(0, 0.5)) / CANVAS_MM
            share = float(self.rng.uniform(0.2, 0.5))
            tilted = self._sampled(bone, layer, shown, along + drift * np.exp(-along / (5 / CANVAS_MM)), across)
            amount = (1 - share) * amount + share * tilted
        x, y = columns * np.float32(self.mm), rows * np.float32(self.mm)
        usual = float(np.median(amount[amount > 0.25 * amount.max()])) if bites and amount.max() > 0 else 0.0
        for bite in bites:
            amount = bitten(amount, bite, x, y, self.mm, usual)
        out[top:bottom, left:right] += bone.density * bone.picture.gain * self.thin * amount

    def _local(self, bone: Placed, columns: Image, rows: Image) -> tuple[Image, Image]:
        """Along and across the bone, canvas pixels, of film pixels."""
        u = bone.moved_axis
        dx = (columns * self.step + (self.corner[0] - bone.moved_base[0])).astype(np.float32)
        dy = (rows * self.step + (self.corner[1] - bone.moved_base[1])).astype(np.float32)
        along = (dx * u[0] + dy * u[1]) / bone.stretch[1]
        across = (dy * u[0] - dx * u[1]) / bone.stretch[0]
        shown = bone.picture
        if bone.tubular:
            share = np.clip(along / bone.length, 0, 1)
            across = across - bone.bend * np.sin(np.pi * share)
            knots = np.linspace(0, 1, bone.ripple.shape[1])
            fade = np.sin(np.pi * np.clip(1.1 * share - 0.05, 0, 1)) ** 0.5
            for side, wave in enumerate(bone.ripple):
                sign = 1.0 if side else -1.0
                across = across + fade * np.interp(share, knots, wave) * (sign * across > 0)
            across = across / np.interp(share, np.linspace(0, 1, len(shown.profile)), shown.profile) * shown.wide
            across = -across if shown.mirrored else across
            along = along * (shown.length / bone.length)
            if shown.cortex != 1:
                half = np.interp(share, *self._half_widths(bone))
                part = np.abs(across) / half
                middle = np.sin(np.pi * share) ** 0.5  # the ends have no wall
                bent = half * np.sign(across) * part ** (1 + (shown.cortex - 1) * middle)
                across = np.where((part > 0.02) & (part < 1), bent, across)
        return along.astype(np.float32), across.astype(np.float32)

    def _half_widths(self, bone: Placed) -> tuple[Points, Points]:
        """Shares of the length of a bone's picture, and half its width there, pixels of the canvas."""
        shown = bone.picture
        away = shown.outline - shown.base
        along, across = away @ shown.axis / shown.length, away @ np.array([-shown.axis[1], shown.axis[0]])
        at = np.linspace(0.05, 0.95, 10)
        half = [float(np.abs(across[np.argsort(np.abs(along - share))[:4]]).mean()) for share in at]
        return at, np.maximum(np.array(half), 1.0)

    def _sampled(self, bone: Placed, layer: BoneLayer, amount: Image, along: Image, across: Image) -> Image:
        base, axis = bone.picture.base, bone.picture.axis
        x = base[0] + along * axis[0] - across * axis[1] - layer.box[1].start
        y = base[1] + along * axis[1] + across * axis[0] - layer.box[0].start
        return np.asarray(map_coordinates(amount, (y, x), order=1, mode="constant", output=np.float32), np.float32)

    def _end(self, bone: Placed, head: bool) -> BoneEnd:
        """An end of a tubular bone in mm of the film."""
        outline = self.to_film(bone.moved_outline) * self.mm
        base, top = (self.to_film(p[None])[0] * self.mm for p in (bone.moved_base, bone.moved_end))
        out = (top - base) if head else (base - top)
        out = out / np.hypot(*out)
        tip = top if head else base
        depth, across = (tip - outline) @ out, (outline - tip) @ np.array([-out[1], out[0]])
        near = np.abs(depth) < 0.14 * np.hypot(*(top - base))
        half = float(np.abs(across[near]).max()) if near.any() else 5.0
        edges = []
        for at in np.arange(0.25, 1.7 * half, 0.5):
            crossed = crossings(np.column_stack((depth, across)), np.array([0.0, 1.0]), np.array([1.0, 0.0]), at)
            if len(crossed) > 1:
                edges.append((at, max(0.5, -crossed.min()), max(0.5, crossed.max())))
        shape = np.array(edges, np.float64) if edges else np.zeros((0, 3))
        return BoneEnd((float(tip[0]), float(tip[1])), (float(out[0]), float(out[1])), half, head, shape)

    def _bites(self) -> dict[str, list[Bite]]:
        """What is missing of each bone, and what chance has put into it."""
        bites: dict[str, list[Bite]] = {name: [] for name in self.pose.bones}
        for bone in self.pose.bones.values():
            if bone.tubular:
                length = bone.length * bone.stretch[1] / self.step * self.mm
                for head in (True, False):
                    bites[bone.name] += healthy_marks(self._end(bone, head), length, self.scale, self.rng)
            if bone.name in ("radius", "ulna"):
                bites[bone.name] += wrist_marks(self._end(bone, False), bone.name == "ulna", self.scale, self.rng)
        for site, grade in self.disease.erosion.items():
            if grade and site in self.pose.sites:
                self._erode(bites, site, int(grade))
        for site in self.pose.sites:
            self._react(bites, site)
        return bites

    def _react(self, bites: dict[str, list[Bite]], site: str) -> None:
        """Denser and spurred ends, as bone answers to damage of its joint."""
        narrowing, erosion_grade = self.disease.narrowing.get(site, 0), self.disease.erosion.get(site, 0)
        names = joint_bones(self.canvas.part, self.pose.rays, site)
        if len(names) != 2 or not all(n in self.pose.bones and self.pose.bones[n].tubular for n in names):
            return
        for name, head in zip(names, (True, False), strict=True):
            end = self._end(self.pose.bones[name], head)
            if narrowing >= 2 and self.lesions.random() < 0.4:
                bites[name].append(sclerosis(end, float(self.lesions.uniform(0.05, 0.4)), self.scale))
            for side in (-1.0, 1.0):
                if max(narrowing, erosion_grade) >= 2 and self.lesions.random() < 0.2:
                    bites[name].append(
                        spur(end, side, float(self.lesions.uniform(0.6, 1.6)) * self.scale, self.lesions)
                    )

    def _erode(self, bites: dict[str, list[Bite]], site: str, grade: int) -> None:
        names = [n for n in dict.fromkeys(joint_bones(self.canvas.part, self.pose.rays, site)) if n in self.pose.bones]
        if not names:
            return
        rng = self.lesions
        tubular = [self.pose.bones[n] for n in names if self.pose.bones[n].tubular]
        if len(tubular) != len(names):  # short bones of the wrist
            for single in lesion_grades(grade, rng):
                bone = self.pose.bones[str(rng.choice(names))]
                outline = self.to_film(bone.moved_outline) * self.mm
                bites[bone.name] += rim_erosion(outline.mean(axis=0), outline, single, self.scale, rng)
            return
        if len(tubular) == 1:
            ends = [(tubular[0], False)]
            shares = [grade]
        else:
            ends = [(tubular[0], True), (tubular[1], False)]
            if grade > 5 or self.canvas.part == "foot":
                first = int(rng.integers(max(0, grade - 5), min(5, grade) + 1))
                shares = [first, grade - first]
            elif grade < 5:
                first = int(rng.integers(0, grade + 1))
                shares = [first, grade - first]
            else:
                shares = rng.permutation([grade, 0]).tolist()
        for (bone, head), share in zip(ends, shares, strict=True):
            for single in lesion_grades(int(share), rng):
                bites[bone.name] += erosion(self._end(bone, head), single, self.scale, rng)

    # ------------------------------------------------------------ density and fusion
    def _thin_near_joints(self, bone: Image) -> None:
        """Thin the bone near the joints, as in juxta-articular osteopenia."""
        if not self.osteopenia:
            return
        coarse = np.zeros((self.shape[0] // COARSE + 2, self.shape[1] // COARSE + 2), np.float32)
        rows, columns = np.mgrid[: coarse.shape[0], : coarse.shape[1]] * (COARSE * self.mm)
        for point in self.pose.sites.values():
            x, y = self.to_film(np.array([point]))[0] * self.mm
            coarse = np.maximum(coarse, np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 9.0**2)))
        near = zoom(coarse, COARSE, order=1)[: self.shape[0], : self.shape[1]]
        bone *= 1 - self.osteopenia * (0.25 + 0.75 * near)

    def _fuse(self, bone: Image) -> None:
        """Grow the bones of a joint together where nothing is left of its space and it is not out of place."""
        for site, grade in self.disease.narrowing.items():
            if grade != 4 or site in self.pose.shifted or site not in self.pose.sites or self.rng.random() < 0.35:
                continue
            axis = self.pose.axes.get(site)
            if axis is None:
                continue
            x, y = self.to_film(np.array([self.pose.sites[site]]))[0]
            half = (13.0 if site == "RADCARP" else 8.0 if self.canvas.part == "hand" else 9.0) * self.scale / self.mm
            high = float(self.rng.uniform(2.0, 3.2)) * self.scale / self.mm
            left, right = max(0, int(x - half - 4)), min(self.shape[1], int(x + half + 5))
            top, bottom = max(0, int(y - half - 4)), min(self.shape[0], int(y + half + 5))
            if right - left < 4 or bottom - top < 4:
                continue
            part = bone[top:bottom, left:right]
            dx = np.arange(left, right)[None, :] - x
            dy = np.arange(top, bottom)[:, None] - y
            along, across = dx * axis[0] + dy * axis[1], dx * axis[1] - dy * axis[0]
            share = np.clip(1.4 - np.abs(along) / high, 0, 1) * np.clip((half - np.abs(across)) / 4, 0, 1)
            smooth = gaussian_filter(part, 1.3 / self.mm)
            texture = grain(part.shape, self.mm, self.rng)
            bridged = smooth * (1.05 + 0.10 * texture)
            share = share * np.clip(smooth / (0.6 * float(np.quantile(smooth, 0.8)) + 1e-6) - 0.3, 0, 1)
            part += (share * float(self.rng.uniform(0.7, 1.0)) * (bridged - part)).astype(np.float32)

    # ------------------------------------------------------------ soft tissue
    def _tissue(self) -> Image:
        height, width = self.shape
        rows, columns = np.mgrid[: height // COARSE + 2, : width // COARSE + 2] * COARSE
        points = np.column_stack((columns.ravel(), rows.ravel())) * self.step + self.corner
        source, vacated = tissue_source(self.pose, points)
        source = source.reshape(*rows.shape, 2)
        source[..., 1] = np.minimum(source[..., 1], self.canvas.frame[3])
        at = [_upsampled(source[..., k].astype(np.float32), self.shape) for k in (1, 0)]
        tissue = map_coordinates(self.canvas.tissue, at, order=1, mode="nearest", output=np.float32)
        gone = np.clip((vacated.reshape(rows.shape) - 2.5) / 4.0, 0, 1).astype(np.float32)
        if gone.any():  # where a finger was there is air
            tissue = tissue + _upsampled(gone, self.shape) * np.minimum(self.canvas.air - tissue, 0)
        return np.asarray(tissue * float(self.rng.uniform(0.75, 1.25)), np.float32)


def _upsampled(coarse: Image, shape: tuple[int, int]) -> Image:
    """Values at every `COARSE`-th pixel as values at every pixel."""

    def lines(values: Image, count: int) -> Image:
        at = np.arange(count) / COARSE
        low = at.astype(int)
        share = (at - low).astype(np.float32)[:, None]
        return np.asarray(values[low] * (1 - share) + values[low + 1] * share)

    return lines(lines(coarse, shape[0]).T, shape[1]).T


# ---------------------------------------------------------------- crops
def crops_of(film: PaintedFilm, rng: np.random.Generator) -> Iterator[tuple[Image, int, float, float, int, float]]:
    """The crop of every site of a film with all that is true of it, as `simulation.crops.row` makes them.

    The crops are cut as `pipelines.hand_foot_scoring.crops.cut` cuts them after a localisation that is a little off.
    """
    pyramid = Pyramid.of(film.image)
    angle, scale = lie(film.part, film.sites)
    for site, point in film.sites.items():
        if site not in SITES[film.part]:
            continue
        state = film.states[site]
        if state == "absent":
            continue
        step = field_mm(site) * scale / CROP * float(np.exp(rng.normal(0, 0.05)))
        turn = angle + float(rng.normal(0, 0.12))
        linear = step * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.array(point) + rng.normal(0, rng.choice(OFF_MM), 2) * scale
        window = Window(np.column_stack((linear, centre - linear @ np.full(2, (STORED - 1) / 2))))
        crop = pyramid.sample(window, (STORED, STORED))
        readable = state == "evaluable"
        erosion_grade = NONE if site in NO_EROSION or not readable else float(film.erosion[site])
        narrowing = NONE if site in NO_NARROWING[film.part] or not readable else float(film.narrowing[site])
        yield crop, CLASS_OF[film.part, site], erosion_grade, narrowing, STATES.index(state), NONE
