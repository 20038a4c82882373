"""What the node does for a peer, whichever server speaks to it: storage, verification, storage commitment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from typing import Any, NamedTuple

from pydicom.uid import UID
from pynetdicom.dimse_messages import C_ECHO_RSP, N_ACTION_RSP, N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import C_ECHO, N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from node.network.commitment_information import MAXIMUM_BYTES, Information, NotTaken, read_information
from node.network.room import Room
from node.network.sop_classes import StorageCommitmentPushModel, Verification
from node.receive.dimse.admission import Admission
from node.receive.dimse.commitment_provider import CommitmentProvider
from node.receive.status import NotStored, Status
from node.receive.store.incoming import Arrival, Incoming
from node.receive.store.refusals import COMMITMENT
from node.receive.store.store import Store

SUCCESS = 0x0000
SMALL_BYTES = 64 * 1024  # a message up to this size needs no room, and is never refused for want of it
ROOM_BYTES = 256 * 2**20  # for all larger ones, from their first byte to their answer; C-STORE needs none
ROOM_WAIT_S = 20.0  # a requester waits 30 s and more for its answer
NO_ROOM = "finds no room: too many large ones are on their way at a time"
NO_SUCH_ACTION, NO_SUCH_EVENT = 0x0123, 0x0113  # PS3.7 C.4, C.5


class Response(NamedTuple):
    """A pynetdicom message class and the primitive it is made from; and what is to be asked of the peer after it."""

    message: Any
    primitive: Any
    then: Callable[[], Response] | None = None
    subject: str = ""  # the transaction UID that `then` is about


class Services:
    """What both servers offer: storage, admission and storage commitment.

    Parameters
    ----------
    store
        Takes the instances.
    admission
        Decides who may open an association.
    commitment
        Answers storage commitment.
    """

    def __init__(self, store: Store, admission: Admission, commitment: CommitmentProvider) -> None:
        self.store = store
        self.admission = admission
        self.commitment = commitment
        self._room = Room(ROOM_BYTES)
        self._one_at_a_time = threading.Lock()

    def take_room(self) -> bool:
        """Whether there is room for one more message that is larger than `SMALL_BYTES`; waits a while for it.

        All that one may have is taken at once: of many that grow at a time, none would come to its end.
        """
        return self._room.take(MAXIMUM_BYTES, ROOM_WAIT_S)

    def give_room_back(self) -> None:
        """One such message has been answered, or nobody waits for that."""
        self._room.give_back(MAXIMUM_BYTES)

    @contextmanager
    def reading(self, size: int) -> Iterator[None]:
        """Around the reading of a message of so many bytes: of large ones, whose objects take many times as much
        memory, one at a time is read.
        """
        with self._one_at_a_time if size > SMALL_BYTES else nullcontext():
            yield

    def begin(
        self, arrival: Arrival, context_class: str, sop_class_uid: str, sop_instance_uid: str, syntax: str
    ) -> Incoming:
        """Start one C-STORE; what is wrong with it comes out at `commit`.

        Parameters
        ----------
        arrival
            The association.
        context_class
            Abstract syntax of the presentation context.
        sop_class_uid, sop_instance_uid
            Of the command.
        syntax
            Transfer syntax that was accepted for the context.
        """
        incoming = self.store.begin(arrival, sop_class_uid, sop_instance_uid, syntax)
        if sop_class_uid != context_class:
            reason = "SOP Class UID is not that of the presentation context"
            incoming.refuse(NotStored(Status.CLASS_NOT_SUPPORTED, reason))
        return incoming

    def serve(
        self,
        request: Any,
        abstract_syntax: str,
        syntax: str,
        calling: str,
        address: str,
        problem: NotTaken | None = None,
    ) -> Response | None:
        """The response to a message that is not C-STORE, or None where the node does not offer that service.

        Parameters
        ----------
        request
            A pynetdicom primitive.
        abstract_syntax, syntax
            Of the presentation context that it came on.
        calling
            AE title of the peer.
        address
            Its IP address.
        problem
            Why the data set of the message was not kept; None: it was.
        """
        if isinstance(request, C_ECHO) and abstract_syntax == Verification:
            echo = C_ECHO()
            echo.MessageIDBeingRespondedTo = request.MessageID
            echo.AffectedSOPClassUID = request.AffectedSOPClassUID
            echo.Status = SUCCESS
            return Response(C_ECHO_RSP, echo)
        if abstract_syntax != StorageCommitmentPushModel:
            return None
        if isinstance(request, N_ACTION):
            action = N_ACTION()
            action.MessageIDBeingRespondedTo = request.MessageID
            action.AffectedSOPClassUID = request.RequestedSOPClassUID
            action.AffectedSOPInstanceUID = request.RequestedSOPInstanceUID
            action.ActionTypeID = request.ActionTypeID
            action.Status, transaction = self.action(
                calling, address, request.ActionTypeID or 0, request.ActionInformation, syntax, problem
            )
            peer = self.admission.peer(calling, address)
            if action.Status != SUCCESS or (peer and peer[1].host and peer[1].port):
                return Response(N_ACTION_RSP, action)
            # the peer has no address to call back: it is told on the same association
            return Response(N_ACTION_RSP, action, lambda: self._report_here(transaction, syntax), transaction)
        if isinstance(request, N_EVENT_REPORT):
            report = N_EVENT_REPORT()
            report.MessageIDBeingRespondedTo = request.MessageID
            report.AffectedSOPClassUID = request.AffectedSOPClassUID
            report.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
            report.EventTypeID = request.EventTypeID
            report.Status = self.report(
                calling, address, request.EventTypeID or 0, request.EventInformation, syntax, problem
            )
            return Response(N_EVENT_REPORT_RSP, report)
        return None

    def _report_here(self, transaction_uid: str, syntax: str) -> Response:
        """The report on the association of the request; what it names may take a while to make safe."""
        outcome = self.commitment.result_of(transaction_uid)
        report = N_EVENT_REPORT()
        report.MessageID = 1
        report.AffectedSOPClassUID = StorageCommitmentPushModel
        report.AffectedSOPInstanceUID = StorageCommitmentPushModelInstance
        report.EventTypeID = outcome.event_type
        uid = UID(syntax)
        encoded = encode(outcome.information(syntax), uid.is_implicit_VR, uid.is_little_endian, uid.is_deflated)
        report.EventInformation = BytesIO(encoded or b"")
        return Response(N_EVENT_REPORT_RQ, report)

    def action(
        self,
        calling: str,
        address: str,
        action_type: int,
        encoded: BytesIO | None,
        syntax: str,
        problem: NotTaken | None = None,
    ) -> tuple[int, str]:
        """A peer asks for storage commitment (PS3.4 J.3.2): the status of the N-ACTION, and the transaction UID."""
        peer = self.admission.peer(calling, address)
        try:
            if problem is not None:
                raise problem
            if action_type != 1:
                raise NotTaken(NO_SUCH_ACTION, "asks for an action that the standard does not have")
            information = _information(encoded, syntax)
            self.commitment.request(peer[0] if peer else calling, information)
        except NotTaken as error:
            self.store.refuse(COMMITMENT, calling, "", address, f"The request {error}")
            return error.status, ""
        return SUCCESS, information.transaction_uid

    def report(
        self,
        calling: str,
        address: str,
        event_type: int,
        encoded: BytesIO | None,
        syntax: str,
        problem: NotTaken | None = None,
    ) -> int:
        """An archive reports on what we asked it to commit (PS3.4 J.3.3): the status of the N-EVENT-REPORT."""
        try:
            if problem is not None:
                raise problem
            if event_type not in (1, 2):
                raise NotTaken(NO_SUCH_EVENT, "is of an event that the standard does not have")
            self.commitment.take_report(calling, event_type, _information(encoded, syntax))
        except NotTaken as error:
            self.store.refuse(COMMITMENT, calling, "", address, f"The report {error}")
            return error.status
        return SUCCESS


def _information(encoded: BytesIO | None, syntax: str) -> Information:
    return Information() if encoded is None else read_information(encoded.getvalue(), syntax)
