"""The C-STORE path that is as fast as C++: a thread per association, PDVs from one reused buffer to the file.

pynetdicom negotiates (its PDU classes, `negotiate_as_acceptor`) and speaks every service but C-STORE (its DIMSE
messages); this module reads P-DATA itself, because pynetdicom copies each byte five times, builds several pydicom data
sets per message, and polls in 1 ms sleeps in two threads per association. What an association may do, what is
answered and what is on disk afterwards is the same as in `node.receive.dimse.plain_server`; a test runs one script
against both.

A watchdog ends what is silent or too slow by shutting its socket down, so that no read carries a timeout of its own.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import socket
import ssl
import threading
import time
from typing import Any, Protocol

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from node.config import DimseSettings
from node.database.states import AssociationOutcome
from node.network.commitment_information import MAXIMUM_BYTES, RESOURCE_LIMITATION, TOO_LONG, NotTaken
from node.receive.dimse.admission import Rejection, Slot
from node.receive.dimse.associate_request import MAXIMUM_ASSOCIATE, excess, titles
from node.receive.dimse.messages import (
    ABORT,
    ASSOCIATE_RQ,
    C_CANCEL_RQ,
    C_STORE_RQ,
    INVALID_PARAMETER,
    MALFORMED,
    N_EVENT_REPORT_RSP,
    NOT_SPECIFIED,
    P_DATA_PDU,
    PDU,
    PDV,
    RELEASE_RESPONSE,
    RELEASE_RQ,
    UNEXPECTED_PDU,
    UNRECOGNISED_PDU,
    Abort,
    CommandSet,
    abort_pdu,
    decode_message,
    store_response,
)
from node.receive.dimse.presentation_contexts import is_verification, refusals, supported
from node.receive.dimse.services import NO_ROOM, SMALL_BYTES, Response, Services
from node.receive.status import NotStored, Status
from node.receive.store.incoming import Arrival, Incoming, TooLarge
from node.receive.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PDU_HEAD = 6
FIRST_BUFFER = 16 * 1024  # until there is an association
BUFFER = 2**18 + 64  # for one: two PDUs of the usual size at a time; more than the processor caches is slower
GATHERED = 256  # fragments to one write
MAXIMUM_COMMAND = 64 * 1024
MAXIMUM_MESSAGE = 4 * MAXIMUM_BYTES  # the data set of an N-ACTION or N-EVENT-REPORT; a fourth of it is answered
PDU_S = 30.0  # a PDU that has begun must end within this: 128 kB at 4 kB/s
SLOW_AFTER_S = 60.0  # an instance must be here after this long and a second per SLOW_BYTES
SLOW_BYTES = 1024
OTHER_BYTES = 32 * 1024  # the same for any other message: while it comes in, it takes room from the others
LINGER_S = 1.0  # for the peer to close after our last word
LINGER_BYTES = 4 * 2**20


class Server(Protocol):
    """What an association needs of the server that accepted it."""

    settings: DimseSettings
    services: Services
    tls: ssl.SSLContext | None

    def stores(self, abstract_syntax: str) -> bool:
        """Whether C-STORE belongs to that class."""

    def ended(self, association: Association) -> None:
        """An association is over."""


class _Ended(Exception):
    """The connection is over; carries how."""

    def __init__(self, outcome: AssociationOutcome, reason: str = "") -> None:
        super().__init__(reason)
        self.outcome: AssociationOutcome = outcome
        self.reason = reason


class Association(threading.Thread):
    """One connection, from its first byte to its last.

    Parameters
    ----------
    server
        The server that accepted the connection.
    sock
        The connection; the association closes it.
    address
        IP address of the peer.
    """

    def __init__(self, server: Server, sock: socket.socket, address: str) -> None:
        super().__init__(name=f"association {address}", daemon=True)
        self.deadline = time.monotonic() + server.settings.association_timeout_s
        self.established = False
        self._server = server
        self._services = server.services
        self._socket = sock
        self._address = address
        self._cut: str = ""
        self._buffer = memoryview(bytearray(FIRST_BUFFER))
        self._start = self._end = 0  # of what has been read and not been taken yet
        self._tls = server.tls is not None
        self._gathered: list[memoryview] = []  # fragments of the instance that lie in the buffer
        self._syntaxes: dict[int, str] = {}
        self._classes: dict[int, str] = {}
        self._arrival: Arrival | None = None
        self._peer_maximum = 0
        self._incoming: Incoming | None = None
        self._command = bytearray()
        self._request: CommandSet | None = None
        self._data = _Data(self._services)
        self._context_id = 0
        self._message_deadline = 0.0
        self._calling = ""
        self._reported = ""  # transaction UID of a commitment report that waits for its response

    # ------------------------------------------------------------ life

    def run(self) -> None:
        """Serve the connection until it ends; whatever happens, nothing stays open."""
        slot = None
        outcome: AssociationOutcome = AssociationOutcome.LOST
        reason = ""
        try:
            self._handshake()
            slot = self._associate()
            if slot is not None:
                self._serve()
        except _Ended as end:
            outcome, reason = end.outcome, end.reason
        except Abort as abort:
            outcome, reason = AssociationOutcome.ABORTED, abort.reason
            self._say_abort(abort.code)
        except (OSError, EOFError, ValueError) as error:  # ValueError: TLS on a socket that was shut down
            outcome, reason = AssociationOutcome.LOST, type(error).__name__
        finally:
            if (
                self._cut and outcome == AssociationOutcome.LOST
            ):  # else it had ended, and the peer did not close after our last word
                outcome, reason = AssociationOutcome.CUT, self._cut
            with contextlib.ExitStack() as ending:  # each of them, whatever becomes of the others; the last comes first
                ending.callback(self._server.ended, self)
                if slot is not None:
                    ending.callback(slot.leave)
                ending.callback(self._close)
                if self._arrival is not None:
                    ending.callback(self._arrival.close, outcome, reason)
                if self._incoming is not None:
                    ending.callback(self._incoming.discard)
                ending.callback(self._data.clear)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def cut(self, reason: str) -> None:
        """End the connection from another thread."""
        self._cut = self._cut or reason
        with contextlib.suppress(OSError):
            # not SSLSocket.shutdown, which takes the TLS state away from under the reading thread
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _handshake(self) -> None:
        """TLS in this thread and under the watchdog: in `accept` a silent client would block every other."""
        context = self._server.tls
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if context is not None:
            if not self._socket.recv(1, socket.MSG_PEEK):  # a health check that only connects is no failed handshake
                raise EOFError
            try:
                wrapped = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
                self._socket = wrapped
                wrapped.do_handshake()
            except ssl.SSLError as error:
                self._services.store.refuse("dimse", "", "", self._address, f"TLS: {error.reason or 'failed'}")
                raise

    def _linger(self) -> None:
        """Let the peer read our last word: closing with unread data would reset the connection under it."""
        self.deadline = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError, ValueError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            scratch, seen = bytearray(65536), 0
            while seen < LINGER_BYTES and (count := self._socket.recv_into(scratch)):
                seen += count

    def _say_abort(self, code: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.deadline = time.monotonic() + LINGER_S
            self._socket.sendall(abort_pdu(code))
            self._linger()

    # ------------------------------------------------------------ bytes

    def _need(self, count: int) -> memoryview:
        """The next `count` bytes; more is read along as far as it is there, so that one read brings several PDUs.

        What `_take_data` has gathered is written first, for reading may move or replace the bytes.
        """
        if self._end - self._start < count:
            self._read(count)
        return self._buffer[self._start : self._start + count]

    def _read(self, count: int) -> None:
        self._write_gathered()
        have = self._end - self._start
        if self._start + count > len(self._buffer) or not have:
            rest = bytes(self._buffer[self._start : self._end])
            if count > len(self._buffer):
                self._buffer = memoryview(bytearray(count))
            self._buffer[:have] = rest
            self._start, self._end = 0, have
        if have and not self._tls:
            with contextlib.suppress(BlockingIOError):  # what is there already, with what follows
                self._end += self._socket.recv_into(self._buffer[self._end :], 0, socket.MSG_DONTWAIT)
        flags = socket.MSG_WAITALL if have and not self._tls else 0
        while (missing := count - (self._end - self._start)) > 0:
            space = self._buffer[self._end :]
            more = self._socket.recv_into(space[:missing] if flags else space, 0, flags)
            if not more:
                raise EOFError
            self._end += more
            # SO_RCVLOWAT would save this second read, and loses a wake-up when part of it has been taken already
            flags = 0 if self._tls else socket.MSG_WAITALL

    def _next(self, maximum: int) -> tuple[int, memoryview]:
        """Type and body of the next PDU; the body is good until the next call."""
        kind, _, length = PDU.unpack(self._need(PDU_HEAD))
        self.deadline = time.monotonic() + (PDU_S if self.established else self._server.settings.association_timeout_s)
        if not ASSOCIATE_RQ <= kind <= ABORT:
            raise Abort(UNRECOGNISED_PDU, "Unrecognised PDU")
        if length > maximum:
            raise Abort(INVALID_PARAMETER, "PDU longer than negotiated")
        whole = self._need(PDU_HEAD + length)
        self._start += PDU_HEAD + length
        return kind, whole[PDU_HEAD:]

    # ------------------------------------------------------------ association

    def _associate(self) -> Slot | None:
        """Negotiate; the slot taken, or None where the association was refused (and that was recorded)."""
        kind, body = self._next(MAXIMUM_ASSOCIATE)
        if kind == ABORT:
            raise _Ended(AssociationOutcome.ABORTED)
        if kind != ASSOCIATE_RQ:
            raise Abort(UNEXPECTED_PDU, "No A-ASSOCIATE-RQ")
        try:
            calling, called = titles(body)
            rejection = self._services.admission.stranger(calling, called, self._address) or excess(body)
            if rejection is not None:
                self._refuse(rejection, calling, called)
                return None
            pdu = A_ASSOCIATE_RQ()
            pdu.decode(PDU.pack(kind, 0, len(body)) + bytes(body))
            request = pdu.to_primitive()
            proposed = request.presentation_context_definition_list
            roles = _roles(request)
            results, role_answers = negotiate_as_acceptor(proposed, supported(proposed), roles)
            peer_maximum = int(request.maximum_length_received or 0)
            acceptance = self._acceptance(request, results, role_answers)
        except MALFORMED as error:
            raise Abort(INVALID_PARAMETER, "A-ASSOCIATE-RQ cannot be read") from error
        slot = self._services.admission.enter(calling, called, self._address)
        if isinstance(slot, Rejection):
            self._refuse(slot, calling, called)
            return None
        try:
            refused = refusals(proposed, results)
            if refused or not is_verification(proposed):
                self._arrival = self._services.store.open("dimse", calling, called, self._address, refused)
            self._calling = calling
            self._peer_maximum = peer_maximum
            self._socket.sendall(acceptance)
            for context in results:
                if context.result == 0 and context.context_id is not None:
                    self._syntaxes[context.context_id] = str(context.transfer_syntax[0])
                    self._classes[context.context_id] = str(context.abstract_syntax)
        except BaseException:
            slot.leave()
            raise
        self.established = True
        rest = bytes(self._buffer[self._start : self._end])
        size = max(BUFFER, self._server.settings.maximum_pdu_size + PDU_HEAD, len(rest))
        # straight from the system: memory only for what is used of it, and all of it back at the end
        self._buffer = memoryview(mmap.mmap(-1, size))
        self._buffer[: len(rest)] = rest
        self._start, self._end = 0, len(rest)
        return slot

    def _refuse(self, rejection: Rejection, calling: str, called: str) -> None:
        self._services.store.refuse("dimse", calling, called, self._address, rejection.reason)
        self._socket.sendall(rejection.pdu())
        self._linger()

    def _acceptance(
        self,
        request: A_ASSOCIATE,
        results: list[PresentationContext],
        roles: list[SCP_SCU_RoleSelectionNegotiation],
    ) -> bytes:
        maximum = MaximumLengthNotification()
        maximum.maximum_length_received = self._server.settings.maximum_pdu_size
        implementation = ImplementationClassUIDNotification()
        implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        version = ImplementationVersionNameNotification()
        version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        items: list[Any] = [maximum, implementation, version, *roles]
        if any(isinstance(item, AsynchronousOperationsWindowNegotiation) for item in request.user_information):
            window = AsynchronousOperationsWindowNegotiation()  # without it a peer takes the window to be unlimited
            window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 1
            items.append(window)
        answer = A_ASSOCIATE()
        answer.application_context_name = request.application_context_name
        answer.calling_ae_title, answer.called_ae_title = request.calling_ae_title, request.called_ae_title
        answer.result, answer.result_source = 0, 1
        answer.presentation_context_definition_results_list = results
        answer.user_information = items
        pdu = A_ASSOCIATE_AC()
        pdu.from_primitive(answer)
        encoded: bytes = pdu.encode()
        return encoded

    # ------------------------------------------------------------ messages

    def _serve(self) -> None:
        maximum = self._server.settings.maximum_pdu_size
        idle_s = self._server.settings.idle_timeout_s
        while True:
            self.deadline = time.monotonic() + idle_s
            try:
                kind, body = self._next(maximum)
            except EOFError:
                raise _Ended(AssociationOutcome.LOST, "The peer closed the connection") from None
            if kind == P_DATA_PDU:
                self._take(body)
            elif kind == RELEASE_RQ:
                if self._incoming is not None or self._request is not None or self._command:
                    raise Abort(UNEXPECTED_PDU, "Release in the middle of a message")
                self._socket.sendall(RELEASE_RESPONSE)
                self._linger()
                raise _Ended(AssociationOutcome.RELEASED)
            elif kind == ABORT:
                raise _Ended(AssociationOutcome.ABORTED, "The peer aborted")
            else:
                raise Abort(UNEXPECTED_PDU, "A PDU that does not belong in an association")

    def _take(self, body: memoryview) -> None:
        """The PDVs of one P-DATA-TF (PS3.8 9.3.5)."""
        length, position = len(body), 0
        if length < 6:
            raise Abort(INVALID_PARAMETER, "P-DATA-TF without PDV")
        while position < length:
            if position + 6 > length:
                raise Abort(INVALID_PARAMETER, "PDV cut short")
            size, context_id, flags = PDV.unpack_from(body, position)
            end = position + 4 + size
            if size < 2 or end > length:
                raise Abort(INVALID_PARAMETER, "PDV length does not fit its PDU")
            if context_id not in self._syntaxes:
                raise Abort(INVALID_PARAMETER, "Presentation context was not accepted")
            fragment = body[position + 6 : end]
            position = end
            if flags & 1:
                self._take_command(context_id, fragment, last=bool(flags & 2))
            else:
                self._take_data(context_id, fragment, last=bool(flags & 2))

    def _take_command(self, context_id: int, fragment: memoryview, last: bool) -> None:
        if self._request is not None or (self._command and context_id != self._context_id):
            raise Abort(UNEXPECTED_PDU, "A command inside another message")
        self._context_id = context_id
        self._command += fragment
        if len(self._command) > MAXIMUM_COMMAND:
            raise Abort(INVALID_PARAMETER, "Command set too long")
        if not last:
            return
        request = CommandSet(bytes(self._command))
        self._command.clear()
        if request.field == C_STORE_RQ and self._server.stores(self._classes[context_id]):
            self._begin_store(context_id, request)
        elif request.has_data:
            self._request = request
            self._message_deadline = time.monotonic() + SLOW_AFTER_S
        else:
            self._answer_other(context_id, request)

    def _begin_store(self, context_id: int, request: CommandSet) -> None:
        arrival = self._arrival
        assert arrival is not None  # set when the association was accepted
        if not request.has_data:
            error = NotStored(Status.CANNOT_UNDERSTAND, "C-STORE without a data set")
            arrival.failure(request.sop_instance_uid, error)
            self._answer_store(context_id, request, error)
            return
        self._request = request
        self._message_deadline = time.monotonic() + SLOW_AFTER_S
        self._incoming = self._services.begin(
            arrival,
            self._classes[context_id],
            request.sop_class_uid,
            request.sop_instance_uid,
            self._syntaxes[context_id],
        )

    def _take_data(self, context_id: int, fragment: memoryview, last: bool) -> None:
        if self._request is None or context_id != self._context_id:
            raise Abort(UNEXPECTED_PDU, "Data without its command")
        incoming = self._incoming
        if incoming is None:
            self.deadline = math.inf  # it may wait for room
            self._data.add(fragment)
            if last:
                request, self._request = self._request, None
                try:
                    self._answer_other(context_id, request)
                finally:
                    self._data.clear()
            elif time.monotonic() > self._message_deadline + self._data.size / OTHER_BYTES:
                raise _Ended(AssociationOutcome.CUT, "The sender is too slow")
            return
        self._gathered.append(fragment)
        if last or len(self._gathered) == GATHERED:
            self._write_gathered()
        if last:
            self._incoming = None
            request, self._request = self._request, None
            problem = None
            try:
                incoming.commit()
            except NotStored as error:
                problem = error
            self._answer_store(context_id, request, problem)
        elif time.monotonic() > self._message_deadline + incoming.size / SLOW_BYTES:
            raise _Ended(AssociationOutcome.CUT, "The sender is too slow")

    def _write_gathered(self) -> None:
        """Write what has been gathered of the instance, with one system call."""
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, []
        incoming = self._incoming
        assert incoming is not None  # it is set to None only after this was called
        try:
            incoming.write(*gathered)
        except TooLarge as error:
            assert self._arrival is not None
            self._arrival.failure(incoming.sop_instance_uid, error)
            raise Abort(NOT_SPECIFIED, error.reason) from error

    def _answer_store(self, context_id: int, request: CommandSet, problem: NotStored | None) -> None:
        self._socket.sendall(store_response(context_id, request, problem))

    def _answer_other(self, context_id: int, request: CommandSet) -> None:
        """Everything but C-STORE, by pynetdicom's own messages."""
        data = self._data
        self.deadline = math.inf  # while the node works; what it takes is bounded by what a message may hold
        if request.field == N_EVENT_REPORT_RSP and self._reported:
            transaction, self._reported = self._reported, ""
            self._services.commitment.reported(transaction, request.status)
            return
        if request.field == C_CANCEL_RQ or request.field & 0x8000:
            return  # nothing to cancel, and nothing asked
        try:
            with self._services.reading(data.size):
                primitive = decode_message(context_id, request.raw, data.content() if request.has_data else None)
                response = self._services.serve(
                    primitive,
                    self._classes[context_id],
                    self._syntaxes[context_id],
                    self._calling,
                    self._address,
                    data.problem,
                )
                del primitive
        except MALFORMED as error:
            raise Abort(INVALID_PARAMETER, "The message cannot be read") from error
        if response is None:
            raise Abort(NOT_SPECIFIED, "The service is not offered")
        self._send(context_id, response)
        if response.then is not None:
            self.deadline = math.inf
            self._reported = response.subject
            self._send(context_id, response.then())

    def _send(self, context_id: int, response: Response) -> None:
        message = response.message()
        message.primitive_to_message(response.primitive)
        # a report is about as long as its request
        end = time.monotonic() + SLOW_AFTER_S + self._data.size / OTHER_BYTES
        for part in message.encode_msg(context_id, self._peer_maximum):
            pdu = P_DATA_TF()
            pdu.from_primitive(part)
            self.deadline = min(time.monotonic() + PDU_S, end)
            self._socket.sendall(pdu.encode())


class _Data:
    """The data set of a message that is no C-STORE, as it comes in: in the room that all associations share."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._taken = False  # whether it has room for all that it may become
        self._kept: mmap.mmap | None = None  # straight from the system, which gets all of it back
        self.size = 0
        self.problem: NotTaken | None = None

    def add(self, fragment: memoryview) -> None:
        """Keep what comes next; where it finds no room, or is too long, it is only counted from then on."""
        self.size += len(fragment)
        if self.size > MAXIMUM_MESSAGE:
            raise Abort(INVALID_PARAMETER, "Message too long")
        if self.problem is not None:
            return
        if self.size > MAXIMUM_BYTES:
            self._give_up(TOO_LONG)
        elif self.size > SMALL_BYTES and not self._taken and not self._services.take_room():
            self._give_up(NO_ROOM)
        else:
            self._taken = self._taken or self.size > SMALL_BYTES
            if self._kept is None:
                self._kept = mmap.mmap(-1, MAXIMUM_BYTES)
            self._kept.write(fragment)

    def content(self) -> bytes:
        """All of it, once; nothing where there is a problem. Its room stays taken, for what is made of it."""
        if self._kept is None:
            return b""
        with self._kept as kept:
            self._kept = None
            return kept[: self.size]

    def clear(self) -> None:
        """Forget it, and give its room back: the message has been answered, or nobody waits for that."""
        self._free()
        self.size, self.problem = 0, None

    def _give_up(self, reason: str) -> None:
        self.problem = NotTaken(RESOURCE_LIMITATION, reason)
        self._free()

    def _free(self) -> None:
        if self._kept is not None:
            self._kept.close()
        if self._taken:
            self._services.give_room_back()
        self._kept, self._taken = None, False


def _roles(request: A_ASSOCIATE) -> dict[Any, tuple[Any, Any]]:
    return {
        item.sop_class_uid: (item.scu_role, item.scp_role)
        for item in request.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }
