"""The sentences of the report."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_sr.words import capital
from pipelines.joint_classification.classes import CLASSES, NAMES
from pipelines.joint_classification.opinion import Opinion, UltrasoundReading

NOT_LESION = "Model attention, not a lesion."
LIMITS = (
    "Three classes only: another arthritis that looks like one of them cannot be told from it.",
    "An adjunct: weak evidence beside history, examination and serology.",
)


def sentence(opinion: Opinion) -> str:
    """The conclusion about one joint."""
    if not opinion.verdict.determined:
        text = opinion.verdict.sentence
        return capital(f"{opinion.joint.label}: {text[0].lower()}{text[1:]}")
    number = CLASSES.index(opinion.condition)
    low, high = opinion.overall.intervals[0, number]
    value = percent(opinion.overall.probabilities[0, number])
    what = "healthy pattern" if opinion.condition == "healthy" else f"pattern of {NAMES[opinion.condition]}"
    return capital(f"{opinion.joint.label}: {what}, probability {value}{between_percent(low, high)}.")


def percent(probability: float) -> str:
    """Whole per cent; never a certainty that no model has."""
    whole = round(100 * float(probability))
    return "over 99 %" if whole > 99 else "under 1 %" if whole < 1 else f"{whole} %"


def between_percent(low: float, high: float) -> str:
    """The ends of an interval in brackets; nothing where both are the same whole per cent."""
    ends = [min(max(round(100 * end), 1), 99) for end in (low, high)]
    return f" ({ends[0]} to {ends[1]} %)" if ends[0] < ends[1] else ""


def remarks(seen: Sequence[UltrasoundReading], heat_method: str) -> tuple[str, ...]:
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


def reading_details(seen: UltrasoundReading) -> str:
    """How it was read, in one line."""
    clip, field = seen.assessment.clip, seen.assessment.key.field
    heard = sum(vote.weight > 0 for vote in seen.assessment.votes)
    return (
        f"{len(seen.assessment.votes)} of {clip.total} frames read, {heard} with a vote;"
        f" pixel {clip.pixel_mm[0]:.4f} x {clip.pixel_mm[1]:.4f} mm{' (assumed)' if clip.scale_assumed else ''};"
        f" window from column {field.left:.0f}, row {field.top:.0f}{', mirrored' if field.mirrored else ''}"
    )
