"""An archive by DIMSE: C-FIND, then C-GET, or C-MOVE to the node's own port (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ

from dicom_sr.provenance import SERIES_MARK
from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations, leave
from node.network.requestor import ACSE_TIMEOUT_S, CONNECT_TIMEOUT_S, MAXIMUM_PDU_SIZE
from node.network.sop_classes import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from node.network.tls import destination_context
from node.prior.archive import ANSWERS, REPORTS_A_STUDY, WILD, Deadline, EarlierStudy, ReportReference, earlier
from node.prior.report import LARGEST, REPORT_CLASSES, Moment, NotUsable, Wanted, require_report

FIND, GET, MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
CHARACTER_SET = 0x00080005
LONGEST_VALUE = 1024  # bytes; UIDs and patient IDs have 64 at most
SUCCESS, PENDING, OUT_OF_RESOURCES = 0x0000, (0xFF00, 0xFF01), 0xA700

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
        self._associations = associations or Associations()
        self._name, self._destination, self._ae_title = name, destination, ae_title
        self._retrieve, self._deadline, self._received = retrieve, deadline, received
        self._strangers = mismatches
        self._arrived: list[bytes] = []
        self._association: Association | None = None
        self._midway = False  # in a question, whose answers have not all been taken

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
            for match in self._ask(query)
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
            for match in self._ask(query)
            if str(match.get("SeriesDescription") or SERIES_MARK).startswith(SERIES_MARK)
            and match.get("Modality") in (None, "", "SR")
        ]
        given = 0
        for series_instance_uid in sorted(uid for uid in series if uid):
            query = Dataset()
            query.QueryRetrieveLevel, query.StudyInstanceUID = "IMAGE", study_instance_uid
            query.SeriesInstanceUID, query.SOPInstanceUID, query.SOPClassUID = series_instance_uid, "", ""
            for match in self._ask(query):
                if match.get("SOPClassUID") in (None, "", *REPORT_CLASSES) and match.get("SOPInstanceUID"):
                    given += 1
                    if given > REPORTS_A_STUDY:
                        return
                    yield ReportReference(study_instance_uid, series_instance_uid, str(match.SOPInstanceUID))

    def _ask(self, query: Dataset) -> list[Dataset]:
        association = self._open()
        matches: list[Dataset] = []
        self._begin(association)
        for status, match in association.send_c_find(query, FIND):
            self._deadline.left()
            answer = status.get("Status")  # none where the peer aborts or says nothing in time
            if answer in PENDING and match is not None:
                matches.append(_asked_for(query, match))
                if len(matches) > ANSWERS:
                    raise PeerUnavailable(f"{self._name}: gives more than {ANSWERS} answers to one question")
            elif answer != SUCCESS:
                self._midway = answer is None
                raise PeerUnavailable(f"{self._name}: {_said(answer)} to C-FIND")
        self._midway = False
        return matches

    # ---- objects
    def fetch(self, reference: ReportReference) -> bytes:
        """A whole object as a Part 10 file, by C-GET or C-MOVE; `NotUsable` where what is there is no report."""
        association = self._open()
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        answer: int | None = None
        for model in (GET, MOVE):
            if str(model) not in accepted:
                continue
            content, answer = self._get(reference) if model == GET else self._move(reference)
            if content is not None:
                return content
        raise PeerUnavailable(
            f"{self._name}: gives no reports: {_said(answer)}"
            if accepted & {GET, MOVE}
            else (
                f"{self._name}: offers neither C-GET nor C-MOVE"
                if self._retrieve == "auto"
                else f"{self._name}: does not offer C-{self._retrieve.upper()}"
            )
        )

    def _get(self, reference: ReportReference) -> tuple[bytes | None, int | None]:
        association = self._open()
        self._arrived.clear()
        self._begin(association)
        answer = None
        for status, _ in association.send_c_get(_identifier(reference), GET):
            self._deadline.left()
            answer = status.get("Status")
        self._midway = False
        return (self._arrived[0] if self._arrived else None), answer

    def _move(self, reference: ReportReference) -> tuple[bytes | None, int | None]:
        """Have the archive send it to the node's own port, where the receiver stores it like anything else."""
        association = self._open()
        self._begin(association)
        answer = None
        for status, _ in association.send_c_move(_identifier(reference), self._ae_title, MOVE):
            self._deadline.left()
            answer = status.get("Status")
        self._midway = False
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

    # ---- the association
    def _open(self) -> Association:
        association = self._association
        if association is not None and association.is_established:
            return association
        left = self._deadline.left()
        ae = AE(self._destination.calling_ae_title or self._ae_title)
        ae.acse_timeout = min(left, ACSE_TIMEOUT_S)
        ae.connection_timeout = min(left, CONNECT_TIMEOUT_S)
        ae.dimse_timeout = ae.network_timeout = left
        ae.maximum_pdu_size = MAXIMUM_PDU_SIZE
        ae.add_requested_context(FIND)
        roles: list[Any] = []
        if self._retrieve != "move":
            ae.add_requested_context(GET)
            for uid in REPORT_CLASSES:
                ae.add_requested_context(uid)
                roles.append(build_role(uid, scp_role=True))
        if self._retrieve != "get":
            ae.add_requested_context(MOVE)
        destination = self._destination
        try:
            association = ae.associate(
                destination.host,
                destination.port,
                ae_title=destination.ae_title,
                max_pdu=MAXIMUM_PDU_SIZE,
                ext_neg=roles or None,
                tls_args=(destination_context(destination.tls), destination.host) if destination.tls else None,
                evt_handlers=[
                    *self._associations.handlers({C_STORE_RQ: LARGEST}, within_s=left),
                    (evt.EVT_C_STORE, self._take),
                ],
            )
        except (OSError, RuntimeError) as error:  # unknown host, unreadable certificate
            raise PeerUnavailable(f"{self._name}: {error}") from error
        if not association.is_established:
            raise PeerUnavailable(f"{self._name}: {_why(association)}")
        self._association = association
        if FIND not in {context.abstract_syntax for context in association.accepted_contexts}:
            raise PeerUnavailable(f"{self._name}: does not offer C-FIND")
        return association

    def _begin(self, association: Association) -> None:
        """A question begins; no single answer may take longer than the whole search has left."""
        self._midway = True
        association.dimse_timeout = association.network_timeout = self._deadline.left()

    def close(self) -> None:
        """Release the association; abort it where no time is left, or where the archive was left in the middle."""
        association, self._association = self._association, None
        if association is not None:
            leave(association, abort=self._midway or self._deadline.is_over)


def _identifier(reference: ReportReference) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID = reference.study_instance_uid, reference.series_instance_uid
    query.SOPInstanceUID = reference.sop_instance_uid
    return query


def _asked_for(query: Dataset, match: Dataset) -> Dataset:
    """What an answer says to the question, and nothing else that is kept until the last answer is here."""
    for tag in list(match.keys()):
        value = match.get_item(tag).value
        if (tag not in query and tag != CHARACTER_SET) or (
            isinstance(value, bytes | str) and len(value) > LONGEST_VALUE
        ):
            del match[tag]
    return match


def _said(answer: int | None) -> str:
    return "no answer" if answer is None else f"answers 0x{answer:04X}"


def _why(association: Association) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"association rejected: {answer.reason_str}"
    return "cannot be reached" if answer is None else "association aborted, or nothing of what was asked for is offered"
