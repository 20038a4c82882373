"""From the frames of one instance to one answer: the window, the votes of the frames, the frames to look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.classifier import Classification, Classifier, JointVerdict, Neighbour
from pipelines.joint_classification.ultrasound import Clip, Field, Frame, fields, sample

PROBES = 3  # frames of a cine on which the window is looked for
KEYED = 3  # frames of a cine to look at first
HEATED = 1  # of them that get a map of attention: the best method asks the network hundreds of times
NEIGHBOURS = 5

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Vote:
    """The vote of one frame."""

    frame: Frame
    field: Field
    image: Array  # (H, W) of the field, as the network took it
    weight: float  # 0: unlike the known cases, so without a voice


@dataclass(frozen=True)
class Assessment:
    """The answer about one joint, and what it rests on."""

    clip: Clip
    votes: tuple[Vote, ...]  # in the order of time
    single: Classification  # one row per vote
    overall: Classification  # one row
    verdict: JointVerdict
    neighbours: tuple[Neighbour, ...]  # of the key frame
    keyed: tuple[int, ...]  # of `votes`: those to look at first, the most telling one first
    heats: tuple[Array, ...]  # (H, W) on the fields of the first keyed frames; none where undetermined

    @property
    def condition(self) -> int:
        """The class with the highest probability."""
        return int(self.overall.probabilities[0].argmax())

    @property
    def key(self) -> Vote:
        """The vote of the frame to look at first."""
        return self.votes[self.keyed[0]]


def assess(clip: Clip, model: Classifier, heatmaps: bool = True) -> Assessment:
    """Ask the model about the frames of one still or cine.

    Parameters
    ----------
    clip
        The frames.
    model
        The classifier for images.
    heatmaps
        Whether to make maps of attention.

    Raises
    ------
    UnsuitableInput
        If writing or colour hides too much of every frame.
    """
    votes = _read(clip, _window(clip, model))
    single = model.classify(np.stack([vote.image for vote in votes]))
    limit = model.card.foreign_p
    weight = np.where(single.p_value >= limit, np.maximum(single.p_value, 0.05), 0.0)
    overall = model.combine(single, weight if weight.any() else np.ones(len(votes)))
    if 2 * np.count_nonzero(weight) < len(votes):  # most frames are foreign: the few that are not do not speak for it
        overall = replace(overall, p_value=np.array([float(np.median(single.p_value))]))
    verdict = model.verdict(overall)
    telling = single.probabilities[:, int(overall.probabilities[0].argmax())] * (weight + 1e-6)
    keyed = tuple(int(i) for i in np.argsort(-telling, kind="stable")[: KEYED if len(votes) > 1 else 1])
    heats: tuple[Array, ...] = ()
    if heatmaps and verdict.determined:
        condition = int(overall.probabilities[0].argmax())
        heats = tuple(model.attention(votes[index].image, condition) for index in keyed[:HEATED])
    return Assessment(
        clip,
        tuple(replace(vote, weight=float(w)) for vote, w in zip(votes, weight, strict=True)),
        single,
        overall,
        verdict,
        model.neighbours(votes[keyed[0]].image, NEIGHBOURS),
        keyed,
        heats,
    )


def _window(clip: Clip, model: Classifier) -> tuple[float, bool]:
    """How far from the left edge of the picture the field begins, in mm, and whether it is mirrored.

    Of all windows the one most like the known cases: the joint may lie anywhere on a wide picture, and either way
    round. Of equals, the window that the network draws again best.
    """
    step = max(1, len(clip.frames) // PROBES)
    best: tuple[float, float] = (-1.0, 0.0)
    chosen = (0.0, False)
    for frame in clip.frames[step // 2 :: step][:PROBES]:
        found = fields(frame)
        try:
            answers = model.classify(np.stack([sample(frame, field) for field in found]))
        except UnsuitableInput:
            continue  # hidden; another frame may be read
        for field, p_value, error in zip(found, answers.p_value, answers.reconstruction_error, strict=True):
            score = (float(p_value), -float(error))
            if score > best:
                best = score
                chosen = ((field.left - frame.panel.box[0]) * field.pixel_mm[1], field.mirrored)
    return chosen


def _read(clip: Clip, window: tuple[float, bool]) -> list[Vote]:
    votes, reasons = [], []
    for frame in clip.frames:
        first = fields(frame)[0]
        field = replace(first, left=frame.panel.box[0] + window[0] / first.pixel_mm[1], mirrored=window[1])
        try:
            votes.append(Vote(frame, field, sample(frame, field), 1.0))
        except UnsuitableInput as error:
            reasons.append(str(error))
    if not votes:
        raise UnsuitableInput(reasons[0])
    return votes
