"""An archive by DIMSE: C-FIND, then C-GET, or C-MOVE to the node's own port (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydicom.dataset import Dataset
from pynetdicom import build_context, evt

from dicom_sr.provenance import SERIES_MARK
from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations
from node.network.deadline import Deadline
from node.network.query_association import GET, MOVE, OUT_OF_RESOURCES, SUCCESS, QueryAssociation, answered
from node.prior.archive import REPORTS_A_STUDY, WILD, EarlierStudy, ReportReference, earlier
from node.prior.report import LARGEST, REPORT_CLASSES, Moment, NotUsable, Wanted, require_report

Received = Callable[[str, float], bytes]  # an instance that came to the node's port: SOP Instance UID, patience


class DimseArchive:
    """One association for the whole search.

    Parameters
    ----------
    name
        The destination's, for messages.
    retrieve
        How reports are fetched; ``auto``: by C-GET where the archive takes it, else by C-MOVE.
    received
        Waits for what a C-MOVE has sent to the node's own port.
    mismatches
        Takes down why a study of the same patient ID was left out.
    associations
        Those of all searches.
    """

    def __init__(
        self,
        name: str,
        destination: DimseDestination,
        ae_title: str,
        retrieve: Literal["auto", "get", "move"],
        deadline: Deadline,
        received: Received,
        mismatches: list[str],
        associations: Associations | None = None,
    ) -> None:
        self._name, self._ae_title = name, ae_title
        self._retrieve, self._deadline, self._received = retrieve, deadline, received
        self._strangers = mismatches
        self._arrived: list[bytes] = []
        self._query = QueryAssociation(
            name,
            destination,
            ae_title,
            deadline,
            associations or Associations(),
            move=retrieve != "get",
            storage=[] if retrieve == "move" else [build_context(uid) for uid in REPORT_CLASSES],
            take=self._take,
            largest=LARGEST,
        )

    # ---- questions
    def studies(self, wanted: Wanted) -> list[EarlierStudy]:
        """The patient's studies that may hold a report, by C-FIND."""
        if any(character in wanted.who.patient_id for character in WILD):
            raise PeerUnavailable(f"{self._name}: cannot be asked for a patient ID with wildcard characters")
        query = Dataset()
        query.QueryRetrieveLevel, query.PatientID = "STUDY", wanted.who.patient_id
        query.PatientBirthDate = query.StudyInstanceUID = query.StudyTime = ""
        query.StudyDate, query.ModalitiesInStudy = f"-{wanted.made.day}", "SR"
        answers = [
            (
                str(match.get("PatientID") or ""),
                str(match.get("PatientBirthDate") or ""),
                str(match.get("StudyInstanceUID") or ""),
                Moment.of(match),
            )
            for match in self._query.find(query)
        ]
        found, mismatches = earlier(answers, wanted)
        self._strangers += mismatches
        return found

    def reports(self, study_instance_uid: str) -> Iterator[ReportReference]:
        """The structured reports in a study that may be ours, by C-FIND."""
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID, query.Modality = "SERIES", study_instance_uid, "SR"
        query.SeriesInstanceUID = query.SeriesDescription = ""
        series = [
            str(match.get("SeriesInstanceUID") or "")
            for match in self._query.find(query)
            if str(match.get("SeriesDescription") or SERIES_MARK).startswith(SERIES_MARK)
            and match.get("Modality") in (None, "", "SR")
        ]
        given = 0
        for series_instance_uid in sorted(uid for uid in series if uid):
            query = Dataset()
            query.QueryRetrieveLevel, query.StudyInstanceUID = "IMAGE", study_instance_uid
            query.SeriesInstanceUID, query.SOPInstanceUID, query.SOPClassUID = series_instance_uid, "", ""
            for match in self._query.find(query):
                if match.get("SOPClassUID") in (None, "", *REPORT_CLASSES) and match.get("SOPInstanceUID"):
                    given += 1
                    if given > REPORTS_A_STUDY:
                        return
                    yield ReportReference(study_instance_uid, series_instance_uid, str(match.SOPInstanceUID))

    # ---- objects
    def fetch(self, reference: ReportReference) -> bytes:
        """A whole object as a Part 10 file, by C-GET or C-MOVE; `NotUsable` where what is there is no report."""
        offered = [model for model in (GET, MOVE) if self._query.offers(model)]
        answer: int | None = None
        for model in offered:
            content, answer = self._get(reference) if model == GET else self._move(reference)
            if content is not None:
                return content
        if offered:
            raise PeerUnavailable(f"{self._name}: gives no reports: {answered(answer)}")
        if self._retrieve == "auto":
            raise PeerUnavailable(f"{self._name}: offers neither C-GET nor C-MOVE")
        raise PeerUnavailable(f"{self._name}: does not offer C-{self._retrieve.upper()}")

    def _get(self, reference: ReportReference) -> tuple[bytes | None, int | None]:
        self._arrived.clear()
        answer = self._query.get(_identifier(reference))
        return (self._arrived[0] if self._arrived else None), answer.get("Status")

    def _move(self, reference: ReportReference) -> tuple[bytes | None, int | None]:
        """Have the archive send it to the node's own port, where the receiver stores it like anything else."""
        answer = self._query.move(_identifier(reference), self._ae_title).get("Status")
        if answer != SUCCESS:
            return None, answer
        return self._received(reference.sop_instance_uid, self._deadline.left()), answer

    def _take(self, event: evt.Event) -> int:
        """An object that the archive sends on our association, as C-GET asked for."""
        request: Any = event.request
        try:
            require_report(request.DataSet.getbuffer().nbytes, str(request.AffectedSOPClassUID))
        except NotUsable:
            return OUT_OF_RESOURCES
        if self._arrived:
            return OUT_OF_RESOURCES
        self._arrived.append(event.encoded_dataset())
        return SUCCESS

    def close(self) -> None:
        """Release the association; abort it where no time is left, or where the archive was left in the middle."""
        self._query.close()


def _identifier(reference: ReportReference) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID = reference.study_instance_uid, reference.series_instance_uid
    query.SOPInstanceUID = reference.sop_instance_uid
    return query
