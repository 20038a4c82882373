"""One picture read: its limbs, and a reading for every cell of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from pipelines.hand_foot_scoring import crops
from pipelines.hand_foot_scoring.calibration import GradeCalibration, Pooling, context
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.crops import CROP
from pipelines.hand_foot_scoring.heads import MAXIMUM, STATES, distribution, head_of, log_distribution
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.quality import MARGIN_MM, Quality, quality
from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Kind, NotScored, Reading, Reason, Scored
from pipelines.hand_foot_scoring.sights import Sight
from pipelines.hand_foot_scoring.sites import CLASS_OF, Part
from pipelines.hand_foot_scoring.weights import Trained
from pipelines.hand_foot_scoring.windows import Box, Pyramid

MIN_LENGTH_PX = 380.0  # tip to wrist: below it a crop is finer than the picture and grade 1 cannot be told from none
UNLIKE_SHARE = 0.5  # of the joints found: if more are unlike the training data, the limb is refused
# Share of the disc in the middle of a crop that may lie outside of the picture: its edge is 8 mm from the joint then,
# and bones whose end is graded begin to be cut beyond it. Looked at on films that were learned from, cut more and more.
MOST_OUTSIDE = 0.03
MIN_READABLE = 0.5  # probability that a crop shows a joint that can be read
# Mean over the sites that have growth plates near them. Of simulated grown limbs none is above 0.03, and every child's
# is above this; rather an adult is refused than a child is scored.
CHILD_PROBABILITY = 0.2
CHILD_LIMB_PROBABILITY = 0.9  # by the look of the whole limb, which tells children and adults apart less well
MIN_VIEW_CONFIDENCE = 0.7  # probability of the view that is read
SHIFTS = ((0.0, 0.0), (-0.6, 0.4), (0.6, -0.4), (0.4, 0.6))  # mm: crops a little to the side, averaged
FOREIGN = "foreign"  # beside the heads' raw numbers
_REASON = {"prosthesis": Reason.PROSTHESIS, "covered": Reason.COVERED, "absent": Reason.UNCERTAIN}
PLATE_SITES: Mapping[Part, tuple[str, ...]] = {
    "hand": ("RAD", "ULN", "MCP2", "MCP3", "MCP4", "MCP5", "PIP2", "PIP3", "PIP4", "PIP5"),
    "foot": ("MTP1", "MTP2", "MTP3", "MTP4", "MTP5", "IP1"),
}


@dataclass(frozen=True)
class LimbReading:
    """A limb with the readings of its cells."""

    limb: Limb
    cells: Mapping[Cell, Reading]
    # Probability that growth plates are open, from the crops of the joints; None where there are no crops
    open_plates: float | None
    too_small: bool
    foreign: Mapping[str, float] = field(default_factory=dict)  # site to how unlike the training data; above 1 too much
    quality: Quality | None = None  # of the pixels; None where there are no crops

    @property
    def poor(self) -> Reason | None:
        """Why the pixels cannot carry grades, so that none is given; None where they can."""
        return None if self.quality is None else self.quality.problem

    @property
    def child(self) -> bool:
        """Whether growth plates are open, by the look of the joints or, if that leaves no doubt, of the whole limb."""
        return (self.open_plates or 0.0) > CHILD_PROBABILITY or self.limb.open_plates > CHILD_LIMB_PROBABILITY

    @property
    def other_view(self) -> bool:
        """Whether the limb is seen obliquely, or its view is in doubt."""
        return self.limb.view == "oblique" or self.limb.view_confidence < MIN_VIEW_CONFIDENCE

    @property
    def unlike(self) -> bool:
        """Whether so many joints are unlike the training data that none of this limb is graded."""
        return sum(score > 1 for score in self.foreign.values()) > UNLIKE_SHARE * len(self.foreign)


@dataclass(frozen=True)
class PictureReading:
    """A picture that was read: its limbs, and what it shows where none can be scored."""

    limbs: tuple[LimbReading, ...]
    sight: Sight
    inverted: bool  # bone was dark, and the limbs were read with the grey values turned round
    unread: tuple[Sight, ...] = ()  # what lies beside the limbs and is not read


@runtime_checkable
class Remarking(Protocol):
    """What runs a network and may have something to say of it."""

    remark: str


class Reader:
    """Reads pictures with trained networks."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.finder = Finder(trained.localiser, trained.shapes, trained.locate)

    def read(self, picture: NDArray[np.float32]) -> PictureReading:
        """What is on a picture (H, W), mostly bone bright: its limbs, each with its readings, and its view."""
        found = self.finder.find(picture)
        limbs = tuple(self.read_limb(found.read, limb) for limb in found.limbs)
        return PictureReading(limbs, found.sight, found.inverted, found.unread)

    def remarks(self) -> tuple[str, ...]:
        """What was computed otherwise than asked for since this was last called, such as on another device."""
        inferers: tuple[object, ...] = (self.trained.locate, self.trained.grade)
        found = [one for one in inferers if isinstance(one, Remarking)]
        said = tuple(dict.fromkeys(one.remark for one in found if one.remark))
        for one in found:
            one.remark = ""
        return said

    def read_limb(self, pyramid: Pyramid, limb: Limb) -> LimbReading:
        """The readings of the cells of a limb on a picture."""
        wanted = [cell for cell in CELLS if (cell.side, cell.limb) == (limb.side, limb.part)]
        names = list(limb.centres)
        if limb.length < MIN_LENGTH_PX or not names:
            nothing: dict[Cell, Reading] = {cell: self._unseen(cell, pyramid, limb) for cell in wanted}
            return LimbReading(limb, nothing, None, limb.length < MIN_LENGTH_PX)
        cuts = _cuts(pyramid, limb, names)
        pixels = quality(pyramid.levels[0][1], _surroundings(limb), cuts[0])
        if pixels.problem is not None:
            ungraded: dict[Cell, Reading] = {cell: NotScored(pixels.problem) for cell in wanted}
            return LimbReading(limb, ungraded, None, False, quality=pixels)
        raw = self._raw(cuts, limb, names)
        places = {name: index for index, name in enumerate(names)}
        plates = [float(raw["plates"][places[name], 0]) for name in PLATE_SITES[limb.part] if name in places]
        open_plates = float(np.mean(plates)) if plates else None
        foreign = {name: float(raw[FOREIGN][place, 0]) for name, place in places.items()}
        blank = LimbReading(limb, {}, open_plates, False, foreign, pixels)
        cells: dict[Cell, Reading] = {}
        cropped = {
            name
            for name in names
            if crops.share_outside(limb, name, limb.centres[name].point, pyramid.shape) > MOST_OUTSIDE
        }
        for cell in wanted:
            if cell.site not in places:
                cells[cell] = self._unseen(cell, pyramid, limb)
            elif cell.site in cropped:
                cells[cell] = NotScored(Reason.CROPPED)
            else:
                cells[cell] = self._reading(cell, raw, places[cell.site], blank.unlike)
        return replace(blank, cells=cells)

    @torch.inference_mode()
    def _raw(self, cuts: NDArray[np.float32], limb: Limb, names: list[str]) -> dict[str, NDArray[np.float64]]:
        """Raw numbers of the heads, averaged over small shifts; (S, ...), "state" and "plates" as probabilities.

        With them goes how unlike the training data each joint is.
        """
        sites = torch.tensor([CLASS_OF[limb.part, name] for name in names] * len(SHIFTS))
        images = crops.normalised(cuts.reshape(-1, 1, CROP, CROP))
        features, raw = self.trained.grade(torch.from_numpy(images), self.trained.damage, sites)
        gate, classes = self.trained.gate, sites.numpy()
        raw[FOREIGN] = torch.from_numpy(
            gate.score(gate.distance(features.numpy().astype(np.float64), classes), classes)
        )
        raw["state"] = raw["state"].softmax(dim=1)
        raw["plates"] = raw["plates"].sigmoid()
        return {
            name: value.reshape(len(SHIFTS), len(names), -1).mean(dim=0).numpy().astype(np.float64)
            for name, value in raw.items()
        }

    def _reading(self, cell: Cell, raw: Mapping[str, NDArray[np.float64]], place: int, unlike: bool) -> Reading:
        state, foreign = raw["state"][place], float(raw[FOREIGN][place, 0])
        if state[0] < MIN_READABLE:
            return NotScored(_REASON[STATES[1 + int(state[1:].argmax())]])
        if unlike or foreign > 1:
            return NotScored(Reason.UNLIKE, foreign)
        head = head_of(cell)
        own = torch.from_numpy(raw[head][place][None])
        logarithms = log_distribution(self.trained.damage.loss, own, MAXIMUM[head]).numpy()
        probabilities = self.trained.calibration.alone(head, logarithms)[0]
        return Scored(tuple(float(p) for p in probabilities))

    def _unseen(self, cell: Cell, pyramid: Pyramid, limb: Limb) -> Reading:
        x, y = limb.expected[cell.site]
        height, width = pyramid.shape
        margin = 0.03 * limb.length
        inside = margin <= x < width - margin and margin <= y < height - margin
        return NotScored(Reason.NOT_FOUND if inside else Reason.CROPPED)

    def attention(self, picture: NDArray[np.float32], limb: Limb, site: str, kind: Kind) -> NDArray[np.float32]:
        """What the score of a site depends on.

        Parameters
        ----------
        picture
            (H, W), bone bright.
        limb
            A limb on it.
        site
            Name of a site that was found.
        kind
            Erosion or narrowing.

        Returns
        -------
        NDArray
            (H, W) in 0..1, on the picture; 0 outside the crop.
        """
        pyramid = Pyramid.of(np.ascontiguousarray(picture, np.float32))
        point = limb.centres[site].point
        crop = crops.normalised(crops.cut(pyramid, limb, site, point))
        cell = Cell(limb.side, limb.part, site, kind)
        found = saliency(self.trained.damage, crop, CLASS_OF[limb.part, site], head_of(cell))
        return _spread(found, crops.crop_window(limb, site, point).matrix, pyramid.shape)


def pooled(readings: Mapping[Cell, Reading], calibration: GradeCalibration, pooling: Pooling) -> dict[Cell, Reading]:
    """Let the readings of a patient depend on those of the patient's other joints.

    Parameters
    ----------
    readings
        Of all limbs, from the crops alone.
    calibration
        The fitted maps.
    pooling
        Which other joints count.
    """
    result = dict(readings)
    for head in MAXIMUM:
        rows = [(cell, r) for cell, r in readings.items() if isinstance(r, Scored) and head_of(cell) == head]
        if not rows:
            continue
        place = {cell: row for row, (cell, _) in enumerate(rows)}
        mirrored = [place.get(replace(cell, side="L" if cell.side == "R" else "R"), -1) for cell, _ in rows]
        alone = np.array([reading.probabilities for _, reading in rows])
        around = context(alone, np.zeros(len(rows), np.int64), np.array(mirrored))
        for (cell, _), p in zip(rows, calibration.pooled(pooling, head, alone, around), strict=True):
            result[cell] = Scored(tuple(p.tolist()))
    return result


def _cuts(pyramid: Pyramid, limb: Limb, names: list[str]) -> NDArray[np.float32]:
    """Crops (shifts, sites, 64, 64) of joints as they are on the picture."""
    scale = limb.lie()[1]
    cuts = [
        crops.cut(pyramid, limb, name, _moved(limb.centres[name], shift, scale)) for shift in SHIFTS for name in names
    ]
    return np.stack(cuts).reshape(len(SHIFTS), len(names), CROP, CROP)


def _surroundings(limb: Limb) -> Box:
    left, top, right, bottom = limb.box
    margin = MARGIN_MM * limb.lie()[1]
    return left - margin, top - margin, right + margin, bottom + margin


def _moved(centre: Centre, shift: tuple[float, float], scale: float) -> tuple[float, float]:
    return centre.point[0] + shift[0] * scale, centre.point[1] + shift[1] * scale


def saliency(network: Damage, crop: NDArray[np.float32], site: int, head: str, draws: int = 12) -> NDArray[np.float32]:
    """How much the expected grade depends on each pixel of a crop.

    The mean size of the gradient over copies with a little noise (SmoothGrad, Smilkov 2017), smoothed to the size of a
    small erosion. It depends on the weights: with random ones it shows something else (Adebayo 2018); a test checks
    that.

    Parameters
    ----------
    network
        The damage network.
    crop
        (64, 64), normalised.
    site
        Class of the site.
    head
        The head that grades it.
    draws
        Number of noisy copies.

    Returns
    -------
    NDArray
        (64, 64) in 0..1.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.from_numpy(crop)[None, None].repeat(draws, 1, 1, 1)
    device = next(network.parameters()).device
    images = (images + 0.05 * torch.randn(images.shape, generator=generator)).to(device).requires_grad_()
    raw = network(images, torch.full((draws,), site, device=device))
    maximum = MAXIMUM[head]
    levels = torch.arange(maximum + 1, dtype=torch.float32, device=device)
    score = (distribution(network.loss, raw[head], maximum) @ levels).sum()
    (gradient,) = torch.autograd.grad(score, images)
    strength = gradient_filter(gradient.abs().mean(dim=0)[0].cpu().numpy())
    return np.asarray(strength / max(float(strength.max()), 1e-12), np.float32)


def gradient_filter(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    """The size of a gradient, smoothed to about 1 mm on a mean adult."""
    return np.asarray(gaussian_filter(gradient, CROP / crops.FIELD_MM), np.float32)


def _spread(crop: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A crop's map on the picture, 0 outside the crop."""
    linear = np.linalg.inv(matrix[:, :2])
    corners = np.array([[0, 0], [CROP, 0], [0, CROP], [CROP, CROP]]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    result = np.zeros(shape, np.float32)
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float64)
    x, y = columns - matrix[0, 2], rows - matrix[1, 2]
    u, v = linear[0, 0] * x + linear[0, 1] * y, linear[1, 0] * x + linear[1, 1] * y
    result[top:bottom, left:right] = map_coordinates(crop, (v, u), order=1, mode="constant", output=np.float32)
    return np.clip(result, 0, 1)
