"""From a picture to the limbs on it: part, side, how it lies, and the centre of every site with its confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import map_coordinates, maximum_filter

from pipelines.hand_foot_scoring import shape
from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.network import OTHER_POSE, POSES, Localiser
from pipelines.hand_foot_scoring.sites import CLASS_OF, REACH_MM, SITES, Part

Image = NDArray[np.float32]
PEAKS = 3
POSES_TRIED = 3  # of the pose head's best
MIDDLE_MM = {"hand": (2.0, -60.0), "foot": (-6.0, -35.0)}  # of the shape model, put at the middle of a close window
FILL = 0.8  # share of the canvas that the limb fills in a close window
LOOKS = ((0.72, 0.0), (0.78, 0.09), (0.78, -0.09), (0.88, 0.0))  # fill and turn (radians) of the close windows
MIN_CONFIDENCE = 0.15  # below it a site counts as not found
MIN_QUALITY = 0.30  # below it there is no hand and no foot
SURE_QUALITY = 0.5  # from here on a limb in the middle of the picture is taken to be the only one
PRIOR_SPREAD = 0.035  # of the limb's length: how far a centre may lie from where the arrangement puts it


@dataclass(frozen=True)
class Centre:
    """A site that was found. (column, row) with the centre of the upper left pixel at (0, 0)."""

    point: tuple[float, float]
    confidence: float


@dataclass(frozen=True)
class Window:
    """A part of the picture, turned and mirrored so that the limb stands as in training."""

    matrix: NDArray[np.float64]  # (2, 3): canvas (column, row, 1) to picture (column, row)

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of the picture of (N, 2) pixels of the canvas, both (column, row)."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def sample(self, picture: Image, shape: tuple[int, int] = CANVAS) -> Image:
        """The window as a canvas of the given shape; the picture must not be much finer than it (see `Pyramid`)."""
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
        x = self.matrix[0, 0] * columns + self.matrix[0, 1] * rows + self.matrix[0, 2]
        y = self.matrix[1, 0] * columns + self.matrix[1, 1] * rows + self.matrix[1, 2]
        return np.asarray(map_coordinates(picture, (y, x), order=1, mode="nearest", output=np.float32))

    @property
    def scale(self) -> float:
        """Picture pixels per canvas pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


@dataclass(frozen=True)
class Pyramid:
    """A picture and its averaged-down copies, so that a coarse canvas is sampled without aliasing."""

    levels: tuple[tuple[float, Image], ...]  # pixels of the picture per pixel of the level

    @classmethod
    def of(cls, picture: Image) -> Pyramid:
        """The pyramid of a picture (H, W)."""
        levels = [(1.0, picture)]
        while min(levels[-1][1].shape) > 300:
            factor, image = levels[-1]
            half = Pillow.fromarray(image).reduce(2)
            levels.append((factor * 2, np.asarray(half, np.float32)))
        return cls(tuple(levels))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        height, width = self.levels[0][1].shape
        return height, width

    def sample(self, window: Window, shape: tuple[int, int] = CANVAS) -> Image:
        """A window, given in pixels of the picture, as a canvas of the given shape."""
        factor, image = next(
            ((f, i) for f, i in reversed(self.levels) if f <= max(1.0, 1.2 * window.scale)), self.levels[0]
        )
        matrix = window.matrix / factor
        matrix[:, 2] = (window.matrix[:, 2] + 0.5) / factor - 0.5
        return Window(matrix).sample(image, shape)


def window_of(
    box: tuple[float, float, float, float], turns: int, mirrored: bool, angle: float = 0.0, fill: float = 1.0
) -> Window:
    """The window that shows a box upright.

    A limb that lies on the picture mirrored (a right one) and turned by `turns` quarters and `angle` radians clockwise
    stands upright and unmirrored on the canvas.

    Parameters
    ----------
    box
        Left, top, right, bottom in pixels of the picture.
    turns
        Quarter turns clockwise.
    mirrored
        Whether the limb lies mirrored.
    angle
        Radians clockwise, beside the quarter turns.
    fill
        Share of the canvas that the box fills.
    """
    left, top, right, bottom = box
    width, height = (right - left, bottom - top) if turns % 2 == 0 else (bottom - top, right - left)
    scale = max(height / CANVAS[0], width / CANVAS[1]) / fill
    whole = turns * np.pi / 2 + angle
    turn = np.array([[np.cos(whole), -np.sin(whole)], [np.sin(whole), np.cos(whole)]])
    linear = scale * turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    middle = np.array([(left + right - 1) / 2, (top + bottom - 1) / 2])
    shift = middle - linear @ np.array([(CANVAS[1] - 1) / 2, (CANVAS[0] - 1) / 2])
    return Window(np.column_stack((linear, shift)))


@dataclass(frozen=True)
class Limb:
    """One hand or foot on a picture."""

    part: Part
    side: Literal["L", "R"]
    quarter_turns: int
    window: Window
    centres: Mapping[str, Centre]  # only sites that were found
    expected: Mapping[str, tuple[float, float]]  # every site, where the arrangement puts it
    length: float  # pixels from the middle finger's tip to the wrist (great toe's tip to the navicular), by the fit
    quality: float  # 0..1, mean support of the sites
    strain: float
    arrangement: shape.ShapeModel = field(repr=False, compare=False)  # that was fitted

    def lie(self, point_mm: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float, tuple[float, float]]:
        """How the limb lies on the picture.

        Parameters
        ----------
        point_mm
            A point of the arrangement, in mm of a mean adult.

        Returns
        -------
        tuple
            Its turn in radians clockwise, pixels per mm of a mean adult, and (column, row) of the point.
        """
        mirror = np.array([-1.0 if self.side == "R" else 1.0, 1.0])
        upright = np.array([self.expected[name] for name in SITES[self.part]]) * mirror
        similarity = shape.align(self.arrangement.mean, upright, np.ones(len(upright)))
        x, y = similarity.apply(np.array([point_mm]))[0] * mirror
        angle = -similarity.angle if self.side == "R" else similarity.angle
        return angle, similarity.scale, (float(x), float(y))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the expected sites, in pixels of the picture."""
        points = np.array(list(self.expected.values()))
        return (*points.min(axis=0), *points.max(axis=0))


class Finder:
    """Finds limbs with a trained localiser and the arrangement of their sites."""

    def __init__(self, network: Localiser, shapes: Mapping[Part, shape.ShapeModel]) -> None:
        self.network = network.eval()
        self.shapes = shapes
        self.rng_seed = 0

    @torch.inference_mode()
    def _maps(self, canvases: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, CLASSES, 128, 96) probabilities and (N, 17) pose probabilities."""
        batch = torch.from_numpy(np.stack([channels(canvas) for canvas in canvases]))
        mask, pose = self.network(batch.contiguous(memory_format=torch.channels_last))
        return mask.softmax(dim=1).numpy(), pose.softmax(dim=1).numpy()

    def find(self, picture: Image | Pyramid) -> tuple[Limb, ...]:
        """Find the limbs on a picture (H, W), bone bright: none, one, or two side by side, best first.

        The whole picture is tried, then its halves; two halves with a good arrangement each are two limbs.
        """
        pyramid = picture if isinstance(picture, Pyramid) else Pyramid.of(np.ascontiguousarray(picture, np.float32))
        height, width = pyramid.shape
        whole = self._best(pyramid, (0.0, 0.0, float(width), float(height)))
        if whole is not None and _alone(whole, (height, width)):
            return (whole,)
        halves: tuple[tuple[float, float, float, float], ...]
        if width >= 0.9 * height:
            halves = ((0.0, 0.0, width / 2, float(height)), (width / 2, 0.0, float(width), float(height)))
        else:
            halves = ((0.0, 0.0, float(width), height / 2), (0.0, height / 2, float(width), float(height)))
        parts = [self._best(pyramid, half) for half in halves]
        pair = [limb for limb in parts if limb is not None and limb.quality >= MIN_QUALITY]
        if len(pair) == 2 and _apart(*pair) and (whole is None or min(p.quality for p in pair) > 0.75 * whole.quality):
            return tuple(pair)
        best = max((limb for limb in (whole, *parts) if limb is not None), key=lambda limb: limb.quality, default=None)
        return () if best is None or best.quality < MIN_QUALITY else (best,)

    def _best(self, pyramid: Pyramid, box: tuple[float, float, float, float]) -> Limb | None:
        """The best-supported limb inside a box."""
        _, poses = self._maps([pyramid.sample(window_of(box, 0, False))])
        order = [index for index in np.argsort(-poses[0]) if index != OTHER_POSE][:POSES_TRIED]
        windows = [window_of(box, POSES[i][2], POSES[i][1]) for i in order]
        maps, _ = self._maps([pyramid.sample(window) for window in windows])
        coarse = [
            limb
            for i, window, classes in zip(order, windows, maps, strict=True)
            if (limb := self._fit(classes, window, *POSES[i])) is not None
        ]
        if not coarse:
            return None
        best = max(coarse, key=lambda limb: limb.quality)
        window = self._closer(best)
        maps, _ = self._maps([pyramid.sample(window)])
        finer = self._fit(maps[0], window, best.part, best.side == "R", best.quarter_turns)
        if finer is not None and finer.quality >= 0.9 * best.quality:
            best = finer
        return self._agreed(pyramid, best)

    def _agreed(self, pyramid: Pyramid, limb: Limb) -> Limb:
        """The mean over several close looks at a limb: the others outweigh what one of them mistakes."""
        windows = [self._closer(limb, fill, turn) for fill, turn in LOOKS]
        maps, _ = self._maps([pyramid.sample(window) for window in windows])
        looks = [
            look
            for classes, window in zip(maps, windows, strict=True)
            if (look := self._fit(classes, window, limb.part, limb.side == "R", limb.quarter_turns)) is not None
            and look.quality >= 0.7 * limb.quality
        ]
        return _mean_limb([limb, *looks])

    def _closer(self, limb: Limb, fill: float = FILL, turn: float = 0.0) -> Window:
        """A window in which the limb stands straight and fills the canvas as it mostly did in training."""
        angle, scale, middle = limb.lie(MIDDLE_MM[limb.part])
        half_h = REACH_MM[limb.part] * scale / fill / 2
        half_w = half_h * CANVAS[1] / CANVAS[0]
        x, y = middle[0] + 0.5, middle[1] + 0.5
        return window_of((x - half_w, y - half_h, x + half_w, y + half_h), 0, limb.side == "R", angle + turn)

    def _fit(self, classes: NDArray[np.float32], window: Window, part: Part, mirrored: bool, turns: int) -> Limb | None:
        sites = SITES[part]
        maps = classes[[CLASS_OF[part, name] for name in sites]]
        found = shape.fit(self.shapes[part], peaks(maps), np.random.default_rng(self.rng_seed))
        if found is None:
            return None
        length = REACH_MM[part] * found.similarity.scale  # class map pixels
        centres = {}
        for name, probability, expected in zip(sites, maps, found.sites, strict=True):
            centre = soft_argmax(probability, expected, PRIOR_SPREAD * length)
            if centre.confidence >= MIN_CONFIDENCE:
                centres[name] = centre
        return Limb(
            part,
            "R" if mirrored else "L",
            turns,
            window,
            {name: replace(centre, point=_to_picture(window, centre.point)) for name, centre in centres.items()},
            {name: _to_picture(window, (x, y)) for name, (x, y) in zip(sites, found.sites, strict=True)},
            length * STRIDE * window.scale,
            found.quality,
            found.strain,
            self.shapes[part],
        )


def _mean_limb(looks: Sequence[Limb]) -> Limb:
    """One limb from several looks at it: centres weighted by confidence, a look that misses a site counting as none."""
    centres: dict[str, Centre] = {}
    for name in looks[0].expected:
        seen = [look.centres[name] for look in looks if name in look.centres]
        confidence = sum(centre.confidence for centre in seen) / len(looks)
        if confidence >= MIN_CONFIDENCE:
            trust = [centre.confidence for centre in seen]
            x, y = np.average([centre.point for centre in seen], axis=0, weights=trust)
            centres[name] = Centre((float(x), float(y)), confidence)
    places = {name: np.mean([look.expected[name] for look in looks], axis=0) for name in looks[0].expected}
    return replace(
        looks[0],
        centres=centres,
        expected={name: (float(x), float(y)) for name, (x, y) in places.items()},
        length=float(np.mean([look.length for look in looks])),
        quality=float(np.mean([look.quality for look in looks])),
        strain=float(np.mean([look.strain for look in looks])),
    )


def _to_picture(window: Window, point: tuple[float, float]) -> tuple[float, float]:
    """From pixels of the class map to pixels of the picture."""
    canvas = (np.array([point]) + 0.5) * STRIDE - 0.5
    x, y = window.to_picture(canvas)[0]
    return float(x), float(y)


def _alone(limb: Limb, shape: tuple[int, int]) -> bool:
    """Whether a limb lies so well and so much in the middle that there is no room for a second one beside it."""
    height, width = shape
    left, top, right, bottom = limb.box
    along = (left + right) / 2 / width if width >= 0.9 * height else (top + bottom) / 2 / height
    return limb.quality >= SURE_QUALITY and 0.34 < along < 0.66 and limb.length > 0.5 * min(height, width)


def _apart(first: Limb, second: Limb) -> bool:
    """Whether two limbs are not the same one seen twice."""
    a, b = (np.array(list(limb.expected.values())).mean(axis=0) for limb in (first, second))
    return bool(np.hypot(*(a - b)) > 0.4 * max(first.length, second.length))


def peaks(maps: NDArray[np.float32], count: int = PEAKS) -> shape.Candidates:
    """The highest local maxima of (S, H, W) probabilities, at most `count` of each."""
    points = np.zeros((len(maps), count, 2))
    scores = np.zeros((len(maps), count))
    for index, probability in enumerate(maps):
        top = maximum_filter(probability, 7)
        rows, columns = np.nonzero((probability == top) & (probability > 0.02))
        order = np.argsort(-probability[rows, columns])[:count]
        for place, n in enumerate(order):
            centre = soft_argmax(probability, (float(columns[n]), float(rows[n])), 2.0)
            points[index, place] = centre.point
            scores[index, place] = centre.confidence
    return shape.Candidates(points, scores)


def soft_argmax(probability: NDArray[np.float32], near: Sequence[float], spread: float) -> Centre:
    """The centre of mass of a probability near a point, seen through a Gaussian.

    Parameters
    ----------
    probability
        (H, W).
    near
        (column, row) of the point.
    spread
        Standard deviation of the Gaussian, in pixels.

    Returns
    -------
    Centre
        Its confidence is the highest weighted probability; 0 off the map.
    """
    height, width = probability.shape
    reach = int(np.ceil(2.5 * spread)) + 1
    left, top = max(0, int(near[0]) - reach), max(0, int(near[1]) - reach)
    patch = probability[top : int(near[1]) + reach + 2, left : int(near[0]) + reach + 2]
    if patch.size == 0 or left >= width or top >= height or near[0] < 0 or near[1] < 0:
        return Centre((float(near[0]), float(near[1])), 0.0)
    rows, columns = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
    distance = ((columns - near[0]) ** 2 + (rows - near[1]) ** 2) / (2 * spread**2)
    weighted = patch * np.exp(-distance)
    sharp = weighted**2
    total = float(sharp.sum())
    if total < 1e-12:
        return Centre((float(near[0]), float(near[1])), 0.0)
    return Centre((float((sharp * columns).sum() / total), float((sharp * rows).sum() / total)), float(weighted.max()))
