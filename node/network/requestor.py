"""What everything that opens an association shares: limits, and what pynetdicom needs to be quick and quiet."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from pynetdicom import _config, evt
from pynetdicom.association import Association
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


def no_delay(event: evt.Event) -> None:
    """Send small packets at once: else the kernel holds back the end of each object for the peer's ACK, 40 ms."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def settled(association: Association) -> Association:
    """The association, once its reactor has woken up from the last request; to be asked before every request.

    pynetdicom 3.0 pauses that thread during a request and wakes it afterwards. A request that follows at once finds it
    asleep still, takes that for paused, and the thread then wakes up and swallows the answer.
    """
    while association._is_paused and association._reactor_checkpoint.is_set() and association.is_alive():
        time.sleep(0.0001)
    return association


def refusal(association: Association) -> str:
    """Why an association was not established, for a message."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"association rejected: {answer.reason_str}"
    return "cannot be reached" if answer is None else "association aborted"
