"""What everything that opens an association shares: limits, and what pynetdicom needs to be quick and quiet."""

from __future__ import annotations

import socket
from contextlib import suppress
from io import BytesIO
from typing import Any

from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.transport import AssociationSocket

_config.LOG_HANDLER_LEVEL = "none"  # its own log of events quotes data sets
# texts that are made for its log, whether that is kept or not
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

ACSE_TIMEOUT_S, CONNECT_TIMEOUT_S = 30.0, 10.0
MAXIMUM_PDU_SIZE = 131072
LARGEST_MESSAGE = 64 * 1024  # bytes of an answer of a peer; an honest one has some hundred
QUEUED_MESSAGES, QUEUED_BYTES = 64, 2**20  # of an association, that wait to be taken


def _close_socket(connection: AssociationSocket) -> None:
    """Close the socket of an association, also one that was never connected: pynetdicom 3.0 leaves that open."""
    opened = connection.socket
    if opened is not None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()


AssociationSocket._shutdown_socket = _close_socket  # type: ignore[method-assign, assignment]

_get_msg = DIMSEServiceProvider.get_msg


def _get_unless_awaited(self: DIMSEServiceProvider, block: bool = False) -> Any:
    """The next message; for the reactor, which does not wait for it, none while a request waits for its answer.

    pynetdicom 3.0 pauses its reactor during a request. A reactor that is just waking up looks paused already; it would
    then take the answer and drop it, and the request would wait until its time is up. The queue's lock makes it sure:
    an answer that is in the queue came after its request, and that after the pause.
    """
    if block:
        return _get_msg(self, block)
    with self.msg_queue.mutex:
        if not self.assoc._reactor_checkpoint.is_set() or not self.msg_queue.queue:
            return None, None
        return self.msg_queue.queue.popleft()


DIMSEServiceProvider.get_msg = _get_unless_awaited  # type: ignore[method-assign]

_is_ready: Any = AssociationSocket.ready


def _is_ready_unless_full(self: AssociationSocket) -> bool:
    """Whether there is something to read, and room for it: pynetdicom 3.0 queues all that a peer sends, taken or not.

    Where messages wait, the rest waits in the network, and the peer with it.
    """
    waiting = self.assoc.dimse.msg_queue
    if waiting.queue and not getattr(self, "condyle_cut", False):
        with waiting.mutex:
            messages = [message for _, message in waiting.queue if message is not None]
        if len(messages) >= QUEUED_MESSAGES or sum(map(_carried_bytes, messages)) >= QUEUED_BYTES:
            return False
    ready: bool = _is_ready.fget(self)
    return ready


def _carried_bytes(primitive: Any) -> int:
    """The bytes of what a message carries with it."""
    return sum(part.getbuffer().nbytes for part in vars(primitive).values() if isinstance(part, BytesIO))


AssociationSocket.ready = property(_is_ready_unless_full)  # type: ignore[method-assign, assignment]


def no_delay(event: evt.Event) -> None:
    """Send small packets at once: else the kernel holds back the end of each object for the peer's ACK, 40 ms."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def held_bytes(message: DIMSEMessage) -> int:
    """How much pynetdicom holds of a message that is coming in."""
    parts = (message.encoded_command_set, message.data_set)
    return sum(part.getbuffer().nbytes for part in parts if part is not None)


def refusal(association: Association) -> str:
    """Why an association was not established, for a message."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"association rejected: {answer.reason_str}"
    return "cannot be reached" if answer is None else "association aborted"
