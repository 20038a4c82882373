"""Captures, maps of attention and images to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import (
    Bar,
    BarPanel,
    Flag,
    Heatmap,
    ImagePanel,
    Line,
    LinePanel,
    Mark,
    Page,
    Panel,
    PointGroup,
    ScatterPanel,
    TablePanel,
)
from pipelines.joint_classification import codes
from pipelines.joint_classification.assess import Vote
from pipelines.joint_classification.classes import CLASSES, NAMES, SHORT
from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.joints import Joint
from pipelines.joint_classification.opinion import Opinion, UltrasoundReading, UnreadImage
from pipelines.joint_classification.wording import LIMITS, NOT_LESION, percent, sentence

PAGES = 8  # joints with a page of their own; the rest is in the table
HEAT_FROM = 0.15  # of the strongest, to be shown
METHODS = {"Grad-CAM++": codes.GRAD_CAM, "HiResCAM": codes.GRAD_CAM}  # others are called saliency


def heatmaps(seen: UltrasoundReading, model: Classifier) -> tuple[Heatmap, ...]:
    """Model attention on the first keyed frames, on the pixels of the image."""
    found = []
    for index, heat in zip(seen.assessment.keyed, seen.assessment.heats, strict=False):
        vote = seen.assessment.votes[index]
        found.append(
            Heatmap(
                vote.frame.reference,
                on_frame(vote, heat),
                METHODS.get(model.heat_method, codes.SALIENCY),
                f"Model attention {seen.opinion.joint.label} {SHORT[seen.opinion.condition]}{_frame_words(vote)}",
                site=seen.opinion.joint.site,
            )
        )
    return tuple(found)


def on_frame(vote: Vote, heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map on the field of a frame, on all pixels of the frame."""
    shape = vote.frame.picture.array.shape
    return vote.field.paint(heat, (shape[0], shape[1]))


def _frame_words(vote: Vote) -> str:
    number = vote.frame.reference.frame_number
    return "" if number is None else f" frame {number}"


def flags(seen: UltrasoundReading) -> tuple[Flag, ...]:
    """The frames on which the classification rests most."""
    reason = f"{seen.opinion.joint.label}: frames on which the classification rests most."
    if len(seen.assessment.keyed) == 1:
        reason = f"{seen.opinion.joint.label}: the image that was classified."
    return tuple(Flag(seen.assessment.votes[index].frame.reference, reason) for index in seen.assessment.keyed)


def page(title: str, seen: UltrasoundReading, model: Classifier) -> Page:
    """One joint: the frame, where the model looked, what it answers, how the frames voted, its place on the map.

    Parameters
    ----------
    title
        Of the pipeline.
    seen
        The joint.
    model
        With the known cases.
    """
    picture = _crop(seen)
    panels: list[Panel] = [picture]
    if seen.assessment.heats:
        panels.append(_heat_panel(seen, picture))
    panels.append(verdict_panel(seen.opinion, model))
    if len(seen.assessment.votes) > 1 and seen.opinion.verdict.reason != "foreign":
        panels.append(_votes(seen))
    panels += [latent_map(seen.opinion, model), nearest(seen.opinion)]
    return Page(heading(title, seen.opinion.joint), tuple(panels), 2, (sentence(seen.opinion), LIMITS[1]))


def heading(title: str, joint: Joint) -> str:
    """The title of a joint's page."""
    return f"{title}, {joint.label}" if joint.name or joint.side or joint.of_hand else title


def _crop(seen: UltrasoundReading) -> ImagePanel:
    """The key frame, cut to its picture, with the field that was read."""
    key = seen.assessment.key
    part = _part(seen)
    outline = seen.opinion.region.outline - np.array([part[1].start, part[0].start], np.float64)
    clip = seen.assessment.clip
    number = key.frame.reference.frame_number
    name = "Image" if number is None else f"Frame {number} of {clip.total}"
    return ImagePanel(
        name,
        key.frame.picture.array[part],
        (0.0, 255.0) if not key.frame.picture.is_colour else None,
        pixel_mm=clip.pixel_mm,
        marks=(Mark(outline),),
        caption="The square is what the model was shown" + (", mirrored." if key.field.mirrored else "."),
        laterality=seen.opinion.joint.side or "",
    )


def _part(seen: UltrasoundReading) -> tuple[slice, slice]:
    """Rows and columns of the key frame round its field and picture."""
    key = seen.assessment.key
    left, top, right, _ = key.frame.panel.box
    outline = seen.opinion.region.outline
    rows, columns = key.frame.picture.array.shape[:2]
    margin = 12
    first = (int(min(top, outline[:, 1].min())) - margin, int(min(left, outline[:, 0].min())) - margin)
    last = (int(outline[:, 1].max()) + margin, int(max(right, outline[:, 0].max())) + margin)
    return slice(max(0, first[0]), min(rows, last[0])), slice(max(0, first[1]), min(columns, last[1]))


def _heat_panel(seen: UltrasoundReading, picture: ImagePanel) -> ImagePanel:
    heat = on_frame(seen.assessment.key, seen.assessment.heats[0])[_part(seen)]
    return replace(
        picture,
        title="Where the model looked",
        marks=(),
        heat=heat,
        heat_unit="model attention",
        heat_threshold=HEAT_FROM,
        caption=NOT_LESION,
    )


def verdict_panel(opinion: Opinion, model: Classifier) -> Panel:
    """The probabilities if the three classes may be named; else the figures that forbid it."""
    overall = opinion.overall
    if not opinion.verdict.determined:
        rows = [("What", "This joint", "Limit")]
        rows.append(
            ("Known cases as far off", f"{100 * overall.p_value[0]:.1f} %", f"{100 * model.card.foreign_p:.1f} %")
        )
        rows.append(("Entropy (1: knows nothing)", f"{overall.entropy[0]:.2f}", f"{model.card.entropy_limit:.2f}"))
        error = float(overall.reconstruction_error[0])
        rows.append(("Error of the redrawn image", f"{error:.2f}", f"{model.card.error_limit:.2f}"))
        return TablePanel("Undetermined", tuple(rows), "Classes are not named: none of the three is forced on it.")
    bars = tuple(
        Bar(
            NAMES[condition].capitalize(),
            _shown(overall.probabilities[0, number]),
            (_shown(overall.intervals[0, number, 0]), _shown(overall.intervals[0, number, 1])),
            condition == opinion.condition,
        )
        for number, condition in enumerate(CLASSES)
    )
    caption = (
        f"Whiskers: 90 % interval. Entropy {overall.entropy[0]:.2f} (limit {model.card.entropy_limit:.2f});"
        f" {100 * overall.p_value[0]:.0f} % of known cases are as far off."
    )
    if opinion.condition in model.likelihood_ratios:
        ratio, low, high = model.likelihood_ratios[opinion.condition]
        caption += f" Likelihood ratio {ratio:.1f} ({low:.1f} to {high:.1f}) on simulated cases."
    return BarPanel("Probabilities", bars, caption=caption)


def _shown(probability: float) -> float:
    """Two digits; neither 0 nor 1, which no model knows."""
    return round(min(max(float(probability), 0.01), 0.99), 2)


def _votes(seen: UltrasoundReading) -> LinePanel:
    """The probabilities of each frame that was read."""
    votes = seen.assessment.votes
    x = np.array([vote.frame.reference.frame_number or 0 for vote in votes], float)
    lines = tuple(Line(NAMES[c], x, seen.assessment.single.probabilities[:, n]) for n, c in enumerate(CLASSES))
    heard = sum(vote.weight > 0 for vote in votes)
    caption = f"{len(votes)} of {seen.assessment.clip.total} frames were read; {heard} of them had a vote."
    return LinePanel("What the frames say", lines, "frame", "probability", caption)


def latent_map(opinion: Opinion, model: Classifier) -> ScatterPanel:
    """The joint among the known cases."""
    background = model.background
    groups = tuple(
        PointGroup(f"known {SHORT[condition]}", background.positions[background.conditions == number])
        for number, condition in enumerate(CLASSES)
    )
    here = PointGroup("this joint", opinion.overall.position, True)
    return ScatterPanel(
        "Place among known cases",
        (*groups, here),
        "latent coordinate 1",
        "latent coordinate 2",
        "Known cases: simulated.",
    )


def nearest(opinion: Opinion) -> TablePanel:
    """The known cases most like the joint."""
    rows = [("Case", "Class", "Severity", "Distance")]
    rows += [(n.identifier, NAMES[n.condition], f"{n.severity:.2f}", f"{n.distance:.2f}") for n in opinion.neighbours]
    caption = "Simulated cases. Distance 1: that of neighbours among them."
    if opinion.verdict.reason == "foreign":
        caption += " Not meaningful for a joint that is unlike all of them."
    return TablePanel("Nearest known cases", tuple(rows), caption)


def overview(title: str, opinions: Sequence[Opinion], unread: Sequence[UnreadImage]) -> Page:
    """All images of a series in one table.

    Parameters
    ----------
    title
        Of the pipeline.
    opinions
        Of the images that were read.
    unread
        The others.
    """
    rows = [("Image", "Result")]
    rows += [(opinion.tracking_id.removeprefix("Joint classification "), _short(opinion)) for opinion in opinions]
    rows += [(item.tracking_id.removeprefix("Joint classification "), f"not read: {item.reason}") for item in unread]
    lines = [sentence(opinion) for opinion in opinions if opinion.verdict.determined][:3]
    return Page(f"{title}: all images", (TablePanel("Images", tuple(rows)),), 1, tuple(lines) or (LIMITS[1],))


def _short(opinion: Opinion) -> str:
    if not opinion.verdict.determined:
        return "undetermined: " + (
            "unlike the known cases" if opinion.verdict.reason == "foreign" else "between classes"
        )
    return f"{NAMES[opinion.condition]} {percent(opinion.overall.probabilities[0].max())}"
