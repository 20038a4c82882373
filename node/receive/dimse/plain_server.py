"""The same reception by pynetdicom alone: the setting to fall back to, and what the fast server is compared with."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, NoReturn

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.dimse_messages import C_STORE_RQ, N_EVENT_REPORT_RQ
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import negotiate_as_acceptor
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import ThreadedAssociationServer

from node.background import Loop
from node.config import DimseSettings
from node.database.states import AssociationOutcome
from node.errors import ConfigurationError
from node.network.requestor import held_bytes
from node.receive.dimse.admission import Rejection
from node.receive.dimse.associate_request import MAXIMUM_ASSOCIATE, excess, titles
from node.receive.dimse.fast_association import MAXIMUM_MESSAGE, OTHER_BYTES, PDU_S, SLOW_AFTER_S, SLOW_BYTES
from node.receive.dimse.fast_server import WATCH_S
from node.receive.dimse.messages import ASSOCIATE_RQ, INVALID_PARAMETER, NOT_SPECIFIED, abort_pdu
from node.receive.dimse.presentation_contexts import is_storage, is_verification, refusals, supported
from node.receive.dimse.services import NO_ROOM, SMALL_BYTES, Services
from node.receive.status import NotStored, Status
from node.receive.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

log = logging.getLogger(__name__)

HANDSHAKE_S = 5.0
COPY_BYTES = 2**20


class _Server(ThreadedAssociationServer):
    """pynetdicom's server with the TLS handshake in a connection's thread: in `accept` a silent client blocks all."""

    shared = False
    request_queue_size = 256

    def server_bind(self) -> None:
        if self.shared:
            assert self.socket is not None  # the constructor has made it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[Any, Any]:
        assert self.socket is not None  # it listens
        sock, address = self.socket.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.ssl_context is not None:
            sock.settimeout(HANDSHAKE_S)
            sock = self.ssl_context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            try:
                request.do_handshake()
                request.settimeout(None)
            except OSError:
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)


class _Pace:
    """How fast a connection sends: stands between pynetdicom and its socket, and counts.

    A PDU or a message that is too long, and an A-ASSOCIATE-RQ that is refused unread, end the connection here.
    """

    def __init__(
        self,
        association: Any,
        maximum_pdu_size: int,
        refuse: Callable[[bytes], Rejection | None],
        services: Services,
    ) -> None:
        self.association = association
        self._services = services
        self._has_room = False  # for a large message
        self.reports = 0  # that are not answered: one at a time was agreed, and pynetdicom starts a thread for each
        self._maximum, self._refuse = MAXIMUM_ASSOCIATE, refuse
        self._maximum_later = max(MAXIMUM_ASSOCIATE, maximum_pdu_size)
        self._first = True  # PDU
        self._head = b""  # of the PDU that is being read
        self.cut = ""  # why it was ended
        self._connection = association.dul.socket
        self._recv = self._connection.recv
        self._connection.recv = self.recv
        self._reading_since: float | None = None
        self._received = 0
        self._message: object | None = None  # the one that is arriving, since when and at which count
        self._message_since = 0.0
        self._message_from = 0

    def recv(self, count: int) -> bytearray:
        """What pynetdicom asks for: it does so when a PDU has begun, and waits for all of it.

        Raises
        ------
        ConnectionError
            If the connection is not gone on with.
        """
        head, self._head = self._head, b""
        if head and count > self._maximum:
            self._last_word(abort_pdu(INVALID_PARAMETER))
        self._reading_since = time.monotonic()
        data: bytearray = self._recv(count)
        self._received += len(data)
        self._reading_since = None
        if not head:
            self._head = bytes(data)
            return data
        if head[0] == ASSOCIATE_RQ and self._first:
            try:
                rejection = self._refuse(bytes(data))
            except ValueError:
                self._last_word(abort_pdu(INVALID_PARAMETER))
            if rejection is not None:
                self._last_word(rejection.pdu())
        self._first, self._maximum = False, self._maximum_later
        if self._message_is_endless():
            self.cut = "Message too long"
            self._last_word(abort_pdu(INVALID_PARAMETER))
        if not self._takes_room() or self.reports > 1:
            self.cut = f"A message {NO_ROOM}"
            self._last_word(abort_pdu(NOT_SPECIFIED))
        return data

    def _takes_room(self) -> bool:
        """Whether there is room for what has come of a message; an instance needs none, it has a limit of its own."""
        message = self.association.dimse.message
        if message is None or isinstance(message, C_STORE_RQ):
            return True
        if self._has_room or held_bytes(message) <= SMALL_BYTES:
            return True
        self._has_room = self._services.take_room()
        return self._has_room

    def give_back(self) -> None:
        """Give the room of a message back: it has been answered, or nobody waits for that."""
        had, self._has_room = self._has_room, False
        if had:
            self._services.give_room_back()

    def _message_is_endless(self) -> bool:
        """Whether pynetdicom holds more of a message than any is long; an instance has a limit of its own."""
        message = self.association.dimse.message
        return message is not None and not isinstance(message, C_STORE_RQ) and held_bytes(message) > MAXIMUM_MESSAGE

    def _last_word(self, pdu: bytes) -> NoReturn:
        self._connection.send(pdu)
        raise ConnectionError("ended by the node")

    def problem(self, now: float, association_timeout_s: float) -> str:
        """Why the connection is too slow to go on with; empty while it is not."""
        established = self.association.is_established
        since, limit = self._reading_since, PDU_S if established else association_timeout_s
        if since is not None and now > since + limit:
            return "Silent for too long" if established else "No A-ASSOCIATE-RQ in time"
        message = self.association.dimse.message
        if message is not self._message:
            self._message, self._message_since, self._message_from = message, now, self._received
        arrived = self._received - self._message_from
        slowest = SLOW_BYTES if isinstance(message, C_STORE_RQ) else OTHER_BYTES
        if message is not None and now > self._message_since + SLOW_AFTER_S + arrived / slowest:
            return "The sender is too slow"
        return ""

    def end(self, reason: str) -> None:
        """End the connection; pynetdicom notices by itself."""
        self.cut = reason
        with contextlib.suppress(OSError, AttributeError):
            socket.socket.shutdown(self._connection.socket, socket.SHUT_RDWR)


class PlainServer:
    """Has the face of `node.receive.dimse.fast_server.FastServer`.

    Parameters
    ----------
    settings
        Limits and timeouts.
    services
        What the node does for a peer.
    tls
        For a TLS port; None: plain.
    port
        Where to listen; 0: any that is free.
    """

    def __init__(self, settings: DimseSettings, services: Services, tls: ssl.SSLContext | None, port: int) -> None:
        self._services = services
        # every event is otherwise logged at length, values of the data sets included
        _config.LOG_HANDLER_LEVEL = "none"
        ae = AE()
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = settings.maximum_pdu_size
        ae.maximum_associations = 10 * settings.maximum_associations  # ours is counted at the request
        ae.acse_timeout = settings.association_timeout_s
        ae.network_timeout = settings.idle_timeout_s
        server = type("_SharedServer", (_Server,), {"shared": settings.processes > 1})
        self._paces: dict[Any, _Pace] = {}
        self._maximum_pdu_size = settings.maximum_pdu_size
        self._association_timeout_s = settings.association_timeout_s
        self._watchdog = Loop("end of slow associations", self._end_slow, every_s=WATCH_S)
        handlers = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_SOP_COMMON, self._service_of_unknown_classes),
            (evt.EVT_ASYNC_OPS, lambda event: (1, 1)),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._action),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_DIMSE_RECV, self._count),
            (evt.EVT_RELEASED, self._ended, [AssociationOutcome.RELEASED]),
            (evt.EVT_ABORTED, self._ended, [AssociationOutcome.ABORTED]),
            (evt.EVT_CONN_CLOSE, self._ended, [AssociationOutcome.LOST]),
        ]
        try:
            self._server = server(ae, (settings.host, port), "ANY", [], tls, handlers)
        except OSError as error:
            message = f"receive.dimse: cannot listen on {settings.host} port {port}: {error.strerror}"
            raise ConfigurationError(message) from error
        ae._servers.append(self._server)
        self._ae = ae

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.socket.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="accept", daemon=True)
        self._thread.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Accept no more and end what is open."""
        self._server.shutdown()
        self._ae.shutdown()
        self._watchdog.stop()

    def problem(self) -> str | None:
        """Why it does not accept, or does not end what is slow; None if it does."""
        return self._watchdog.problem() if self._thread.is_alive() else "no association is accepted"

    def _opened(self, event: Any) -> None:
        address = str(event.assoc.requestor.address)
        self._paces[event.assoc] = _Pace(
            event.assoc, self._maximum_pdu_size, lambda body: self._refused_unread(body, address), self._services
        )

    def _refused_unread(self, body: bytes, address: str) -> Rejection | None:
        """Why an A-ASSOCIATE-RQ is refused before it is decoded; it is recorded."""
        calling, called = titles(body)
        rejection = self._services.admission.stranger(calling, called, address) or excess(body)
        if rejection is not None:
            self._services.store.refuse("dimse", calling, called, address, rejection.reason)
        return rejection

    def _end_slow(self) -> None:
        """End what is too slow, as the fast server does."""
        now = time.monotonic()
        for association, pace in list(self._paces.items()):
            if not association.dul.is_alive() and association.ident is not None and not association.is_alive():
                self._paces.pop(association, None)
                pace.give_back()
            elif not pace.cut and (reason := pace.problem(now, self._association_timeout_s)):
                pace.end(reason)

    def _requested(self, event: Any) -> None:
        """Admission, and what is supported of what was proposed."""
        association = event.assoc
        request = association.requestor.primitive
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        address = str(association.requestor.address)
        slot = self._services.admission.enter(calling, called, address)
        if isinstance(slot, Rejection):
            self._services.store.refuse("dimse", calling, called, address, slot.reason)
            association.acse.send_reject(slot.result, slot.source, slot.diagnostic)
            association.is_rejected = True
            association.kill()
            return
        association.condyle_place = slot
        proposed = request.presentation_context_definition_list
        ours = association.acceptor.supported_contexts = supported(proposed)
        refused = refusals(proposed, negotiate_as_acceptor(proposed, ours)[0])  # as pynetdicom is about to decide
        association.condyle_arrival = None
        if refused or not is_verification(proposed):
            association.condyle_arrival = self._services.store.open("dimse", calling, called, address, refused)

    def _service_of_unknown_classes(self, event: Any) -> dict[Any, Any]:
        """Tell pynetdicom that a class it does not know is storage; else it aborts at the first C-STORE."""
        known = {}
        for context in event.assoc.requestor.primitive.presentation_context_definition_list:
            uid = context.abstract_syntax
            if is_storage(uid) and uid_to_service_class(uid) is not StorageServiceClass:
                item = SOPClassCommonExtendedNegotiation()
                item.sop_class_uid = uid
                item.service_class_uid = StorageServiceClass.uid
                known[uid] = item
        return known

    def _store(self, event: Any) -> Any:
        request, context = event.request, event.context
        incoming = self._services.begin(
            event.assoc.condyle_arrival,
            str(context.abstract_syntax),
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(context.transfer_syntax),
        )
        try:
            with request.DataSet.getbuffer() as data:
                for start in range(0, len(data), COPY_BYTES):
                    incoming.write(data[start : start + COPY_BYTES])
            incoming.commit()
        except NotStored as error:
            return _failure(error)
        return int(Status.SUCCESS)

    def _action(self, event: Any) -> tuple[int, None]:
        calling = str(event.assoc.requestor.ae_title).strip()
        address = str(event.assoc.requestor.address)
        encoded, syntax = event.request.ActionInformation, str(event.context.transfer_syntax)
        with self._reading(event.assoc, encoded):
            return self._services.action(calling, address, event.action_type, encoded, syntax)[0], None

    def _report(self, event: Any) -> tuple[int, None]:
        calling = str(event.assoc.requestor.ae_title).strip()
        address = str(event.assoc.requestor.address)
        encoded, syntax = event.request.EventInformation, str(event.context.transfer_syntax)
        try:
            with self._reading(event.assoc, encoded):
                return self._services.report(calling, address, event.event_type, encoded, syntax), None
        finally:
            if (pace := self._paces.get(event.assoc)) is not None:
                pace.reports -= 1

    def _count(self, event: Any) -> None:
        """A message is here."""
        pace = self._paces.get(event.assoc)
        if pace is not None and isinstance(event.message, N_EVENT_REPORT_RQ):
            pace.reports += 1

    @contextlib.contextmanager
    def _reading(self, association: Any, encoded: BytesIO | None) -> Iterator[None]:
        """Around the answer to a message of storage commitment."""
        try:
            with self._services.reading(encoded.getbuffer().nbytes if encoded else 0):
                yield
        finally:
            if (pace := self._paces.get(association)) is not None:
                pace.give_back()

    def _ended(self, event: Any, outcome: Any) -> None:
        """Whichever of released, aborted and connection closed comes first."""
        association = event.assoc
        slot = association.__dict__.pop("condyle_place", None)
        if slot is None:
            return
        slot.leave()
        pace = self._paces.get(association)
        arrival = association.__dict__.pop("condyle_arrival", None)
        if arrival is not None and pace is not None and pace.cut:
            arrival.close(AssociationOutcome.CUT, pace.cut)
        elif arrival is not None:
            arrival.close(outcome)


def _failure(error: NotStored) -> Any:
    status = Dataset()
    status.Status = int(error.status)
    status.ErrorComment = error.reason
    return status
