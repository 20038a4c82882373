"""From a skeleton to a radiograph: path lengths of bone and tissue along the beam, then exposure, scatter, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Capsule, Lesion, Plate, Points, Skeleton, Tube
from pipelines.hand_foot_scoring.simulation.trabeculae import Trabeculae

Image = NDArray[np.float32]
BONE_PER_MM, TISSUE_PER_MM = 0.055, 0.020  # attenuation at the 50 to 55 kV of extremity work, rounded


@dataclass(frozen=True)
class View:
    """How the plane of the skeleton lies on the film: a similarity, with a mirror for right limbs."""

    shape: tuple[int, int]
    pixel_mm: float
    rotation: float = 0.0  # radians, clockwise on the film
    origin: tuple[float, float] = (0.0, 0.0)  # column, row of the skeleton's origin
    mirrored: bool = False

    def matrix(self) -> NDArray[np.float64]:
        """(2, 2) from skeleton mm to film pixels, without the shift."""
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        turn = np.array([[c, -s], [s, c]])
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0])
        return np.asarray(turn @ flip / self.pixel_mm)

    def to_pixels(self, points_mm: Points) -> Points:
        """(N, 2) skeleton mm to (N, 2) column, row; the centre of the upper left pixel is at (0, 0)."""
        return np.asarray(np.asarray(points_mm, np.float64) @ self.matrix().T + np.asarray(self.origin))


class _Canvas:
    """Pixel coordinates of a film in skeleton mm, and boxes of them round a bone."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.inverse = np.linalg.inv(view.matrix())
        self.pixel = view.pixel_mm

    def box(self, centre: tuple[float, float], reach: float) -> tuple[slice, slice] | None:
        """Rows and columns within `reach` mm of a point, or None where that lies off the film."""
        x, y = self.view.to_pixels(np.array([centre]))[0]
        half = reach / self.pixel + 2
        height, width = self.view.shape
        left, right = max(0, int(x - half)), min(width, int(x + half) + 1)
        top, bottom = max(0, int(y - half)), min(height, int(y + half) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def mm(self, box: tuple[slice, slice]) -> tuple[Image, Image]:
        """x and y in mm of the pixels of a box."""
        rows = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - np.float32(self.view.origin[1])
        columns = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None, :] - np.float32(self.view.origin[0])
        m = self.inverse.astype(np.float32)
        return m[0, 0] * columns + m[0, 1] * rows, m[1, 0] * columns + m[1, 1] * rows


def path_lengths(skeleton: Skeleton, view: View, texture: Image | None = None) -> tuple[Image, Image]:
    """Bone and soft tissue along the beam.

    Parameters
    ----------
    skeleton
        The limb.
    view
        How it lies on the film.
    texture
        (H, W) around 0: trabeculae, which modulate cancellous bone only.

    Returns
    -------
    tuple
        (H, W) of each, mm.
    """
    canvas = _Canvas(view)
    bone = np.zeros(view.shape, np.float32)
    tissue, in_front = np.zeros(view.shape, np.float32), np.zeros(view.shape, np.float32)
    for item in skeleton.bones:
        if isinstance(item, Blob) and item.radii.max() < 1.2:
            continue  # not ossified yet
        _add_bone(bone, canvas, item, texture)
    for capsule in skeleton.tissue:
        _add_capsule(in_front if capsule.in_front else tissue, canvas, capsule)
    tissue = gaussian_filter(tissue + in_front, 0.9 * skeleton.scale / view.pixel_mm, truncate=2.5)
    for plate in skeleton.objects:
        _add_plate(bone, canvas, plate)
    return bone, tissue


def _cut(items: tuple[Lesion, ...], x: Image, y: Image, amount: Image, pixel: float) -> Image:
    for lesion in items:
        c, s = np.cos(lesion.angle), np.sin(lesion.angle)
        u = ((x - lesion.centre[0]) * c + (y - lesion.centre[1]) * s) / lesion.radii[0]
        v = ((y - lesion.centre[1]) * c - (x - lesion.centre[0]) * s) / lesion.radii[1]
        soft = max(lesion.soft, pixel / min(lesion.radii))
        gone = np.clip((1 - np.hypot(u, v)) / soft + 0.5, 0, 1)
        amount = amount * (1 - lesion.depth * gone)
    return amount


def _add_bone(out: Image, canvas: _Canvas, bone: Tube | Blob, texture: Image | None) -> None:
    if isinstance(bone, Blob):
        centre, reach = bone.centre, float(bone.radii.max()) * 1.1 + bone.lip
    else:
        widest = max(half for _, half in bone.knots)
        centre = (
            bone.start[0] + bone.direction[0] * bone.length / 2,
            bone.start[1] + bone.direction[1] * bone.length / 2,
        )
        reach = bone.length / 2 + widest
    box = canvas.box(centre, reach)
    if box is None:
        return
    x, y = canvas.mm(box)
    grain = None if texture is None else texture[box]
    if isinstance(bone, Blob):
        amount = _blob(bone, x, y, grain, canvas.pixel)
    else:
        amount = (_steep_tube if abs(bone.deep) > bone.length else _tube)(bone, x, y, grain, canvas.pixel)
    out[box] += bone.density * _cut((*bone.lesions, *bone.marks), x, y, amount, canvas.pixel)


def _tube(bone: Tube, x: Image, y: Image, grain: Image | None, pixel: float) -> Image:
    ux, uy = bone.direction
    t = (x - bone.start[0]) * ux + (y - bone.start[1]) * uy
    d = (y - bone.start[1]) * ux - (x - bone.start[0]) * uy
    if bone.bend:
        d = d - bone.bend * np.sin(np.pi * np.clip(t / bone.length, 0, 1))
    at, half = zip(*bone.knots, strict=True)
    w = np.interp(t, at, half).astype(np.float32)
    for position, width in bone.plates:  # an epiphysis stands out over the shaft
        nearer = t < position if position < bone.length / 2 else t > position
        w = np.where(nearer, w * (1 + min(0.08, 0.06 * width)), w)
    share = np.clip(d / w, -1, 1)
    arch = np.sqrt(1 - share**2)
    begin = bone.hollow * arch**2 + bone.tilt * d if bone.hollow >= 0 else -bone.hollow * (1 - arch) + bone.tilt * d
    if bone.face:
        begin = begin + bone.face_mm(share).astype(np.float32)
    finish = bone.length - bone.round * (1 - arch)
    inside = np.minimum(t - begin, finish - t)
    edge = max(0.35, 0.8 * pixel)
    mask = np.clip(inside / edge + 0.5, 0, 1)
    middle = np.clip(np.minimum(t, bone.length - t) / (0.3 * bone.length), 0, 1)  # 0 at the ends, 1 in the shaft
    wall = np.maximum(0.45, bone.cortex * (0.3 + 0.7 * middle))
    inner = np.maximum(w - wall, 0)
    solid = 2 * np.sqrt(np.maximum(w**2 - d**2, 0))
    marrow = 2 * np.sqrt(np.maximum(inner**2 - d**2, 0))
    filled = bone.look.filled - (bone.look.filled - 0.15) * middle  # cancellous bone fills the ends
    if grain is not None:
        filled = filled * (1 + bone.look.coarse * grain * (1 - 0.5 * middle))
    amount = 0.85 * (solid - marrow * (1 - filled))
    wide = max(bone.look.plate_mm, pixel)
    plate = np.exp(-((np.maximum(inside, 0) / wide) ** 2)) * (1 - 0.6 * middle)
    if any(bone.fused):
        plate = plate * (1 - np.where(t < bone.length / 2, bone.fused[0], bone.fused[1]))
    amount = amount + bone.look.plate * solid * plate  # the subchondral plate is bright
    for position, strength in bone.scars:
        line = np.exp(-(((t - position - 0.04 * w * np.sin(3 * share)) / wide) ** 2)) * (0.6 + 0.4 * np.sin(5 * share))
        amount = amount + strength * bone.look.plate * solid * line
    for position, width in bone.plates:
        gap = np.exp(-(((t - position) / max(0.6 * width, 0.4 * pixel)) ** 2))
        border = np.exp(-(((np.abs(t - position) - 0.6 * width - 0.5 * wide) / (0.6 * wide)) ** 2))
        amount = amount * (1 - 0.75 * gap * min(1.0, width / max(pixel, 0.3)))
        amount = amount + 0.8 * bone.look.plate * solid * border  # and so are the borders of a growth plate
    amount = amount * mask
    if bone.lip:  # the rim of the cup is seen over the joint and the head in it
        over = np.clip((t - begin + bone.lip) / edge, 0, 1) * np.clip((begin - t) / edge, 0, 1)
        amount = amount + 0.16 * solid * over * (np.abs(d) < w)
    amount = amount * np.hypot(1, bone.deep / bone.length)  # the beam runs through a tilted bone aslant
    return np.asarray(amount, np.float32)


SLICES = 20  # of a bone that the beam runs along


def _steep_tube(bone: Tube, x: Image, y: Image, grain: Image | None, pixel: float) -> Image:
    """A tubular bone that stands more upright on the film than it lies: its cross-sections, one behind the other.

    The shapes of its ends, growth plates and scars are left out: they lie over each other. Lesions are cut by `_cut`.
    """
    ux, uy = bone.direction
    t = (x - bone.start[0]) * ux + (y - bone.start[1]) * uy
    d = (y - bone.start[1]) * ux - (x - bone.start[0]) * uy
    whole = float(np.hypot(bone.length, bone.deep))
    sine = abs(bone.deep) / whole
    at, half = zip(*bone.knots, strict=True)
    edge = max(0.35, 0.8 * pixel)
    speckle = 1.0 if grain is None else 1 + bone.look.coarse * grain
    amount = np.zeros(np.broadcast_shapes(t.shape, d.shape), np.float32)
    for share in (np.arange(SLICES) + 0.5) / SLICES:
        middle = min(1.0, min(share, 1 - share) / 0.3)  # 0 at the ends, 1 in the shaft
        w = float(np.interp(share * bone.length, at, half))
        w *= min(1.0, 0.6 + 4 * min(share, 1 - share))  # the ends are rounded
        wall = min(w, max(0.45, bone.cortex * (0.3 + 0.7 * middle)))
        filled = bone.look.filled - (bone.look.filled - 0.15) * middle
        inside = w - np.hypot((t - share * bone.length) / sine, d)
        compact = np.clip((wall - inside) / edge + 0.5, 0, 1)
        section = np.clip(inside / edge + 0.5, 0, 1) * (compact + (1 - compact) * np.minimum(filled * speckle, 1))
        amount += section
    amount *= 0.85 * whole / SLICES / sine
    return np.asarray(amount, np.float32)


def _blob(bone: Blob, x: Image, y: Image, grain: Image | None, pixel: float) -> Image:
    dx, dy = x - bone.centre[0], y - bone.centre[1]
    theta = np.arctan2(dy, dx)
    knots = np.linspace(-np.pi, np.pi, bone.radii.size, endpoint=False)
    radius = np.interp(theta, knots, bone.radii, period=2 * np.pi).astype(np.float32)
    distance = np.hypot(dx, dy)
    depth = radius - distance  # mm inside the outline, along the ray
    rho = np.clip(distance / np.maximum(radius, 1e-3), 0, 1)
    mask = np.clip(depth / max(0.35, 0.8 * pixel) + 0.5, 0, 1)
    lens = bone.thickness * np.sqrt(np.clip(1 - 0.8 * rho**2, 0, 1))
    filled = np.full_like(lens, bone.look.core)
    if grain is not None:
        filled = filled * (1 + bone.look.coarse * grain)
    rim = np.exp(-((np.maximum(depth, 0) / max(bone.look.plate_mm, pixel)) ** 2))
    for towards in bone.fused:
        away = np.angle(np.exp(1j * (theta - towards)))
        rim = rim * (1 - 0.9 * np.exp(-((away / 0.6) ** 2)))
    amount = mask * lens * (filled + bone.look.rim * rim)
    if bone.lip:  # the front of the bone is seen beside its back
        reach = bone.lip * np.clip(np.cos(theta - bone.lip_towards), 0, 1)
        edge = max(0.35, 0.8 * pixel)
        over = np.clip((depth + reach) / edge, 0, 1) * (1 - mask)
        border = np.exp(-(((depth + reach) / max(bone.look.plate_mm, pixel)) ** 2))
        amount = amount + 0.3 * bone.thickness * over * (filled + bone.look.rim * border)
    return np.asarray(amount, np.float32)


def _add_capsule(out: Image, canvas: _Canvas, capsule: Capsule) -> None:
    (ax, ay), (bx, by) = capsule.start, capsule.end
    length = float(np.hypot(bx - ax, by - ay))
    box = canvas.box(((ax + bx) / 2, (ay + by) / 2), length / 2 + max(capsule.radius))
    if box is None:
        return
    x, y = canvas.mm(box)
    ux, uy = ((bx - ax) / length, (by - ay) / length) if length else (0.0, 1.0)
    along = np.clip((x - ax) * ux + (y - ay) * uy, 0, length)
    away = (x - ax - along * ux) ** 2 + (y - ay - along * uy) ** 2
    radius = capsule.radius[0] + (capsule.radius[1] - capsule.radius[0]) * along / max(length, 1e-6)
    thick = 2 * capsule.flat * np.sqrt(np.maximum(radius**2 - away, 0))
    np.maximum(out[box], thick, out=out[box])


def _add_plate(out: Image, canvas: _Canvas, plate: Plate) -> None:
    box = canvas.box(plate.centre, float(np.hypot(*plate.half)))
    if box is None:
        return
    x, y = canvas.mm(box)
    c, s = np.cos(plate.angle), np.sin(plate.angle)
    u = np.abs((x - plate.centre[0]) * c + (y - plate.centre[1]) * s)
    v = np.abs((y - plate.centre[1]) * c - (x - plate.centre[0]) * s)
    edge = max(0.4, canvas.pixel)
    out[box] += plate.thickness * np.clip(np.minimum(plate.half[0] - u, plate.half[1] - v) / edge + 0.5, 0, 1)


# ---------------------------------------------------------------- exposure
@dataclass(frozen=True)
class Exposure:
    """What the tube, the detector and its processing make of the path lengths."""

    bone_per_mm: float = BONE_PER_MM
    tissue_per_mm: float = TISSUE_PER_MM
    scatter: float = 0.1
    blur_mm: float = 0.15
    noise: float = 0.01
    gamma: float = 1.0
    slope: tuple[float, float] = (0.0, 0.0)  # heel effect across and down the film
    trabeculae: float = 0.3
    enhance: float = 0.0  # how much the processing lifts edges
    enhance_mm: float = 1.0  # and over how far
    toe: float = 0.0  # 0: linear; up to 1: the display curve crushes thin tissue
    bone_texture: Trabeculae | None = None  # of real bone; noise that looks about like it if None


def random_exposure(rng: np.random.Generator, bone_texture: Trabeculae | None = None) -> Exposure:
    """An exposure varied far beyond what is seen in a clinic.

    Parameters
    ----------
    rng
        Draws it.
    bone_texture
        Real trabeculae, which half of the exposures show; the others show noise.
    """
    return Exposure(
        BONE_PER_MM * rng.uniform(0.7, 1.4),
        TISSUE_PER_MM * rng.uniform(0.7, 2.5),
        rng.uniform(0.0, 0.35),
        rng.uniform(0.05, 0.4),
        10 ** rng.uniform(-3, -1.4),
        float(np.exp(rng.normal(-0.2, 0.35))),
        (rng.normal(0, 0.08), rng.normal(0, 0.08)),
        rng.uniform(0.08, 0.4),
        rng.uniform(0, 2.0) if rng.random() < 0.5 else 0.0,
        rng.uniform(0.4, 2.0),
        rng.uniform(0, 0.7),
        bone_texture if bone_texture is not None and rng.random() < 0.5 else None,
    )


def grain(shape: tuple[int, int], pixel_mm: float, rng: np.random.Generator) -> Image:
    """Band-passed noise of unit spread: trabeculae are 0.3 to 1.2 mm apart and run more or less along the limb.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_mm
        Size of a pixel, mm.
    rng
        Draws it.
    """
    field = rng.standard_normal(shape, dtype=np.float32)
    fine, coarse = rng.uniform(0.2, 0.4) / pixel_mm, 0.9 / pixel_mm
    along = rng.uniform(1.0, 3.5)
    if fine > 0.35 or along > 1.5:
        field = gaussian_filter(field, (max(fine, 0.3) * along, max(fine, 0.3)), truncate=2.5)
    field = field - gaussian_filter(field, max(coarse, 1.0), truncate=2.5)
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def expose(skeleton: Skeleton, view: View, exposure: Exposure, rng: np.random.Generator) -> Image:
    """The radiograph of a limb, before marks and collimation.

    Parameters
    ----------
    skeleton
        The limb.
    view
        How it lies on the film.
    exposure
        Of tube, detector and processing.
    rng
        Draws trabeculae and noise.

    Returns
    -------
    Image
        (H, W) about 0..1, bone bright.
    """
    real = exposure.bone_texture
    pattern = grain(view.shape, view.pixel_mm, rng) if real is None else real.texture(view.shape, view.pixel_mm, rng)
    texture = exposure.trabeculae * pattern
    bone, tissue = path_lengths(skeleton, view, texture)
    density = exposure.bone_per_mm * bone + exposure.tissue_per_mm * tissue
    if exposure.scatter:  # scatter is wide: it is computed on a coarse film
        wide = gaussian_filter(density[::4, ::4], 12.0 / (4 * view.pixel_mm), truncate=2)
        wide = zoom(wide, (density.shape[0] / wide.shape[0], density.shape[1] / wide.shape[1]), order=1)
        density = (1 - exposure.scatter) * density + exposure.scatter * wide
    top = max(float(np.quantile(density[::3, ::3], 0.998)), 1e-3)
    grey = np.clip(density / top, 0, 1.3)
    grey = (1 - exposure.toe) * grey + exposure.toe * grey**2 * (3 - 2 * np.minimum(grey, 1))
    grey = np.maximum(grey, 0) ** exposure.gamma
    blur = exposure.blur_mm / view.pixel_mm
    if blur > 0.3:
        grey = gaussian_filter(grey, blur, truncate=3)
    if exposure.enhance:
        grey = grey + exposure.enhance * (grey - gaussian_filter(grey, exposure.enhance_mm / view.pixel_mm, truncate=2))
    height, width = view.shape
    grey = grey + exposure.slope[0] * np.linspace(-0.5, 0.5, width, dtype=np.float32)
    grey = grey + exposure.slope[1] * np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    return np.asarray(grey + exposure.noise * rng.standard_normal(view.shape, dtype=np.float32), np.float32)
