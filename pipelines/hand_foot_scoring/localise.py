"""From a picture to what is on it: limbs with part, side, view and the centre of every site, or what else was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import map_coordinates, maximum_filter

from pipelines.hand_foot_scoring import shape
from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.network import CHILD, INVERTED, POSES, VIEWS, Localiser
from pipelines.hand_foot_scoring.sites import CLASS_OF, REACH_MM, SITES, Part

Image = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture
PEAKS = 3
POSES_TRIED = 3  # of the pose head's best
MIDDLE_MM = {"hand": (2.0, -60.0), "foot": (-6.0, -35.0)}  # of the shape model, put at the middle of a close window
FILL = 0.75  # share of the canvas that the limb fills in a close window
LOOKS = ((0.67, 0.0), (0.73, 0.09), (0.73, -0.09), (0.82, 0.0))  # fill and turn (radians) of the close windows
MIN_CONFIDENCE = 0.15  # below it a site counts as not found
MIN_QUALITY = 0.38  # below it there is no hand and no foot; on simulated films what is none stays below
# Probability of the part, in a view that is read, on the close windows, below which there is no limb; more is asked for
# where a half or a tile of the picture is looked at, because a piece of something else may look like a limb
MIN_VIEW, MIN_VIEW_IN_PIECE = 0.6, 0.8
SURELY_NONE = 0.9  # probability of another part or view on the whole picture from which on it is searched no further
MIN_SIGHT = 0.4  # probability below which a hand or a foot that was not found is not named
SURE_QUALITY = 0.5  # from here on a limb in the middle of the picture is taken to be the only one
PRIOR_SPREAD = 0.035  # of the limb's length: how far a centre may lie from where the arrangement puts it
Orientation = tuple[int, bool]  # of a limb that a window shows upright: quarter turns clockwise, mirrored
ORIENTATIONS: tuple[Orientation, ...] = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
UNMIRRORED = ORIENTATIONS[:4]
MIN_STRAIGHT, MIN_OBLIQUE = 0.6, 0.5  # probability of the view below which the limb is not read
STRAIGHT = 0.6  # probability of the view that is scored against an oblique one, below which it is taken to be oblique
OBLIQUE = 0.3  # weight of an oblique view against the one that is scored, where there is a choice between arrangements
MIN_COARSE = 0.08  # quality of an arrangement below which it is not looked at close by
MIN_GLANCE = 0.15  # probability of the part on the first close window below which there is no second
TILE = 0.62  # share of the picture's height and width that a tile has when the picture is searched piece by piece

View = Literal["pa", "dp", "oblique", "lateral"]


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

    def within(self, box: Box) -> Pyramid:
        """The same picture with what lies beyond a box painted over by its edges, unless that is as dark as air."""
        factor, coarse = self.levels[-1]
        beyond = np.ones(coarse.shape, bool)
        left, top, right, bottom = (round(value / factor) for value in box)
        beyond[top:bottom, left:right] = False
        if not beyond.any() or np.median(coarse[beyond]) <= np.median(coarse[~beyond]):
            return self
        levels = []
        for factor, image in self.levels:
            height, width = image.shape
            left, top = (
                min(int(np.ceil(value / factor)), size - 1)
                for value, size in zip(box[:2], (width, height), strict=True)
            )
            right, bottom = (max(int(value / factor), 1) for value in box[2:])
            inner = image[top:bottom, left:right]
            margins = ((top, height - bottom), (left, width - right))
            levels.append((factor, np.pad(inner, margins, mode="edge")))
        return Pyramid(tuple(levels))

    def inverted(self) -> Pyramid:
        """The same picture with dark for bright."""
        top = float(self.levels[-1][1].max())
        return Pyramid(tuple((factor, top - image) for factor, image in self.levels))

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
    view: View = "pa"  # "pa" of a hand, "dp" of a foot, or "oblique"
    view_confidence: float = 1.0  # probability of that part in that view
    open_plates: float = 0.0  # probability that growth plates are open, by the look of the whole limb

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


@dataclass(frozen=True)
class Sight:
    """What a picture shows most probably, as a whole."""

    part: Part | Literal["other"]
    view: View | Literal[""]  # "" of another part
    confidence: float  # probability

    @property
    def words(self) -> str:
        """What it is, as a noun: "a lateral view of a hand"."""
        names = {"pa": "a posteroanterior", "dp": "a dorsoplantar", "oblique": "an oblique", "lateral": "a lateral"}
        return f"{names[self.view]} view of a {self.part}" if self.view else "neither a hand nor a foot"


@dataclass(frozen=True)
class Found:
    """What was found on a picture: the limbs that can be read, and what it shows in any case."""

    limbs: tuple[Limb, ...]
    sight: Sight
    inverted: bool  # bone was dark; what was found holds for the picture with its grey values turned round
    read: Pyramid = field(repr=False, compare=False)  # the picture as it was looked at: bone bright, no bright borders


@dataclass(frozen=True)
class _Look:
    """A box of the picture in some orientations."""

    box: Box
    poses: NDArray[np.float64]  # (OTHER_POSE + 1,) probabilities, of the limb as it lies on the picture
    classes: Mapping[Orientation, NDArray[np.float32]]  # (CLASSES, 128, 96) probabilities
    inverted: float


class Finder:
    """Finds limbs with a trained localiser and the arrangement of their sites."""

    def __init__(self, network: Localiser, shapes: Mapping[Part, shape.ShapeModel]) -> None:
        self.network = network.eval()
        self.shapes = shapes
        self.rng_seed = 0

    @torch.inference_mode()
    def _maps(self, canvases: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities (N, CLASSES, 128, 96) of the classes, (N, OTHER_POSE + 1) of the poses, (N, 2) of the signs."""
        batch = torch.from_numpy(np.stack([channels(canvas) for canvas in canvases]))
        seen = self.network(batch.contiguous(memory_format=torch.channels_last))
        return seen.mask.softmax(dim=1).numpy(), seen.pose.softmax(dim=1).numpy(), seen.signs.sigmoid().numpy()

    def find(self, picture: Image | Pyramid) -> Found:
        """What is on a picture (H, W): no limb, one, or two side by side, best first.

        The whole picture is looked at in eight orientations, then its halves; two halves with a good arrangement each
        are two limbs. Where nothing good is found, it is searched tile by tile. A picture on which bone is dark is
        turned round.
        """
        pyramid = picture if isinstance(picture, Pyramid) else Pyramid.of(np.ascontiguousarray(picture, np.float32))
        box = content(pyramid)
        pyramid = pyramid.within(box)  # a white border is no sign that bone is dark
        look = self._look(pyramid, box)
        inverted = look.inverted > 0.5
        if inverted:
            pyramid = pyramid.inverted()
            look = self._look(pyramid, box)
        glances: list[NDArray[np.float64]] = []
        limbs = self._limbs(pyramid, box, look, glances)
        return Found(limbs, _sight(look, glances, limbs), inverted, pyramid)

    def _limbs(self, pyramid: Pyramid, box: Box, look: _Look, glances: list[NDArray[np.float64]]) -> tuple[Limb, ...]:
        whole = self._best(pyramid, look, MIN_VIEW, glances)
        if whole is not None and _alone(whole, box):
            return (whole,)
        if whole is None and look.poses[len(POSES) :].max() > SURELY_NONE:
            return ()
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        halves: tuple[Box, ...]
        if width >= 0.9 * height:
            middle = (left + right) / 2
            halves = ((left, top, middle, bottom), (middle, top, right, bottom))
        else:
            middle = (top + bottom) / 2
            halves = ((left, top, right, middle), (left, middle, right, bottom))
        parts = [self._best(pyramid, self._look(pyramid, half, UNMIRRORED), MIN_VIEW_IN_PIECE) for half in halves]
        pair = [limb for limb in parts if limb is not None]
        if len(pair) == 2 and _apart(*pair) and (whole is None or min(p.quality for p in pair) > 0.75 * whole.quality):
            return tuple(pair)
        found = [limb for limb in (whole, *parts) if limb is not None]
        if not found:
            tiles = [self._look(pyramid, tile, UNMIRRORED) for tile in _tiles(box)]
            tiles.sort(key=lambda tile: -float(tile.poses[: len(POSES)].sum()))
            looks = (self._best(pyramid, tile, MIN_VIEW_IN_PIECE) for tile in tiles[:2])
            found = [limb for limb in looks if limb is not None]
        best = max(found, key=lambda limb: limb.quality, default=None)
        if best is None:
            return ()
        if whole is not None and not _apart(whole, best):  # a piece of the picture leaves no doubt that the whole has
            best = replace(best, view_confidence=min(whole.view_confidence, best.view_confidence))
        return (best,)

    def _look(self, pyramid: Pyramid, box: Box, orientations: Sequence[Orientation] = ORIENTATIONS) -> _Look:
        """A box in some orientations; what they say of the pose is averaged."""
        windows = {orientation: window_of(box, *orientation) for orientation in orientations}
        maps, poses, signs = self._maps([pyramid.sample(window) for window in windows.values()])
        logs = np.zeros(poses.shape[1])
        for orientation, pose in zip(windows, poses, strict=True):
            logs += np.log(_on_picture(pose, *orientation) + 1e-4) / len(windows)
        likely = np.exp(logs - logs.max())
        classes = dict(zip(windows, maps, strict=True))
        return _Look(box, likely / likely.sum(), classes, float(signs[:, INVERTED].mean()))

    def _coarse(self, pyramid: Pyramid, look: _Look) -> list[Limb]:
        """The arrangements in the most probable poses."""
        order = [POSES[index] for index in np.argsort(-look.poses[: len(POSES)])[:POSES_TRIED]]
        classes = dict(look.classes)
        lacking = [(turns, mirrored) for _, mirrored, turns in order if (turns, mirrored) not in classes]
        if lacking:
            maps, _, _ = self._maps([pyramid.sample(window_of(look.box, *orientation)) for orientation in lacking])
            classes |= dict(zip(lacking, maps, strict=True))
        limbs = [
            self._fit(classes[turns, mirrored], window_of(look.box, turns, mirrored), part, mirrored, turns)
            for part, mirrored, turns in order
        ]
        return [limb for limb in limbs if limb is not None]

    def _best(
        self, pyramid: Pyramid, look: _Look, least: float, glances: list[NDArray[np.float64]] | None = None
    ) -> Limb | None:
        """The best-supported limb of a look, None where there is none in a view that is read.

        Parameters
        ----------
        pyramid
            The picture.
        look
            At a box of it.
        least
            Probability that the part is shown in such a view, below which there is none.
        glances
            What the close windows show is added to it, as probabilities of `SIGHTS`.
        """
        closer = []
        for limb in self._coarse(pyramid, look):
            if limb.quality < MIN_COARSE:
                continue
            window = self._closer(limb)
            maps, poses, _ = self._maps([pyramid.sample(window)])
            if glances is not None:
                glances.append(_sights(poses[0]))
            straight, oblique = poses[0][_places(limb.part)].sum(), poses[0][_place(limb.part, "oblique")]
            if straight + oblique < MIN_GLANCE:
                continue
            finer = self._fit(maps[0], window, limb.part, limb.side == "R", limb.quarter_turns)
            best = finer if finer is not None and finer.quality >= 0.9 * limb.quality else limb
            # an arrangement of few sites fits many things: what stands on the window counts more than how well it fits
            closer.append(((straight + OBLIQUE * oblique) * np.sqrt(best.quality), best, poses[0]))
        closer.sort(key=lambda one: -one[0])
        for _, limb, pose in closer:
            agreed = self._agreed(pyramid, limb, least, look.box)
            if agreed is not None:
                rival = next((other for _, one, other in closer if one.part != limb.part), None)
                sure = 1.0 if rival is None else _part_share(limb.part, pose, rival)
                return replace(agreed, view_confidence=agreed.view_confidence * sure)
        return None

    def _agreed(self, pyramid: Pyramid, limb: Limb, least: float, box: Box) -> Limb | None:
        """The mean over several close looks at a limb: the others outweigh what one of them mistakes.

        Close by, its part and view are seen best. None where they are none that is read.
        """
        windows = [self._closer(limb, fill, turn) for fill, turn in LOOKS]
        upright = window_of(box, limb.quarter_turns, limb.side == "R")
        maps, poses, signs = self._maps([pyramid.sample(window) for window in (*windows, upright)])
        far, poses, signs = poses[-1], poses[:-1], signs[:-1]
        looks = [
            look
            for classes, window in zip(maps[:-1], windows, strict=True)
            if (look := self._fit(classes, window, limb.part, limb.side == "R", limb.quarter_turns)) is not None
            and look.quality >= 0.7 * limb.quality
        ]
        agreed = _mean_limb([limb, *looks])
        pose = np.exp(np.log(poses + 1e-4).mean(axis=0))
        pose = pose / pose.sum()
        straight, oblique = float(pose[_places(limb.part)].sum()), float(pose[_place(limb.part, "oblique")])
        if agreed.quality < MIN_QUALITY or straight + oblique < least:
            return None
        # whether it is oblique is told by the close windows and, with the limb upright, from afar together
        share = straight / (straight + oblique)
        straight_far, oblique_far = float(far[_places(limb.part)].sum()), float(far[_place(limb.part, "oblique")])
        if straight_far + oblique_far > MIN_GLANCE:
            share = (share + straight_far / (straight_far + oblique_far)) / 2
        view: View = "oblique" if share < STRAIGHT else "pa" if limb.part == "hand" else "dp"
        confidence = (straight + oblique) * (1 - share if view == "oblique" else share)
        if confidence < (MIN_OBLIQUE if view == "oblique" else MIN_STRAIGHT):
            return None
        return replace(agreed, view=view, view_confidence=confidence, open_plates=float(signs[:, CHILD].mean()))

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


def _alone(limb: Limb, box: Box) -> bool:
    """Whether a limb lies so well and so much in the middle that there is no room for a second one beside it."""
    width, height = box[2] - box[0], box[3] - box[1]
    left, top, right, bottom = limb.box
    across = ((left + right) / 2 - box[0]) / width
    down = ((top + bottom) / 2 - box[1]) / height
    along = across if width >= 0.9 * height else down
    return limb.quality >= SURE_QUALITY and 0.34 < along < 0.66 and limb.length > 0.5 * min(height, width)


def _tiles(box: Box) -> tuple[Box, ...]:
    """Five overlapping tiles of a box: its corners and its middle."""
    left, top, right, bottom = box
    wide, high = TILE * (right - left), TILE * (bottom - top)
    x, y = right - wide, bottom - high
    corners = ((left, top), (x, top), (left, y), (x, y), ((left + x) / 2, (top + y) / 2))
    return tuple((a, b, a + wide, b + high) for a, b in corners)


def _places(part: Part) -> list[int]:
    """The poses of a part in the view that is scored."""
    return [index for index, pose in enumerate(POSES) if pose[0] == part]


def _place(part: Part, view: str) -> int:
    return len(POSES) + VIEWS.index((part, view))


def _part_share(part: Part, pose: NDArray[np.floating[Any]], rival: NDArray[np.floating[Any]]) -> float:
    """Probability of a part against the other one where the picture could show either.

    Parameters
    ----------
    part
        Which one.
    pose
        Probabilities of the poses on the window that stands round a limb of that part.
    rival
        The same on the window that stands round one of the other part.
    """
    logs = {}
    for one in SITES:
        places = [*_places(one), _place(one, "oblique")]
        logs[one] = np.mean([np.log(seen[places].sum() + 1e-4) for seen in (pose, rival)])
    return float(1 / sum(np.exp(value - logs[part]) for value in logs.values()))


def _on_picture(pose: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float64]:
    """Probabilities of the poses on the picture, from those on a canvas that shows it in an orientation."""
    result = pose.astype(np.float64)
    for index, (part, seen_mirrored, seen_turns) in enumerate(POSES):
        # a limb on a mirrored canvas turns the other way round on the picture
        whole = (turns + (-seen_turns if mirrored else seen_turns)) % 4
        result[POSES.index((part, seen_mirrored != mirrored, whole))] = pose[index]
    return result


SIGHTS: tuple[tuple[Part | Literal["other"], View | Literal[""]], ...] = (
    ("hand", "pa"),
    ("foot", "dp"),
    *VIEWS,
    ("other", ""),
)


def _sights(pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities of `SIGHTS`, from those of the poses."""
    straight = [float(pose[_places(part)].sum()) for part in SITES]
    return np.array([*straight, *pose[len(POSES) :]], np.float64)


def _sight(look: _Look, glances: Sequence[NDArray[np.float64]], limbs: Sequence[Limb]) -> Sight:
    """What the whole picture shows; a limb that was found close by outweighs it."""
    if limbs:
        return Sight(limbs[0].part, limbs[0].view, limbs[0].view_confidence)
    seen = _sights(look.poses)
    if glances:
        seen = (seen + np.mean(glances, axis=0)) / 2
    best = int(seen.argmax())
    if seen[best] < MIN_SIGHT and SIGHTS[best][0] != "other":
        return Sight("other", "", float(1 - seen[best]))
    return Sight(*SIGHTS[best], float(seen[best]))


EMPTY = 0.03  # of the picture's range: an edge row or column that varies less shows nothing


def content(pyramid: Pyramid) -> Box:
    """The picture without rows and columns at its edges that are of one grey: shutters and borders."""
    factor, image = pyramid.levels[-1]
    low, high = np.quantile(image, (0.005, 0.995))
    least = EMPTY * max(float(high - low), 1e-6)
    rows, columns = (np.flatnonzero(np.ptp(np.clip(image, low, high), axis=axis) > least) for axis in (1, 0))
    height, width = pyramid.shape
    if rows.size < 0.3 * image.shape[0] or columns.size < 0.3 * image.shape[1]:
        return 0.0, 0.0, float(width), float(height)
    return (
        float(columns[0] * factor),
        float(rows[0] * factor),
        min(float(width), float((columns[-1] + 1) * factor)),
        min(float(height), float((rows[-1] + 1) * factor)),
    )


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
