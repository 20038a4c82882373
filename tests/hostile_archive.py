"""A peer that accepts every association and then does what a test tells it to, on a socket of its own."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from types import TracebackType

from pynetdicom.dimse_messages import C_FIND_RSP
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification

from node.network.sop_classes import StudyRootQueryRetrieveInformationModelFind

P_DATA, RELEASE_RQ, ABORT = 4, 5, 7
RELEASE_ANSWER = b"\6\0\0\0\0\4\0\0\0\0"
DRIP = b"\4\0\0\1\0\0"  # a P-DATA-TF of 65,536 bytes, of which each takes its time
DRIP_S = 0.02

Does = Callable[[socket.socket], None]


class HostileArchive:
    """Listens as long as the context lasts; `does` is called with each connection, in a thread of its own.

    Parameters
    ----------
    does
        What happens on a connection; that it is closed by the other side ends it.
    receive_buffer
        Bytes that lie unread at most, where the peer is to wait.
    """

    def __init__(self, does: Does, receive_buffer: int = 0) -> None:
        self._does = does
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        self.ended = 0

    def __enter__(self) -> HostileArchive:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def opened(self) -> int:
        """How many connections there were."""
        return len(self._connections)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError):
            self._does(connection)
        self.ended += 1


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Type and body of the next PDU."""
    kind, _, length = struct.unpack(">BBL", _read(connection, 6))
    return kind, _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(min(count - len(data), 4096))
        if not more:
            raise EOFError
        data += more
    return data


def acceptance(connection: socket.socket) -> bytes:
    """The answer to an A-ASSOCIATE-RQ that takes all that is proposed."""
    kind, body = read_pdu(connection)
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(struct.pack(">BBL", kind, 0, len(body)) + body)
    answer: A_ASSOCIATE = pdu.to_primitive()
    results = answer.presentation_context_definition_list
    for context in results:
        context.result, context.transfer_syntax = 0, [*context.transfer_syntax[:1]]
    answer.presentation_context_definition_results_list = results
    maximum = MaximumLengthNotification()
    maximum.maximum_length_received = 16384
    answer.user_information = [maximum]
    answer.result, answer.result_source = 0, 1
    accepted = A_ASSOCIATE_AC()
    accepted.from_primitive(answer)
    encoded: bytes = accepted.encode()
    return encoded


def accept(connection: socket.socket) -> None:
    """Take the association."""
    connection.sendall(acceptance(connection))


def drip(connection: socket.socket, first: bytes = DRIP) -> None:
    """Send the beginning of something, and then a byte now and then, without end."""
    connection.sendall(first)
    while True:
        connection.sendall(b"\0")
        time.sleep(DRIP_S)


def pending(filler: int = 0) -> bytes:
    """One of many answers to C-FIND, a whole message; with so many bytes of nothing."""
    primitive = C_FIND()
    primitive.MessageIDBeingRespondedTo = 1
    primitive.AffectedSOPClassUID = StudyRootQueryRetrieveInformationModelFind
    primitive.Status = 0xFF00
    level = struct.pack("<HHL", 0x0008, 0x0052, 6) + b"STUDY "
    name = struct.pack("<HHL", 0x0010, 0x0010, filler) + bytes(filler)
    primitive.Identifier = BytesIO(level + (name if filler else b""))
    message = C_FIND_RSP()
    message.primitive_to_message(primitive)
    encoded = b""
    for part in message.encode_msg(1, 16384):
        pdu = P_DATA_TF()
        pdu.from_primitive(part)
        encoded += pdu.encode()
    return encoded


def then(does: Does) -> Does:
    """What happens once the association was accepted and a question has begun."""

    def served(connection: socket.socket) -> None:
        accept(connection)
        while read_pdu(connection)[0] != P_DATA:
            pass
        does(connection)

    return served


def flood(connection: socket.socket, message: bytes) -> None:
    """Send the same without end."""
    while True:
        connection.sendall(message)
