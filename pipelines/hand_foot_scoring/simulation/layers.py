"""Takes a marked radiograph apart: one layer of soft tissue and one of each bone. Their sum is the radiograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, minimum_filter, zoom
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve

from pipelines.hand_foot_scoring.shape import align
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import Image
from pipelines.hand_foot_scoring.simulation.skeleton import Points
from pipelines.hand_foot_scoring.sites import SITES, Part, Side

CANVAS_MM = 0.22  # size of a pixel of the layers on a mean adult limb
LEG = ("tibia", "fibula")  # a foot's picture ends with its heel
MARGIN_MM = 22.0  # what is kept of the picture round the bones
SKIRT_MM = 1.1  # a bone's layer fades out over so much of its surroundings, which blur and processing have changed
CLEAR_MM = 0.9  # soft tissue is taken from this far off any bone
GAP_MM = 0.4  # and with less trust from this far: in the middle of joint spaces
TRABECULAE_MM = 0.45  # a blur of so much takes them away
BORDER_MM = 1.5  # pictures have frames
SHARE_MM = 2.0  # over which the amount of a bone is smoothed to carry it into an overlap


@dataclass(frozen=True, eq=False)
class BoneLayer:
    """What one bone adds to the radiograph."""

    outline: Points  # (N, 2) column, row on the canvas
    box: tuple[slice, slice]  # rows and columns of the canvas that `amount` covers
    amount: Image  # grey values over the soft tissue, 0 outside of the bone
    smooth: Image  # the same without trabeculae

    @property
    def usual(self) -> float:
        """What the bone mostly adds to the picture."""
        there = self.smooth[self.smooth > 0.25 * self.smooth.max()]
        return float(np.median(there)) if there.size else 0.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """A marked radiograph as layers, upright as a left limb.

    Coordinates are (column, row), the centre of the upper left pixel at (0, 0).
    """

    name: str
    part: Part
    pixel_mm: float  # on the limb of a mean adult
    tissue: Image  # (H, W) the radiograph without bones, about 0..1
    bones: Mapping[str, BoneLayer]
    sites: Mapping[str, tuple[float, float]]
    # left, top, right, bottom of the picture on the canvas. Above and beside a whole limb there is air, which goes on
    frame: tuple[float, float, float, float]
    air: float  # grey value beside the limb
    donors: tuple[Canvas, ...] = ()  # others, whose bones may stand in for those of this one

    @property
    def whole(self) -> bool:
        """Whether every site of the limb is on the picture."""
        return all(site in self.sites for site in SITES[self.part])

    def recomposed(self) -> Image:
        """The radiograph again: the sum of the layers."""
        image = self.tissue.copy()
        for bone in self.bones.values():
            image[bone.box] += bone.amount
        return image


@cache
def mean_sites(part: Part) -> Mapping[str, tuple[float, float]]:
    """Where the sites of a mean adult limb lie, in mm: left, upright, as the simulated skeletons have them."""
    draw = hand if part == "hand" else foot
    limbs = [draw(np.random.default_rng(seed), odd=False) for seed in range(40)]
    middles = {
        site: np.mean([np.array(limb.sites[site]) / limb.scale for limb in limbs], axis=0) for site in SITES[part]
    }
    return {site: (float(x), float(y)) for site, (x, y) in middles.items()}


def lie(part: Part, sites: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """How an unmirrored limb lies on its picture: its turn in radians, clockwise, and pixels per mm of a mean adult.

    Parameters
    ----------
    part
        Hand or foot.
    sites
        (column, row) of at least two scored sites.
    """
    mean = mean_sites(part)
    names = [name for name in sites if name in mean]
    similarity = align(
        np.array([mean[name] for name in names]), np.array([sites[name] for name in names]), np.ones(len(names))
    )
    return similarity.angle, similarity.scale


def taken_apart(
    name: str,
    picture: Image,
    part: Part,
    side: Side,
    sites: Mapping[str, tuple[float, float]],
    outlines: Mapping[str, Points],
    covered: Sequence[Points] = (),
) -> Canvas:
    """The layers of a marked picture.

    Parameters
    ----------
    name
        Of the picture.
    picture
        (H, W) bone bright, any range.
    part
        Hand or foot.
    side
        A right limb is mirrored.
    sites
        (column, row) on the picture; they also say how the limb is turned.
    outlines
        Of each bone, (N, 2) column, row on the picture.
    covered
        Outlines (N, 2) on the picture of what does not belong to the limb; it is filled in from around.
    """
    mirror = np.array([-1.0 if side == "R" else 1.0, 1.0])
    angle, scale = lie(part, {site: (x * mirror[0], y) for site, (x, y) in sites.items()})
    c, s = np.cos(angle), np.sin(angle)
    linear = np.diag(mirror) @ (scale * CANVAS_MM * np.array([[c, -s], [s, c]]))  # canvas to picture, without shift
    back = np.linalg.inv(linear)
    upright = {bone: points @ back.T for bone, points in outlines.items()}
    every = np.concatenate([points for bone, points in upright.items() if bone not in LEG])
    margin = MARGIN_MM / CANVAS_MM
    corner = np.floor(every.min(axis=0) - margin)
    width, height = np.ceil(every.max(axis=0) + margin - corner).astype(int) + 1
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    at = np.stack((columns + corner[0], rows + corner[1]))
    x = linear[0, 0] * at[0] + linear[0, 1] * at[1]
    y = linear[1, 0] * at[0] + linear[1, 1] * at[1]
    step = scale * CANVAS_MM  # pixels of the picture per pixel of the canvas
    smooth = gaussian_filter(picture.astype(np.float32), 0.4 * step) if step > 1.2 else picture.astype(np.float32)
    image = map_coordinates(smooth, (y, x), order=1, mode="nearest", output=np.float32)
    on_picture = (x >= 0) & (y >= 0) & (x <= picture.shape[1] - 1) & (y <= picture.shape[0] - 1)
    low, high = np.quantile(image[on_picture], (0.005, 0.998))
    image = np.asarray((image - low) / max(float(high - low), 1e-6), np.float32)
    border = np.minimum.reduce([x, y, picture.shape[1] - 1 - x, picture.shape[0] - 1 - y]) < BORDER_MM * scale
    image = filled(image, border, 4)
    for outline in covered:
        image = filled(image, inside_mm(outline @ back.T - corner, image.shape, CANVAS_MM) > -0.2, 1)
    shifted = {bone: points - corner for bone, points in upright.items()}
    tissue, bones = _layers(image, shifted)
    return Canvas(
        name,
        part,
        CANVAS_MM,
        _plain_background(tissue, shifted),
        bones,
        {site: tuple(np.array(point) @ back.T - corner) for site, point in sites.items()},
        _frame(on_picture & ~border, shifted, whole=len(sites) >= len(SITES[part])),
        float(np.quantile(image[on_picture], 0.08)),
    )


def _frame(seen: NDArray[np.bool_], outlines: Mapping[str, Points], whole: bool) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is seen of the picture, no more than the bottom for a whole limb."""
    points = np.concatenate(list(outlines.values()))
    (left, right), (top, bottom) = (
        np.clip(np.quantile(points[:, k], (0.1, 0.9)).astype(int), 0, seen.shape[1 - k] - 1) for k in (0, 1)
    )
    rows = np.flatnonzero(seen[:, left : right + 1].mean(axis=1) > 0.85)
    columns = np.flatnonzero(seen[top : bottom + 1].mean(axis=0) > 0.85)
    last = float(rows.max()) if len(rows) else float(seen.shape[0] - 1)
    if whole or not len(rows) or not len(columns):
        return (-np.inf, -np.inf, np.inf, last)
    return (float(columns.min()), float(rows.min()), float(columns.max()), last)


def inside_mm(outline: Points, shape: tuple[int, int], pixel_mm: float) -> Image:
    """How far each pixel (H, W) lies inside a closed outline, mm; negative outside."""
    drawn = Pillow.new("L", (3 * shape[1], 3 * shape[0]))
    ImageDraw.Draw(drawn).polygon([(3 * x + 1, 3 * y + 1) for x, y in outline], fill=1)
    fine = np.asarray(drawn, bool)[1::3, 1::3]
    depth = distance_transform_edt(fine) - distance_transform_edt(~fine)
    return np.asarray((depth - 0.5 * np.sign(depth)) * pixel_mm, np.float32)


def _layers(image: Image, outlines: Mapping[str, Points]) -> tuple[Image, dict[str, BoneLayer]]:
    height, width = image.shape
    boxes: dict[str, tuple[slice, slice]] = {}
    depth: dict[str, Image] = {}
    reach = int(np.ceil((SHARE_MM + 2) / CANVAS_MM))
    nearest = np.full(image.shape, -9.0, np.float32)
    count = np.zeros(image.shape, np.int32)
    for name, outline in outlines.items():
        left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - reach, 0)
        right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + reach + 1, [width, height])
        if right - left < 3 or bottom - top < 3:
            continue
        box = (slice(int(top), int(bottom)), slice(int(left), int(right)))
        boxes[name] = box
        depth[name] = inside_mm(outline - [left, top], (int(bottom - top), int(right - left)), CANVAS_MM)
        np.maximum(nearest[box], depth[name], out=nearest[box])
        count[box] += depth[name] > 0
    valley = minimum_filter(image, round(GAP_MM / CANVAS_MM) * 2 + 1)
    in_gap = np.where(nearest > -CLEAR_MM, valley, image)
    tissue = 0.5 * (filled(image, nearest > -CLEAR_MM) + filled(in_gap, nearest > -GAP_MM))
    over = image - tissue
    amounts: dict[str, Image] = {}
    masks: dict[str, Image] = {}
    total = np.zeros_like(image)
    for name, box in boxes.items():
        t = np.clip(depth[name] / SKIRT_MM + 1, 0, 1)
        masks[name] = t * t * (3 - 2 * t)
        own = ((depth[name] > 0.2) & (count[box] == 1)).astype(np.float32)
        sigma = SHARE_MM / CANVAS_MM
        weight = gaussian_filter(own, sigma, truncate=3)
        mean = gaussian_filter(own * over[box], sigma, truncate=3) / (weight + 1e-3)
        whole = gaussian_filter(over[box], sigma, truncate=3)
        trust = np.clip(weight / 0.05, 0, 1)  # a bone that lies all over another has half of what is seen
        amounts[name] = np.clip(depth[name] / 0.4 + 0.5, 0, 1) * (trust * mean + (1 - trust) * 0.5 * whole)
        total[box] += amounts[name]
    # what is left goes to the bone whose outline is nearest: edges stay with their own bone
    claims = {
        name: masks[name] * (np.exp(-np.abs(depth[name]) / 0.3) + 0.03 * (depth[name] > 0)) + 1e-6 * masks[name]
        for name in boxes
    }
    claimed = np.zeros_like(image)
    reached = np.zeros_like(image)
    for name, box in boxes.items():
        claimed[box] += claims[name]
        np.maximum(reached[box], masks[name], out=reached[box])
    rest = reached * over - total
    bones = {}
    tissue = image.copy()
    for name, box in boxes.items():
        amount = amounts[name] + rest[box] * claims[name] / np.maximum(claimed[box], 1e-9)
        amount = np.asarray(np.where(masks[name] > 0, amount, 0), np.float32)
        smooth = gaussian_filter(amount, TRABECULAE_MM / CANVAS_MM)
        inside = np.clip(depth[name] / 0.8, 0, 1)  # the border stays as it is
        bones[name] = BoneLayer(
            outlines[name], box, amount, np.asarray(amount + inside * (smooth - amount), np.float32)
        )
        tissue[box] -= amount
    return tissue, bones


def filled(image: Image, hidden: NDArray[np.bool_], step: int = 2) -> Image:
    """The image with its hidden pixels filled in smoothly (harmonically) from around.

    Parameters
    ----------
    image
        (H, W) grey values.
    hidden
        (H, W) the pixels to fill in.
    step
        The equation is solved on a grid this much coarser.
    """
    height, width = image.shape[0] // step * step, image.shape[1] // step * step
    known = (~hidden[:height, :width]).astype(np.float32).reshape(height // step, step, width // step, step)
    values = image[:height, :width].reshape(known.shape) * known
    weight = known.sum(axis=(1, 3))
    coarse = np.where(weight > 0, values.sum(axis=(1, 3)) / np.maximum(weight, 1), 0)
    unknown = weight == 0
    solved = _harmonic(coarse, unknown)
    fine = zoom(solved, step, order=1, grid_mode=True, mode="nearest")
    out = image.copy()
    fine = np.pad(fine, ((0, image.shape[0] - height), (0, image.shape[1] - width)), mode="edge")
    out[hidden] = fine[hidden]
    return np.asarray(out, np.float32)


def _harmonic(values: NDArray[np.float32], unknown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Solve Laplace's equation at the unknown points of a grid, the others given; borders reflect."""
    if not unknown.any() or unknown.all():
        return values
    index = np.full(values.shape, -1)
    index[unknown] = np.arange(int(unknown.sum()))
    here = np.argwhere(unknown)
    data, row, column = [], [], []
    right_side = np.zeros(len(here))
    degree = np.zeros(len(here))
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        y, x = here[:, 0] + dy, here[:, 1] + dx
        valid = (y >= 0) & (x >= 0) & (y < values.shape[0]) & (x < values.shape[1])
        degree += valid
        y, x = np.clip(y, 0, values.shape[0] - 1), np.clip(x, 0, values.shape[1] - 1)
        other = index[y, x]
        inner = valid & (other >= 0)
        row.append(np.flatnonzero(inner))
        column.append(other[inner])
        data.append(np.full(int(inner.sum()), -1.0))
        given = valid & (other < 0)
        right_side[given] += values[y, x][given]
    row.append(np.arange(len(here)))
    column.append(np.arange(len(here)))
    data.append(degree)
    system = csr_matrix(
        (np.concatenate(data), (np.concatenate(row), np.concatenate(column))), shape=(len(here), len(here))
    )
    out = values.copy()
    out[unknown] = spsolve(system, right_side)
    return out


def _plain_background(tissue: Image, outlines: Mapping[str, Points]) -> Image:
    """The tissue without letters and plates in the air: what lies far off every bone becomes smooth."""
    near = np.full(tissue.shape, -99.0, np.float32)
    for outline in outlines.values():
        np.maximum(near, inside_mm(outline, (tissue.shape[0], tissue.shape[1]), CANVAS_MM), out=near)
    far = near < -15.0
    if not far.any():
        return tissue
    dark = float(np.quantile(tissue[far], 0.3))
    written = far & (tissue > dark + 0.12)
    grown = distance_transform_edt(~written) * CANVAS_MM < 1.5
    share = np.clip((-near - 14.0) / 3.0, 0, 1) * gaussian_filter(grown.astype(np.float32), 1.5)
    plain = filled(tissue, grown & far, 4)
    return np.asarray(tissue + (plain - tissue) * np.clip(share, 0, 1), np.float32)
