"""Rejection notes: Key Object Selection Documents that take objects back (IHE RAD TF-2 4.66, Rejection Note Stored)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_sr.rejection_reasons import RejectionReason

KEYWORDS = (
    "StudyInstanceUID",
    "ConceptNameCodeSequence",
    "CurrentRequestedProcedureEvidenceSequence",
    "ContentSequence",
)
"""The elements that say what a note rejects, and why."""


@dataclass(frozen=True)
class RejectionNote:
    """What one note rejects."""

    reason: RejectionReason
    study_instance_uid: str
    objects: tuple[str, ...]  # SOP Instance UIDs of the note's own study, each once
    elsewhere: int  # objects that it states to be of other studies, or of none


def read_rejection_note(header: Dataset) -> RejectionNote | None:
    """What a Key Object Selection Document rejects; None where its title says that it rejects nothing.

    Rejected is what the content refers to. The evidence says of which study that is: a selection across studies has
    an identical document in each of them (PS3.3 C.17.6.2), so that each is answered for by its own.
    """
    reason = _reason(header)
    if reason is None:
        return None
    study = str(header.get("StudyInstanceUID") or "")
    referenced = dict.fromkeys(_referenced(header))
    of_study = set(_evidence(header, study))
    own = tuple(uid for uid in referenced if uid in of_study)
    return RejectionNote(reason, study, own, len(referenced) - len(own))


def _reason(header: Dataset) -> RejectionReason | None:
    for title in header.get("ConceptNameCodeSequence") or ():
        if title.get("CodingSchemeDesignator") == "DCM" and title.get("CodeValue") in set(RejectionReason):
            return RejectionReason(title.CodeValue)
    return None


def _referenced(header: Dataset) -> Iterator[str]:
    """What the items of the content refer to; TID 2010 has them right below the title."""
    for item in header.get("ContentSequence") or ():
        for reference in item.get("ReferencedSOPSequence") or ():
            if uid := str(reference.get("ReferencedSOPInstanceUID") or ""):
                yield uid


def _evidence(header: Dataset, study_instance_uid: str) -> Iterator[str]:
    for study in header.get("CurrentRequestedProcedureEvidenceSequence") or ():
        if str(study.get("StudyInstanceUID") or "") == study_instance_uid:
            for series in study.get("ReferencedSeriesSequence") or ():
                for reference in series.get("ReferencedSOPSequence") or ():
                    yield str(reference.get("ReferencedSOPInstanceUID") or "")
