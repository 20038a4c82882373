"""What searching an archive has in common, by DIMSE or DICOMweb: answers that are not believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.prior.report import Moment, Wanted
from pipelines.records.dates import partial_date
from pipelines.records.record import Identity

REPORTS_A_STUDY = 16  # objects of one study that are fetched at most
WILD = "*?\\"  # in a query these stand for other patients' IDs


@dataclass(frozen=True)
class ReportReference:
    """Where an archive says that a report is."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class EarlierStudy:
    """A study of the patient, as the archive's answer puts it."""

    study_instance_uid: str
    made: Moment


class PriorArchive(Protocol):
    """A connection to one archive, for one search. Everything raises `PeerUnavailable` where it cannot answer."""

    def studies(self, wanted: Wanted) -> list[EarlierStudy]:
        """The patient's studies that may hold a report, as the archive says."""

    def reports(self, study_instance_uid: str) -> Iterator[ReportReference]:
        """The structured reports in a study that may be ours."""

    def fetch(self, reference: ReportReference) -> bytes:
        """A whole object as a Part 10 file; `NotUsable` where it can be seen unread that it is no report."""

    def close(self) -> None:
        """Leave the archive in peace."""


def earlier(answers: Sequence[tuple[str, str, str, Moment]], wanted: Wanted) -> tuple[list[EarlierStudy], list[str]]:
    """The studies of the answers that may be used, the latest first, and why others may not.

    Parameters
    ----------
    answers
        PatientID, PatientBirthDate, StudyInstanceUID and moment of each. What an answer does not say does not count
        against it here: the report itself is held against the patient before it is used.
    """
    usable: dict[str, EarlierStudy] = {}
    mismatches: list[str] = []
    for patient_id, birth_date, uid, made in answers:
        if patient_id.strip() not in ("", wanted.who.patient_id):
            continue
        if uid in ("", wanted.study_instance_uid) or not made.is_before(wanted.made):
            continue
        if wanted.who.births_differ(Identity(patient_id).born(partial_date(birth_date))):
            mismatches.append("birth date")
            continue
        usable[uid] = EarlierStudy(uid, made)
    latest_first = sorted(usable.values(), key=lambda s: (s.made.day, s.made.time, s.study_instance_uid), reverse=True)
    return latest_first, mismatches
