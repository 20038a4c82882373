"""The opinion about a joint, and what it was read from."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_sr.findings import Region
from pipelines.joint_classification.assess import Assessment
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import Classification, JointVerdict, Neighbour
from pipelines.joint_classification.joints import Joint


@dataclass(frozen=True)
class Opinion:
    """The opinion about one joint, whatever it was seen on."""

    joint: Joint
    tracking_id: str
    region: Region
    overall: Classification  # one row
    verdict: JointVerdict
    neighbours: tuple[Neighbour, ...]
    condition: str  # the class with the highest probability


@dataclass(frozen=True)
class UltrasoundReading:
    """A joint that was read by ultrasound."""

    opinion: Opinion
    assessment: Assessment


@dataclass(frozen=True)
class UnreadImage:
    """An image that was not read."""

    joint: Joint
    tracking_id: str
    region: Region  # the whole image
    reason: str


def opinion_of(joint: Joint, tracking_id: str, assessment: Assessment) -> Opinion:
    """The opinion about a joint from the assessment of a still or cine.

    Parameters
    ----------
    joint
        As the header names it.
    tracking_id
        The same text in every report of the series.
    assessment
        Of the frames.
    """
    key = assessment.key
    shape = (key.frame.picture.array.shape[0], key.frame.picture.array.shape[1])
    region = Region(key.frame.reference, key.field.outline(shape))
    condition = CLASSES[assessment.condition]
    return Opinion(joint, tracking_id, region, assessment.overall, assessment.verdict, assessment.neighbours, condition)
