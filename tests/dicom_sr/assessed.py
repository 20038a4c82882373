"""A result with what a reader says about it: a finding accepted, one modified, one rejected, and the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, Change
from dicom_sr.findings import Finding
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.write.assessment import Reader, encode_assessment

NAME = "assessed"
READER = Reader("Röntgen^Wilhelm Conrad", datetime(2026, 11, 23, 9, 8, 7))


def said_of(findings: Sequence[Finding], report: Dataset) -> tuple[Assessment, ...]:
    """What the reader says of the first findings that have numbers, and of the whole result."""
    tracking = tracking_uids(report)
    accepted, modified, rejected = [finding for finding in findings if finding.measurements][:3]
    number = modified.measurements[0]
    return (
        _about(accepted, tracking, Answer.ACCEPT),
        _about(
            modified,
            tracking,
            Answer.MODIFY,
            reason=codes.WRONG_VALUE,
            changes=(Change(number.name, number.value, 3.0, number.unit),),
        ),
        _about(rejected, tracking, Answer.REJECT, reason=codes.NOT_THERE, comment="An old fracture."),
        Assessment(Answer.MODIFY, comment="One score is too low."),
    )


def _about(finding: Finding, tracking: dict[str, str], answer: Answer, **more: object) -> Assessment:
    site = finding.site.region if finding.site else None
    uid = tracking[finding.tracking_id]
    return Assessment(answer, uid, (), finding.tracking_id, finding.finding, site, **more)  # type: ignore[arg-type]


def tracking_uids(report: Dataset) -> dict[str, str]:
    """By tracking identifier, from the groups of a report."""
    (measurements,) = (i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    found = {}
    for group in measurements.ContentSequence:
        items = {item.ConceptNameCodeSequence[0].CodeValue: item for item in group.ContentSequence}
        found[str(items["112039"].TextValue)] = str(items["112040"].UID)
    return found


def assessment_of(
    findings: Sequence[Finding], objects: Sequence[EncodedObject], profile: EncodingProfile, folder: Path
) -> EncodedObject:
    """The Assessment SR of a written result."""
    (one,) = (each for each in objects if each.kind == "report" and each.twin_of is None)
    report = pydicom.dcmread(one.path)
    return encode_assessment(report, objects, said_of(findings, report), READER, profile, folder)
