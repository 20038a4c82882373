"""An archive by DICOMweb: QIDO-RS, then WADO-RS (PS3.18 10.6 and 10.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dicom_sr.provenance import SERIES_MARK
from node.config import DicomWebDestination
from node.errors import PeerUnavailable
from node.network.deadline import Deadline
from node.network.dicomweb_client import ANSWERS, DicomWebClient, first_value, uid_segment
from node.prior.archive import REPORTS_A_STUDY, WILD, EarlierStudy, ReportReference, earlier
from node.prior.report import LARGEST, REPORT_CLASSES, Moment, Wanted

PATIENT_ID, BIRTH_DATE, STUDY_DATE, STUDY_TIME = "00100020", "00100030", "00080020", "00080030"
STUDY_UID, SERIES_UID, INSTANCE_UID, CLASS_UID = "0020000D", "0020000E", "00080018", "00080016"
MODALITY, SERIES_DESCRIPTION = "00080060", "0008103E"


class DicomWebArchive:
    """A client for one search. Its errors name the archive, never the address with its query.

    Parameters
    ----------
    name
        The destination's, for messages.
    destination
        Where it is, and how it is asked.
    deadline
        When the search is over.
    mismatches
        Takes down why a study of the same patient ID was left out.
    """

    def __init__(self, name: str, destination: DicomWebDestination, deadline: Deadline, mismatches: list[str]) -> None:
        self._name, self._strangers = name, mismatches
        self._client = DicomWebClient(name, destination, deadline)

    def studies(self, wanted: Wanted) -> list[EarlierStudy]:
        """The patient's studies that may hold a report, by QIDO-RS."""
        if any(character in wanted.who.patient_id for character in WILD):
            raise PeerUnavailable(f"{self._name}: cannot be asked for a patient ID with wildcard characters")
        answers = self._client.ask(
            "studies",
            PatientID=wanted.who.patient_id,
            ModalitiesInStudy="SR",
            StudyDate=f"-{wanted.made.day}",
            includefield=[BIRTH_DATE, STUDY_DATE, STUDY_TIME],
            limit=str(ANSWERS),
        )
        found, mismatches = earlier([_study(answer) for answer in answers], wanted)
        self._strangers += mismatches
        return found

    def reports(self, study_instance_uid: str) -> Iterator[ReportReference]:
        """The structured reports in a study that may be ours, by QIDO-RS."""
        series = self._client.ask(
            f"studies/{uid_segment(study_instance_uid)}/series", Modality="SR", includefield=[SERIES_DESCRIPTION]
        )
        given = 0
        for answer in sorted(series, key=lambda one: first_value(one, SERIES_UID)):
            uid = first_value(answer, SERIES_UID)
            ours = (first_value(answer, SERIES_DESCRIPTION) or SERIES_MARK).startswith(SERIES_MARK)
            if not uid or not ours or first_value(answer, MODALITY) not in ("", "SR"):
                continue
            for instance in self._client.ask(
                f"studies/{uid_segment(study_instance_uid)}/series/{uid_segment(uid)}/instances"
            ):
                if first_value(instance, CLASS_UID) in ("", *REPORT_CLASSES) and first_value(instance, INSTANCE_UID):
                    given += 1
                    if given > REPORTS_A_STUDY:
                        return
                    yield ReportReference(study_instance_uid, uid, first_value(instance, INSTANCE_UID))

    def fetch(self, reference: ReportReference) -> bytes:
        """A whole object as a Part 10 file, by WADO-RS."""
        return self._client.instance(
            reference.study_instance_uid, reference.series_instance_uid, reference.sop_instance_uid, LARGEST
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _study(answer: dict[str, Any]) -> tuple[str, str, str, Moment]:
    made = Moment.at(first_value(answer, STUDY_DATE), first_value(answer, STUDY_TIME))
    return first_value(answer, PATIENT_ID), first_value(answer, BIRTH_DATE), first_value(answer, STUDY_UID), made
