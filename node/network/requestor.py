"""What everything that opens an association shares: limits, and what pynetdicom needs to be quick and quiet."""

from __future__ import annotations

import socket
from contextlib import suppress

from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DIMSEPrimitive
from pynetdicom.transport import AssociationSocket

_config.LOG_HANDLER_LEVEL = "none"  # its own log of events quotes data sets

ACSE_TIMEOUT_S, CONNECT_TIMEOUT_S = 30.0, 10.0
MAXIMUM_PDU_SIZE = 131072


def _close_socket(connection: AssociationSocket) -> None:
    """Close the socket of an association, also one that was never connected: pynetdicom 3.0 leaves that open."""
    opened = connection.socket
    if opened is not None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()


AssociationSocket._shutdown_socket = _close_socket  # type: ignore[method-assign, assignment]

_serve_request = Association._serve_request


def _serve_request_or_give_back(self: Association, msg: DIMSEPrimitive, context_id: int) -> None:
    """Serve a request of the peer, and give an answer back to the request that waits for it.

    pynetdicom 3.0 pauses its reactor while a request waits for its answer. A reactor that is just waking up looks
    paused already; it then takes the answer off the queue and drops it, and the request waits until its time is up.
    """
    awaited = not self._reactor_checkpoint.is_set()
    if awaited and not msg.is_valid_request:
        self.dimse.msg_queue.put((context_id, msg))  # type: ignore[arg-type]
    else:
        _serve_request(self, msg, context_id)  # type: ignore[arg-type]


Association._serve_request = _serve_request_or_give_back  # type: ignore[method-assign]


def no_delay(event: evt.Event) -> None:
    """Send small packets at once: else the kernel holds back the end of each object for the peer's ACK, 40 ms."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def refusal(association: Association) -> str:
    """Why an association was not established, for a message."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"association rejected: {answer.reason_str}"
    return "cannot be reached" if answer is None else "association aborted"
