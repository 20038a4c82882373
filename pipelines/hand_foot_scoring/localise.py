"""From a picture to what is on it: limbs with part, side, view and the centre of every site, or what else was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.hand_foot_scoring import shape
from pipelines.hand_foot_scoring.beside import rests, sight_of, without
from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.centres import peaks, soft_argmax
from pipelines.hand_foot_scoring.limb import MIN_CONFIDENCE, Limb, apart, mean_limb
from pipelines.hand_foot_scoring.network import CHILD, INVERTED, OTHER_POSE, POSES, Localiser, Seen, seen
from pipelines.hand_foot_scoring.sights import (
    MIN_SIGHT,
    SIGHTS,
    Sight,
    View,
    of_sights,
    on_picture,
    part_share,
    straight_places,
    view_place,
)
from pipelines.hand_foot_scoring.sites import CLASS_OF, REACH_MM, SITES, Part
from pipelines.hand_foot_scoring.windows import (
    ORIENTATIONS,
    UNMIRRORED,
    Box,
    Image,
    Orientation,
    Pyramid,
    Window,
    content,
    tiles,
    window_of,
)

POSES_TRIED = 3  # of the pose head's best
MIDDLE_MM = {"hand": (2.0, -60.0), "foot": (-6.0, -35.0)}  # of the shape model, put at the middle of a close window
FILL = 0.75  # share of the canvas that the limb fills in a close window
LOOKS = ((0.67, 0.0), (0.73, 0.09), (0.73, -0.09), (0.82, 0.0))  # fill and turn (radians) of the close windows
MIN_QUALITY = 0.38  # below it there is no hand and no foot; on simulated films what is none stays below
# Probability of the part, in a view that is read, on the close windows, below which there is no limb; more is asked for
# where a half or a tile of the picture is looked at, because a piece of something else may look like a limb
MIN_VIEW, MIN_VIEW_IN_PIECE = 0.6, 0.8
SURELY_NONE = 0.9  # probability of another part or view on the whole picture from which on it is searched no further
SURE_QUALITY = 0.5  # from here on a limb in the middle of the picture is taken to be the only one
PRIOR_SPREAD = 0.035  # of the limb's length: how far a centre may lie from where the arrangement puts it
MIN_STRAIGHT, MIN_OBLIQUE = 0.6, 0.5  # probability of the view below which the limb is not read
STRAIGHT = 0.6  # probability of the view that is scored against an oblique one, below which it is taken to be oblique
OBLIQUE = 0.3  # weight of an oblique view against the one that is scored, where there is a choice between arrangements
MOST_RESTS = 3  # places beside the limbs that are looked at
MAX_OTHER = 0.8  # probability that one of them shows another part, above which no limb is looked for in it
MIN_COARSE = 0.08  # quality of an arrangement below which it is not looked at close by
MIN_GLANCE = 0.15  # probability of the part on the first close window below which there is no second


@dataclass(frozen=True)
class Found:
    """What was found on a picture: the limbs that can be read, and what it shows in any case."""

    limbs: tuple[Limb, ...]
    sight: Sight
    inverted: bool  # bone was dark; what was found holds for the picture with its grey values turned round
    unread: tuple[Sight, ...]  # what lies beside the limbs and is not read
    read: Pyramid = field(repr=False, compare=False)  # the picture as it was looked at: bone bright, no bright borders


@dataclass(frozen=True)
class _Look:
    """A box of the picture in some orientations."""

    pyramid: Pyramid
    box: Box
    poses: NDArray[np.float64]  # (OTHER_POSE + 1,) probabilities, of the limb as it lies on the picture
    classes: Mapping[Orientation, NDArray[np.float32]]  # (CLASSES, 128, 96) probabilities
    inverted: float


class Finder:
    """Finds limbs with a trained localiser and the arrangement of their sites.

    Parameters
    ----------
    network
        The localiser.
    shapes
        Arrangement of the sites of each part.
    locate
        How the network is run on canvases.
    """

    def __init__(
        self,
        network: Localiser,
        shapes: Mapping[Part, shape.ShapeModel],
        locate: Callable[[torch.Tensor, Localiser], Seen] = seen,
    ) -> None:
        self.network, self.shapes, self.locate = network.eval(), shapes, locate
        self.rng_seed = 0

    @torch.inference_mode()
    def _maps(self, canvases: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities (N, CLASSES, 128, 96) of the classes, (N, OTHER_POSE + 1) of the poses, (N, 2) of the signs."""
        found = self.locate(torch.from_numpy(np.stack([channels(canvas) for canvas in canvases])), self.network)
        return found.mask.numpy(), found.pose.numpy(), found.signs.numpy()

    def find(self, picture: Image | Pyramid) -> Found:
        """What is on a picture (H, W): no limb, one, or more of them, best first.

        The whole picture is looked at in eight orientations, then its halves; two halves with a good arrangement each
        are two limbs. Where nothing good is found, it is searched tile by tile. What a picture shows beside the limbs
        is looked at by itself. A picture on which bone is dark is turned round.
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
        limbs, unread = self._beside(pyramid, box, limbs)
        return Found(limbs, _sight(look, glances, limbs), inverted, unread, pyramid)

    def _beside(
        self, pyramid: Pyramid, box: Box, limbs: tuple[Limb, ...]
    ) -> tuple[tuple[Limb, ...], tuple[Sight, ...]]:
        """The limbs with those that lie beside them, and what else lies there.

        Where the picture shows more than the limbs, it is looked at with these painted over.
        """
        unread: list[Sight] = []
        done: list[Box] = []  # a place with a limb is not: what touches the limb may be another one
        places = rests(pyramid, limbs, box) if limbs else ()
        for _ in range(MOST_RESTS):
            rest = next((one for one in places if not _within(one.box, done)), None)
            if rest is None:
                break
            look = self._look(without(pyramid, limbs), rest.box, UNMIRRORED)
            limb = self._best(pyramid, look, MIN_VIEW_IN_PIECE) if look.poses[OTHER_POSE] < MAX_OTHER else None
            if limb is not None and not all(apart(limb, other) for other in limbs):
                limb = None
            if limb is not None and limb.quality >= SURE_QUALITY:
                limbs = (*limbs, limb)
                places = rests(pyramid, limbs, box)
                continue
            done.append(rest.box)
            seen = None if limb is None else Sight(limb.part, limb.view, limb.view_confidence)
            sight = seen or sight_of(rest, look.poses)
            if sight is not None:
                unread.append(sight)
        return limbs, tuple(unread)

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
        if len(pair) == 2 and apart(*pair) and (whole is None or min(p.quality for p in pair) > 0.75 * whole.quality):
            return tuple(pair)
        found = [limb for limb in (whole, *parts) if limb is not None]
        if not found:
            looks = [self._look(pyramid, tile, UNMIRRORED) for tile in tiles(box)]
            looks.sort(key=lambda look: -float(look.poses[: len(POSES)].sum()))
            likely = (self._best(pyramid, look, MIN_VIEW_IN_PIECE) for look in looks[:2])
            found = [limb for limb in likely if limb is not None]
        best = max(found, key=lambda limb: limb.quality, default=None)
        if best is None:
            return ()
        if whole is not None and not apart(whole, best):  # a piece of the picture leaves no doubt that the whole has
            best = replace(best, view_confidence=min(whole.view_confidence, best.view_confidence))
        return (best,)

    def _look(self, pyramid: Pyramid, box: Box, orientations: Sequence[Orientation] = ORIENTATIONS) -> _Look:
        """A box in some orientations; what they say of the pose is averaged."""
        windows = {orientation: window_of(box, *orientation) for orientation in orientations}
        maps, poses, signs = self._maps([pyramid.sample(window) for window in windows.values()])
        logs = np.zeros(poses.shape[1])
        for orientation, pose in zip(windows, poses, strict=True):
            logs += np.log(on_picture(pose, *orientation) + 1e-4) / len(windows)
        likely = np.exp(logs - logs.max())
        classes = dict(zip(windows, maps, strict=True))
        return _Look(pyramid, box, likely / likely.sum(), classes, float(signs[:, INVERTED].mean()))

    def _coarse(self, look: _Look) -> list[Limb]:
        """The arrangements in the most probable poses."""
        order = [POSES[index] for index in np.argsort(-look.poses[: len(POSES)])[:POSES_TRIED]]
        classes = dict(look.classes)
        lacking = [(turns, mirrored) for _, mirrored, turns in order if (turns, mirrored) not in classes]
        if lacking:
            maps, _, _ = self._maps([look.pyramid.sample(window_of(look.box, *orientation)) for orientation in lacking])
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
            The picture; close by, nothing is painted over.
        look
            At a box of it.
        least
            Probability that the part is shown in such a view, below which there is none.
        glances
            What the close windows show is added to it, as probabilities of `SIGHTS`.
        """
        closer = []
        for limb in self._coarse(look):
            if limb.quality < MIN_COARSE:
                continue
            window = self._closer(limb)
            maps, poses, _ = self._maps([pyramid.sample(window)])
            if glances is not None:
                glances.append(of_sights(poses[0]))
            straight, oblique = poses[0][straight_places(limb.part)].sum(), poses[0][view_place(limb.part, "oblique")]
            if straight + oblique < MIN_GLANCE:
                continue
            finer = self._fit(maps[0], window, limb.part, limb.side == "R", limb.quarter_turns)
            best = finer if finer is not None and finer.quality >= 0.9 * limb.quality else limb
            # an arrangement of few sites fits many things: what stands on the window counts more than how well it fits
            closer.append(((straight + OBLIQUE * oblique) * np.sqrt(best.quality), best, poses[0]))
        closer.sort(key=lambda one: -one[0])
        found: dict[Part, tuple[Limb, NDArray[np.float32]]] = {}  # the best of each part, the better part first
        for _, limb, pose in closer:
            if limb.part not in found and (agreed := self._agreed(pyramid, limb, least, look.box)) is not None:
                found[limb.part] = agreed, pose
        # what would not be found by itself leaves no doubt: a destroyed hand looks a little like a foot
        if len(found) < 2:
            return next((limb for limb, _ in found.values()), None)
        (limb, pose), (rival, seen) = found.values()
        share = part_share(limb.part, pose, seen, limb.support / rival.support)
        likelier, share = (limb, share) if share >= 0.5 else (rival, 1 - share)
        return replace(likelier, view_confidence=likelier.view_confidence * share)

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
        agreed = mean_limb([limb, *looks])
        pose = np.exp(np.log(poses + 1e-4).mean(axis=0))
        pose = pose / pose.sum()
        straight, oblique = float(pose[straight_places(limb.part)].sum()), float(pose[view_place(limb.part, "oblique")])
        if agreed.quality < MIN_QUALITY or straight + oblique < least:
            return None
        # whether it is oblique is told by the close windows and, with the limb upright, from afar together
        share = straight / (straight + oblique)
        straight_far, oblique_far = (
            float(far[straight_places(limb.part)].sum()),
            float(far[view_place(limb.part, "oblique")]),
        )
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


def _to_picture(window: Window, point: tuple[float, float]) -> tuple[float, float]:
    """From pixels of the class map to pixels of the picture."""
    canvas = (np.array([point]) + 0.5) * STRIDE - 0.5
    x, y = window.to_picture(canvas)[0]
    return float(x), float(y)


def _within(box: Box, others: Sequence[Box]) -> bool:
    """Whether the middle of a box lies in one of others."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in others)


def _alone(limb: Limb, box: Box) -> bool:
    """Whether a limb lies so well and so much in the middle that there is no room for a second one beside it."""
    width, height = box[2] - box[0], box[3] - box[1]
    left, top, right, bottom = limb.box
    across = ((left + right) / 2 - box[0]) / width
    down = ((top + bottom) / 2 - box[1]) / height
    along = across if width >= 0.9 * height else down
    return limb.quality >= SURE_QUALITY and 0.34 < along < 0.66 and limb.length > 0.5 * min(height, width)


def _sight(look: _Look, glances: Sequence[NDArray[np.float64]], limbs: Sequence[Limb]) -> Sight:
    """What the whole picture shows; a limb that was found close by outweighs it."""
    if limbs:
        return Sight(limbs[0].part, limbs[0].view, limbs[0].view_confidence)
    seen = of_sights(look.poses)
    if glances:
        seen = (seen + np.mean(glances, axis=0)) / 2
    best = int(seen.argmax())
    if seen[best] < MIN_SIGHT and SIGHTS[best][0] != "other":
        return Sight("other", "", float(1 - seen[best]))
    return Sight(*SIGHTS[best], float(seen[best]))
