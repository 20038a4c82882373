"""C-STORE to a peer, and the questions whether it keeps what it was sent: storage commitment and C-FIND."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from dicom_sr.profile import ObjectFile
from dicom_sr.read.headers import chosen
from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations, leave
from node.network.commitment_information import MAXIMUM_BYTES, Information, NotTaken, read_information
from node.network.requestor import ACSE_TIMEOUT_S, CONNECT_TIMEOUT_S, MAXIMUM_PDU_SIZE, refusal
from node.network.sop_classes import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from node.network.tls import destination_context
from node.progress import goes_on
from node.send.delivery import ASKED_OF_A_STUDY, Answer, F, Outcome, by_status
from node.send.error_comment import fit_to_keep

_config.STORE_SEND_CHUNKED_DATASET = True  # a path given to send_c_store goes out as it lies, without decoding

MAXIMUM_CONTEXTS = 128  # PS3.8: odd identifiers of one byte
LARGEST_REWRITTEN = 2**30  # bytes of an object that is read to be sent in another transfer syntax
REPORT_WAIT_S = 0.3  # some archives report storage commitment on the same association, at once
CLASS_NOT_SUPPORTED, SYNTAX_NOT_SUPPORTED = 3, 4  # PS3.8 9.3.3.2
SUCCESS, PENDING = 0x0000, (0xFF00, 0xFF01)


Report = Callable[[Information, int], None]  # what an N-EVENT-REPORT says, and its event type


class DimseDelivery:
    """An association with a peer that is opened when there is something to send and kept until `close`.

    Parameters
    ----------
    name
        The destination's, for messages.
    destination
        Who it is, and how long it may take.
    ae_title
        The node's, where the destination names none.
    associations
        Those of all deliveries.
    """

    def __init__(
        self, name: str, destination: DimseDestination, ae_title: str, associations: Associations | None = None
    ) -> None:
        self._associations = associations or Associations()
        self._name, self._destination = name, destination
        self._ae_title = destination.calling_ae_title or ae_title
        self._association: Association | None = None
        self._announced: dict[str, ObjectFile] = {}  # an object of every class to come
        self._classes: frozenset[str] = frozenset()
        self._refused: dict[str, str] = {}  # classes, and why objects of them cannot be sent

    def announce(self, items: Sequence[ObjectFile]) -> None:
        """Take down the SOP classes to come, so that one association asks for all of them."""
        self._announced = {item.sop_class_uid: item for item in items}

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        """Send each object by C-STORE and yield the peer's answer; an association is opened with the first.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached, rejects the association or ends it.
        """
        self._open({item.sop_class_uid: item for item in items})
        for item in items:
            if item.sop_class_uid in self._refused:
                yield item, Answer(Outcome.CLASS_REFUSED, self._refused[item.sop_class_uid])
            else:
                yield item, self._store(item)

    def _open(self, classes: dict[str, ObjectFile]) -> None:
        """Have an association that has been asked for every class; contexts only for what is sent."""
        if classes.keys() <= self._classes and (self._usable or classes.keys() <= self._refused.keys()):
            return
        self.close()
        classes = dict(sorted((self._announced | classes).items())[:MAXIMUM_CONTEXTS])
        ae = self._application_entity()
        proposed: dict[str, list[UID]] = {}
        for uid, item in classes.items():
            syntax = read_file_meta_info(item.path).TransferSyntaxUID
            others = [one for one in (ExplicitVRLittleEndian, ImplicitVRLittleEndian) if one != syntax]
            proposed[uid] = [syntax, *others] if len(others) == 2 else [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
            ae.add_requested_context(uid, proposed[uid])
        association = self._associate(ae)
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        rejected = {str(context.abstract_syntax): context.result for context in association.rejected_contexts}
        if not association.is_established and not rejected:
            raise PeerUnavailable(f"{self._name}: {refusal(association)}")
        self._classes = frozenset(classes)
        self._refused = {
            uid: self._why(uid, rejected.get(uid), proposed[uid]) for uid in classes if uid not in accepted
        }
        self._association = association if association.is_established else None

    def _why(self, class_uid: str, result: int | None, syntaxes: Sequence[UID]) -> str:
        """Why the peer refused the context of a class (PS3.8 9.3.3.2), as the operator reads it."""
        class_ = UID(class_uid).name
        if result == SYNTAX_NOT_SUPPORTED:
            return f"{self._name} does not take the syntax {' or '.join(one.name for one in syntaxes)} for {class_}"
        if result == CLASS_NOT_SUPPORTED:
            return f"{self._name} does not take the class {class_}"
        return f"{self._name} refuses the class {class_} and gives no reason"

    @property
    def _usable(self) -> bool:
        return self._association is not None and self._association.is_established

    def _store(self, item: ObjectFile) -> Answer:
        association = self._association
        if association is None or not association.is_established:
            raise PeerUnavailable(f"{self._name}: the association ended")
        try:
            status = association.send_c_store(item.path)
        except ValueError:  # accepted in another transfer syntax than the file's only
            syntax = read_file_meta_info(item.path).TransferSyntaxUID
            try:
                is_plain = syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)  # others grow when they are read
                if not is_plain or item.path.stat().st_size > LARGEST_REWRITTEN:
                    raise ValueError("not rewritten")
                status = association.send_c_store(dcmread(item.path))
            except ValueError:
                return Answer(
                    Outcome.REFUSED, f"{self._name} does not take the syntax {syntax.name}, which the object needs"
                )
        except RuntimeError as error:
            raise PeerUnavailable(f"{self._name}: the association ended") from error
        if "Status" not in status:
            raise PeerUnavailable(f"{self._name}: no answer to C-STORE")
        comment = fit_to_keep(str(status.get("ErrorComment") or ""), item.path)
        return by_status(int(status.Status), comment)

    # ---- questions
    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """SOP Instance UIDs of those that the peer has, by C-FIND; None where it does not offer or answer the query.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached.
        """
        queries = []
        for study, series in sorted({(item.study_instance_uid, item.series_instance_uid) for item in items}):
            query = Dataset()
            query.QueryRetrieveLevel = "IMAGE"
            query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series, ""
            queries.append(query)
        wanted, found = {item.sop_instance_uid for item in items}, set[str]()

        def take(match: Dataset) -> None:
            found.update(wanted & {str(match.get("SOPInstanceUID", ""))})

        return found if self._queried(queries, take) else None

    def study(self, study_instance_uid: str) -> Dataset | None:
        """The patient and the study as the peer has them, by C-FIND; None where it does not say.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        for keyword in ASKED_OF_A_STUDY:
            setattr(query, keyword, "")
        query.StudyInstanceUID = study_instance_uid
        found: list[Dataset] = []

        def take(match: Dataset) -> None:
            if len(found) < 2:  # one too many says enough
                found.append(chosen(match, [*ASKED_OF_A_STUDY, "SpecificCharacterSet"]))

        return found[0] if self._queried([query], take) and len(found) == 1 else None

    def _queried(self, queries: Sequence[Dataset], take: Callable[[Dataset], None]) -> bool:
        """Ask by C-FIND; False where the peer does not offer it, or does not answer all queries with success.

        Parameters
        ----------
        queries
            One after the other, on one association.
        take
            Called with each match.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached.
        """
        ae = self._application_entity()
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        association = self._established(ae)
        if association is None:
            return False
        try:
            for query in queries:
                for status, match in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
                    goes_on()
                    answer = status.get("Status")  # none where the peer aborts, as Orthanc does with strangers
                    if answer in PENDING and match is not None:
                        take(match)
                    elif answer != SUCCESS:
                        return False
        finally:
            leave(association)
        return True

    def ask_commitment(self, transaction_uid: str, references: Sequence[Sequence[str]], report: Report) -> bool:
        """Ask the peer to commit itself; False where it does not offer that or refuses.

        The report comes later, as a rule to the node's own port.

        Parameters
        ----------
        transaction_uid
            Names the request.
        references
            SOP Class UID and SOP Instance UID of each object.
        report
            Called with the report where it comes on this association, at once.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached.
        """
        arrived = threading.Event()

        def take(event: evt.Event) -> tuple[int, None]:
            assert isinstance(event.request, N_EVENT_REPORT)
            encoded = event.request.EventInformation
            try:
                information = read_information(encoded.getvalue() if encoded else b"", event.context.transfer_syntax)
            except NotTaken as problem:
                return problem.status, None
            report(information, event.event_type or 0)
            arrived.set()
            return SUCCESS, None

        ae = self._application_entity()
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        association = self._established(ae, [role], [(evt.EVT_N_EVENT_REPORT, take)])
        if association is None:
            return False
        request = Dataset()
        request.TransactionUID = transaction_uid
        request.ReferencedSOPSequence = []
        for sop_class_uid, sop_instance_uid in references:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
            request.ReferencedSOPSequence.append(item)
        try:
            status, _ = association.send_n_action(
                request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            if status.get("Status") != SUCCESS:  # none where the peer aborts
                return False
            arrived.wait(REPORT_WAIT_S)
            return True
        finally:
            leave(association)

    def ping(self) -> str:
        """Ask the peer whether it is there (C-ECHO), on an association of its own; what it answered.

        Raises
        ------
        PeerUnavailable
            If it is not, or does not want to talk to us.
        """
        ae = self._application_entity()
        ae.add_requested_context(Verification)
        association = self._established(ae)
        if association is None:
            raise PeerUnavailable(f"{self._name}: accepts the association and not Verification")
        try:
            status = association.send_c_echo()
        finally:
            leave(association)
        if status.get("Status") != SUCCESS:
            raise PeerUnavailable(f"{self._name}: no answer to C-ECHO")
        return "answers C-ECHO"

    def close(self) -> None:
        """Release the association."""
        if self._association is not None:
            leave(self._association)
            self._association = None

    # ---- associations
    def _application_entity(self) -> AE:
        ae = AE(self._ae_title)
        ae.acse_timeout = ACSE_TIMEOUT_S
        ae.connection_timeout = CONNECT_TIMEOUT_S
        ae.dimse_timeout = ae.network_timeout = self._destination.timeout_s
        ae.maximum_pdu_size = MAXIMUM_PDU_SIZE
        return ae

    def _associate(
        self, ae: AE, roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (), handlers: Sequence[EventHandlerType] = ()
    ) -> Association:
        destination = self._destination
        try:
            return ae.associate(
                destination.host,
                destination.port,
                ae_title=destination.ae_title,
                max_pdu=MAXIMUM_PDU_SIZE,
                ext_neg=list(roles) or None,
                tls_args=(destination_context(destination.tls), destination.host) if destination.tls else None,
                evt_handlers=[
                    *self._associations.handlers({N_EVENT_REPORT_RQ: MAXIMUM_BYTES}),
                    *handlers,
                ],
            )
        except (OSError, RuntimeError) as error:  # unknown host, unreadable certificate
            raise PeerUnavailable(f"{self._name}: {error}") from error

    def _established(
        self, ae: AE, roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (), handlers: Sequence[EventHandlerType] = ()
    ) -> Association | None:
        """An association, or None where the peer offers nothing of what was asked for."""
        association = self._associate(ae, roles, handlers)
        if association.is_established:
            return association
        if association.rejected_contexts:
            return None
        raise PeerUnavailable(f"{self._name}: {refusal(association)}")
