"""The coded findings: the opinion about a joint, and images that could not be read."""

from __future__ import annotations

from collections import Counter

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.findings import Evaluation, Finding, ImageReference, Measurement, NotEvaluable, Region, frame_outline
from dicom_sr.header_numbers import whole_number_in
from dicom_sr.read.frames import number_of_frames
from dicom_sr.series import Instance
from dicom_sr.words import capital
from pipelines.joint_classification import codes
from pipelines.joint_classification.classes import CLASSES, SHORT
from pipelines.joint_classification.classifier import Classifier, JointVerdict
from pipelines.joint_classification.opinion import Opinion, UnreadImage
from pipelines.joint_classification.wording import between_percent, percent

KEYS = {"healthy": "HC", "ra": "RA", "psa": "PSA"}  # in the private codes
AGREE = 4  # of five nearest known cases, to be among a group


def finding(opinion: Opinion, model: Classifier) -> Finding:
    """The class with its probabilities and likelihood ratio; if undetermined, that and why."""
    determined = opinion.verdict.determined
    label, between = "undetermined", ""
    if determined:
        number = CLASSES.index(opinion.condition)
        label = f"{SHORT[opinion.condition]} {percent(opinion.overall.probabilities[0].max())}"
        between = between_percent(*(float(end) for end in opinion.overall.intervals[0, number]))
    measurements = [*_probabilities(opinion, model)] if opinion.verdict.reason != "foreign" else []
    overall = opinion.overall
    measurements += [
        Measurement(codes.UNC_ENT, float(overall.entropy[0]), codes.FRACTION),
        Measurement(codes.OOD, 1.0 - float(overall.p_value[0]), codes.FRACTION),
        Measurement(codes.RECON_ERR, float(overall.reconstruction_error[0]), codes.NO_UNITS),
        *(Measurement(codes.LATENT[axis], float(overall.position[0, axis]), codes.NO_UNITS) for axis in (0, 1)),
    ]
    evaluations = [Evaluation(codes.CLUSTER, cluster(opinion))]
    if not determined:
        evaluations.append(Evaluation(codes.WHY, _why(opinion.verdict)))
    return Finding(
        opinion.tracking_id,
        codes.CLASSES[KEYS[opinion.condition]] if determined else codes.INDETERMINATE,
        opinion.joint.site,
        opinion.region,
        tuple(measurements),
        tuple(evaluations),
        label,
        summary=f"{opinion.joint.label} {label}{between}",
    )


def _probabilities(opinion: Opinion, model: Classifier) -> list[Measurement]:
    found = []
    for number, condition in enumerate(CLASSES):
        low, high = (float(end) for end in opinion.overall.intervals[0, number])
        value = float(opinion.overall.probabilities[0, number])
        name = codes.PROBABILITIES[KEYS[condition]]
        found.append(Measurement(name, value, codes.FRACTION, interval=(low, high)))
    if opinion.verdict.determined and opinion.condition in model.likelihood_ratios:
        ratio, low, high = model.likelihood_ratios[opinion.condition]
        name = codes.LIKELIHOOD_RATIOS[KEYS[opinion.condition]]
        found.append(Measurement(name, ratio, codes.RATIO, interval=(low, high), interval_level=0.95))
    return found


def _why(verdict: JointVerdict) -> Code:
    return codes.WHY_OOD if verdict.reason == "foreign" else codes.WHY_LOWCONF


def cluster(opinion: Opinion) -> Code:
    """Code of the group of known cases that the joint lies in."""
    if opinion.verdict.reason == "foreign":
        return codes.CLUSTER_NONE
    condition, count = Counter(n.condition for n in opinion.neighbours).most_common(1)[0]
    return codes.CLUSTERS[KEYS[condition]] if count >= AGREE else codes.CLUSTER_MIXED


def not_evaluable(unread: UnreadImage) -> NotEvaluable:
    """The remark on an image that could not be read."""
    sentence = f"{capital(unread.reason)}."
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
    return Region(image, frame_outline(whole_number_in(header, "Rows") or 1, whole_number_in(header, "Columns") or 1))
