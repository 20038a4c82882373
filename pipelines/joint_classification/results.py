"""What was found, as the result that is encoded: findings, heat, keyed frames, pages, words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.findings import (
    Bar,
    BarPanel,
    Evaluation,
    Finding,
    Flag,
    Heatmap,
    ImagePanel,
    ImageReference,
    Line,
    LinePanel,
    Mark,
    Measurement,
    NotEvaluable,
    Page,
    Panel,
    PointGroup,
    Region,
    ScatterPanel,
    TablePanel,
    frame_outline,
)
from dicom_sr.read.frames import number_of_frames
from dicom_sr.series import Instance
from pipelines.joint_classification import codes
from pipelines.joint_classification.assess import Assessment, Vote
from pipelines.joint_classification.classes import CLASSES, NAMES
from pipelines.joint_classification.classifier import Classification, Classifier, JointVerdict, Neighbour
from pipelines.joint_classification.joints import Joint

PAGES = 8  # joints with a page of their own; the rest is in the table
SHORT = {"healthy": "healthy", "ra": "RA", "psa": "PsA"}
KEYS = {"healthy": "HC", "ra": "RA", "psa": "PSA"}  # in the private codes
NEIGHBOURS = 5
AGREE = 4  # of five nearest known cases, to be among a group
HEAT_FROM = 0.15  # of the strongest, to be shown
NOT_LESION = "Model attention, not a lesion."
METHODS = {"Grad-CAM++": codes.GRAD_CAM, "HiResCAM": codes.GRAD_CAM}  # others are called saliency
LIMITS = (
    "Three classes only: another arthritis that looks like one of them cannot be told from it.",
    "An adjunct: weak evidence beside history, examination and serology.",
)


@dataclass(frozen=True)
class Opinion:
    """What is said of one joint, whatever it was seen on."""

    joint: Joint
    tracking_id: str
    region: Region
    overall: Classification  # one row
    verdict: JointVerdict
    neighbours: tuple[Neighbour, ...]
    condition: str  # the class with the highest probability


@dataclass(frozen=True)
class Seen:
    """A joint seen by ultrasound."""

    opinion: Opinion
    assessment: Assessment


@dataclass(frozen=True)
class Unread:
    """An image that was not read."""

    joint: Joint
    tracking_id: str
    region: Region  # the whole image
    reason: str


# ---- findings
def opinion(joint: Joint, tracking_id: str, assessment: Assessment) -> Opinion:
    """What the assessment of a still or cine says of its joint."""
    key = assessment.key
    shape = (key.frame.picture.array.shape[0], key.frame.picture.array.shape[1])
    region = Region(key.frame.reference, key.field.outline(shape))
    condition = CLASSES[assessment.condition]
    return Opinion(joint, tracking_id, region, assessment.overall, assessment.verdict, assessment.neighbours, condition)


def finding(said: Opinion, model: Classifier) -> Finding:
    """The class with its probabilities and likelihood ratio; where undetermined, that and why."""
    determined = said.verdict.determined
    measurements = [*_probabilities(said, model)] if said.verdict.reason != "foreign" else []
    overall = said.overall
    measurements += [
        Measurement(codes.UNC_ENT, float(overall.entropy[0]), codes.NO_UNITS),
        Measurement(codes.OOD, 1.0 - float(overall.p_value[0]), codes.NO_UNITS),
        Measurement(codes.RECON_ERR, float(overall.reconstruction_error[0]), codes.NO_UNITS),
        *(Measurement(codes.LATENT[axis], float(overall.position[0, axis]), codes.NO_UNITS) for axis in (0, 1)),
    ]
    evaluations = [Evaluation(codes.CLUSTER, cluster(said))]
    if not determined:
        evaluations.append(Evaluation(codes.WHY, _why(said.verdict)))
    return Finding(
        said.tracking_id,
        codes.CLASSES[KEYS[said.condition]] if determined else codes.INDETERMINATE,
        said.joint.site,
        said.region,
        tuple(measurements),
        tuple(evaluations),
        f"{SHORT[said.condition]} {_percent(overall.probabilities[0].max())}" if determined else "undetermined",
    )


def _probabilities(said: Opinion, model: Classifier) -> list[Measurement]:
    found = []
    for number, condition in enumerate(CLASSES):
        low, high = (float(end) for end in said.overall.intervals[0, number])
        value = float(said.overall.probabilities[0, number])
        name = codes.PROBABILITIES[KEYS[condition]]
        found.append(Measurement(name, value, codes.NO_UNITS, interval=(low, high)))
    if said.verdict.determined and said.condition in model.likelihood_ratios:
        ratio, low, high = model.likelihood_ratios[said.condition]
        name = codes.LIKELIHOOD_RATIOS[KEYS[said.condition]]
        found.append(Measurement(name, ratio, codes.RATIO, interval=(low, high), interval_level=0.95))
    return found


def _why(verdict: JointVerdict) -> Code:
    return codes.WHY_OOD if verdict.reason == "foreign" else codes.WHY_LOWCONF


def cluster(said: Opinion) -> Code:
    """The group of known cases that the joint lies in."""
    if said.verdict.reason == "foreign":
        return codes.CLUSTER_NONE
    condition, count = Counter(n.condition for n in said.neighbours).most_common(1)[0]
    return codes.CLUSTERS[KEYS[condition]] if count >= AGREE else codes.CLUSTER_MIXED


def not_evaluable(unread: Unread) -> NotEvaluable:
    """An image that was looked at in vain."""
    sentence = f"{_capital(unread.reason)}."
    return NotEvaluable(
        unread.tracking_id,
        codes.CLASS,
        codes.WHY_INPUT,
        sentence,
        unread.joint.site,
        unread.region,
    )


def whole_image(instance: Instance, header: Dataset) -> Region:
    """The border of an image, or of the first frame of one."""
    image = ImageReference(instance.sop_instance_uid, 1 if number_of_frames(header) > 1 else None)
    return Region(image, frame_outline(int(header.get("Rows") or 1), int(header.get("Columns") or 1)))


# ---- words
def sentence(said: Opinion) -> str:
    """The conclusion about one joint."""
    if not said.verdict.determined:
        text = said.verdict.sentence
        return _capital(f"{said.joint.label}: {text[0].lower()}{text[1:]}")
    number = CLASSES.index(said.condition)
    low, high = said.overall.intervals[0, number]
    value = _percent(said.overall.probabilities[0, number])
    what = "healthy pattern" if said.condition == "healthy" else f"pattern of {NAMES[said.condition]}"
    return _capital(f"{said.joint.label}: {what}, probability {value}{_between(low, high)}.")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _percent(probability: float) -> str:
    """Whole per cent; never a certainty that no model has."""
    whole = round(100 * float(probability))
    return "over 99 %" if whole > 99 else "under 1 %" if whole < 1 else f"{whole} %"


def _between(low: float, high: float) -> str:
    """The ends of an interval in brackets; nothing where both are the same whole per cent."""
    ends = [min(max(round(100 * end), 1), 99) for end in (low, high)]
    return f" ({ends[0]} to {ends[1]} %)" if ends[0] < ends[1] else ""


def remarks(seen: Sequence[Seen], heat_method: str) -> tuple[str, ...]:
    """What the reader must know about how it was read."""
    lines = list(LIMITS)
    clips = [s.assessment.clip for s in seen]
    if any(s.assessment.heats for s in seen):
        lines.append(f"{NOT_LESION} Method: {heat_method}.")
    if any(clip.scale_assumed for clip in clips):
        lines.append(
            "The image does not say how large a pixel is: the width of the picture is the one in the settings."
        )
    if any(clip.panels > 1 for clip in clips):
        lines.append("Of pictures side by side one was read: the left one without Doppler colour.")
    if any(clip.colour for clip in clips):
        lines.append("Doppler colour was taken out: the model does not use it.")
    if any(s.assessment.key.field.mirrored and s.opinion.verdict.determined for s in seen):
        lines.append("A picture was read mirrored, since the joint lies the other way round than the model knows it.")
    return tuple(lines)


def how(seen: Seen) -> str:
    """How it was read, in one line."""
    clip, field = seen.assessment.clip, seen.assessment.key.field
    heard = sum(vote.weight > 0 for vote in seen.assessment.votes)
    return (
        f"{len(seen.assessment.votes)} of {clip.total} frames read, {heard} with a vote;"
        f" pixel {clip.pixel_mm[0]:.4f} x {clip.pixel_mm[1]:.4f} mm{' (assumed)' if clip.scale_assumed else ''};"
        f" window from column {field.left:.0f}, row {field.top:.0f}{', mirrored' if field.mirrored else ''}"
    )


# ---- heat
def heatmaps(seen: Seen, model: Classifier) -> tuple[Heatmap, ...]:
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


def flags(seen: Seen) -> tuple[Flag, ...]:
    """The frames that told most."""
    reason = f"{seen.opinion.joint.label}: frames on which the classification rests most."
    if len(seen.assessment.keyed) == 1:
        reason = f"{seen.opinion.joint.label}: the image that was classified."
    return tuple(Flag(seen.assessment.votes[index].frame.reference, reason) for index in seen.assessment.keyed)


# ---- pages
def page(title: str, seen: Seen, model: Classifier) -> Page:
    """One joint: the frame, where the model looked, what it says, how the frames voted, where it lies."""
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


def _crop(seen: Seen) -> ImagePanel:
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


def _part(seen: Seen) -> tuple[slice, slice]:
    """Rows and columns of the key frame round its field and picture."""
    key = seen.assessment.key
    left, top, right, _ = key.frame.panel.box
    outline = seen.opinion.region.outline
    rows, columns = key.frame.picture.array.shape[:2]
    margin = 12
    first = (int(min(top, outline[:, 1].min())) - margin, int(min(left, outline[:, 0].min())) - margin)
    last = (int(outline[:, 1].max()) + margin, int(max(right, outline[:, 0].max())) + margin)
    return slice(max(0, first[0]), min(rows, last[0])), slice(max(0, first[1]), min(columns, last[1]))


def _heat_panel(seen: Seen, picture: ImagePanel) -> ImagePanel:
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


def verdict_panel(said: Opinion, model: Classifier) -> Panel:
    """Probabilities where they may be spoken of; else the figures that forbid it."""
    overall = said.overall
    if not said.verdict.determined:
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
            condition == said.condition,
        )
        for number, condition in enumerate(CLASSES)
    )
    caption = (
        f"Whiskers: 90 % interval. Entropy {overall.entropy[0]:.2f} (limit {model.card.entropy_limit:.2f});"
        f" {100 * overall.p_value[0]:.0f} % of known cases are as far off."
    )
    if said.condition in model.likelihood_ratios:
        ratio, low, high = model.likelihood_ratios[said.condition]
        caption += f" Likelihood ratio {ratio:.1f} ({low:.1f} to {high:.1f}) on simulated cases."
    return BarPanel("Probabilities", bars, caption=caption)


def _shown(probability: float) -> float:
    """Two digits; neither 0 nor 1, which no model knows."""
    return round(min(max(float(probability), 0.01), 0.99), 2)


def _votes(seen: Seen) -> LinePanel:
    """What each frame that was read says."""
    votes = seen.assessment.votes
    x = np.array([vote.frame.reference.frame_number or 0 for vote in votes], float)
    lines = tuple(Line(NAMES[c], x, seen.assessment.single.probabilities[:, n]) for n, c in enumerate(CLASSES))
    heard = sum(vote.weight > 0 for vote in votes)
    caption = f"{len(votes)} of {seen.assessment.clip.total} frames were read; {heard} of them had a vote."
    return LinePanel("What the frames say", lines, "frame", "probability", caption)


def latent_map(said: Opinion, model: Classifier) -> ScatterPanel:
    """The joint among the known cases."""
    background = model.background
    groups = tuple(
        PointGroup(f"known {SHORT[condition]}", background.positions[background.conditions == number])
        for number, condition in enumerate(CLASSES)
    )
    here = PointGroup("this joint", said.overall.position, True)
    return ScatterPanel(
        "Place among known cases",
        (*groups, here),
        "latent coordinate 1",
        "latent coordinate 2",
        "Known cases: simulated.",
    )


def nearest(said: Opinion) -> TablePanel:
    """The known cases most alike."""
    rows = [("Case", "Class", "Severity", "Distance")]
    rows += [(n.identifier, NAMES[n.condition], f"{n.severity:.2f}", f"{n.distance:.2f}") for n in said.neighbours]
    caption = "Simulated cases. Distance 1: that of neighbours among them."
    if said.verdict.reason == "foreign":
        caption += " Not meaningful for a joint that is unlike all of them."
    return TablePanel("Nearest known cases", tuple(rows), caption)


def overview(title: str, opinions: Sequence[Opinion], unread: Sequence[Unread]) -> Page:
    """All images of a series in one table."""
    rows = [("Image", "Result")]
    rows += [(said.tracking_id.removeprefix("Joint classification "), _short(said)) for said in opinions]
    rows += [(item.tracking_id.removeprefix("Joint classification "), f"not read: {item.reason}") for item in unread]
    lines = [sentence(said) for said in opinions if said.verdict.determined][:3]
    return Page(f"{title}: all images", (TablePanel("Images", tuple(rows)),), 1, tuple(lines) or (LIMITS[1],))


def _short(said: Opinion) -> str:
    if not said.verdict.determined:
        return "undetermined: " + ("unlike the known cases" if said.verdict.reason == "foreign" else "between classes")
    return f"{NAMES[said.condition]} {_percent(said.overall.probabilities[0].max())}"
