"""The associations that the node opens, each within limits of time, of bytes, and of what waits unread.

pynetdicom's time-outs are for each read, so that a peer that sends a byte now and then holds an association, and who
waits for it, without end. A thread looks at every association that is open here. One that is over a limit has its
socket shut down, which ends every read and write that waits for the peer.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.events import EventHandlerType

from node.errors import BeingStopped
from node.network.requestor import (
    ACSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LARGEST_MESSAGE,
    MAXIMUM_PDU_SIZE,
    held_bytes,
    no_delay,
)

WATCH_S = 0.2
SEND_BYTES = 16 * 1024  # at a time; what the peer takes of them is progress
MAXIMUM_REPORTS = 4  # storage commitment reports on one association; each gets a thread of pynetdicom's


@dataclass(frozen=True)
class Limits:
    """How slow a peer may be."""

    pdu_s: float = 30.0  # for a PDU that has begun: 128 kB at 4 kB/s
    message_s: float = 60.0  # for a message of the peer's, and a second more for every `slowest` bytes
    slowest: int = 1024  # bytes a second, of what we send and of a long message of the peer's
    opening_s: float = CONNECT_TIMEOUT_S + ACSE_TIMEOUT_S  # until the association is accepted or refused, TLS included
    ending_s: float = 1.0  # for the peer to close after an abort or a release


class Associations:
    """Those that one part of the node has open; `stop` ends them all at once.

    Parameters
    ----------
    limits
        How slow a peer may be.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._open: list[_Watched] = []
        self._watching = False
        self._stopped = False

    def handlers(
        self, larger: Mapping[type[DIMSEMessage], int] | None = None, within_s: float = math.inf
    ) -> list[EventHandlerType]:
        """What `AE.associate` is given as ``evt_handlers``, for an association within limits.

        Parameters
        ----------
        larger
            Bytes of the kinds of message that may have more than `LARGEST_MESSAGE`.
        within_s
            Seconds that all of it may take, from opening to release. Without, each question may: twice its time-out,
            and a second more for every `Limits.slowest` bytes that the peer has taken.
        """
        end = time.monotonic() + within_s
        return [(evt.EVT_CONN_OPEN, no_delay), (evt.EVT_REQUESTED, self._begin, [larger or {}, end])]

    def start(self) -> None:
        """Have associations again after `stop`."""
        self._stopped = False

    def stop(self) -> None:
        """End all that are open, and all that are opened from now on."""
        self._stopped = True
        with self._lock:
            for watched in self._open:
                watched.cut()

    def require_going_on(self) -> None:
        """Raise `BeingStopped` after `stop`: an association that was ended here says nothing about its peer."""
        if self._stopped:
            raise BeingStopped("the node is being stopped")

    def _begin(self, event: evt.Event, larger: Mapping[type[DIMSEMessage], int], end: float) -> None:
        watched = _Watched(event.assoc, larger, self._limits, end)
        with self._lock:
            self._open.append(watched)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="end of slow associations", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            with self._lock:
                self._open = [watched for watched in self._open if not watched.is_over()]
                if not self._open:
                    self._watching = False
                    return
                for watched in self._open:
                    if self._stopped or watched.is_too_slow(time.monotonic()):
                        watched.cut()


class _Watched:
    """Stands between pynetdicom and the socket of an association, counts, and keeps the time."""

    def __init__(
        self, association: Association, larger: Mapping[type[DIMSEMessage], int], limits: Limits, end: float
    ) -> None:
        self._association, self._larger, self._limits, self._end = association, larger, limits, end
        self._opened = time.monotonic()
        self._reading_since: float | None = None  # a PDU, or its head
        self._received = self._sent = 0
        self._sending = False
        self._message: DIMSEMessage | None = None  # the one that is arriving, since when and at which count
        self._message_since, self._message_from = 0.0, 0
        self._reports = 0
        self._asked_since: float | None = None  # a request, or the release, and at which count
        self._asked_from = 0
        self._ending_since: float | None = None
        connection: Any = association.dul.socket  # there is one: pynetdicom is about to connect it
        self._connection = connection
        self._recv, self._send_message = connection.recv, association.dimse.send_msg
        connection.recv, connection.send, connection.condyle_cut = self.recv, self.send, False
        association.dimse.send_msg = self.send_message  # type: ignore[method-assign]
        association.dimse.get_msg = self.get_message  # type: ignore[method-assign]
        association.bind(evt.EVT_DIMSE_RECV, self.count)

    # ---- pynetdicom's way to its socket
    def recv(self, count: int) -> bytearray:
        """So many bytes: the head of a PDU, or the rest of it.

        Raises
        ------
        ConnectionError
            If the PDU is longer than was agreed, or the message longer than any honest one: pynetdicom keeps all of it.
            What still lies in the system's hands after `cut` is not read either.
        """
        if self._connection.condyle_cut:
            raise ConnectionError("ended by the node")
        if count > MAXIMUM_PDU_SIZE:
            raise ConnectionError("a PDU is longer than agreed")
        message = self._association.dimse.message
        if message is not None and held_bytes(message) > self._larger.get(type(message), LARGEST_MESSAGE):
            raise ConnectionError("a message is longer than any honest one")
        if message is not self._message:
            self._message, self._message_since, self._message_from = message, time.monotonic(), self._received
        if self._reports > MAXIMUM_REPORTS:
            raise ConnectionError("there are more reports than any honest peer has")
        self._reading_since = time.monotonic()
        data: bytearray = self._recv(count)
        self._reading_since = None
        self._received += len(data)
        return data

    def count(self, event: evt.Event) -> None:
        """A message is here: of reports there may be few, as pynetdicom starts a thread for each."""
        self._reports += isinstance(event.message, N_EVENT_REPORT_RQ)

    def send(self, data: bytes) -> None:
        """Send a whole PDU, in pieces, each of which is progress."""
        self._sending = True
        left = memoryview(data)
        try:
            while left:
                count = self._connection.socket.send(left[:SEND_BYTES])
                self._sent += count
                left = left[count:]
        except Exception:  # noqa: BLE001 (as pynetdicom has it: whatever it is, the connection is over)
            self._connection.event_queue.put("Evt17")
        finally:
            self._sending = False

    def send_message(self, primitive: Any, context_id: int) -> None:
        """As `DIMSEServiceProvider.send_msg`; a request's time begins."""
        self._asked_since, self._asked_from = time.monotonic(), self._sent
        self._send_message(primitive, context_id)

    def get_message(self, block: bool = False) -> Any:
        """As `DIMSEServiceProvider.get_msg`; the time for an answer begins when the request has gone out."""
        dul = self._association.dul
        while True:
            underway = self._sending or not dul.to_provider_queue.empty()
            found = DIMSEServiceProvider.get_msg(self._association.dimse, block)
            if not block or found[1] is not None or not underway or dul._kill_thread or not dul.is_alive():
                return found

    # ---- time
    def is_over(self) -> bool:
        """Whether pynetdicom has done with it; nothing stays open then."""
        if self._association.dul.is_alive():
            return False
        self._connection._shutdown_socket()
        return True

    def is_too_slow(self, now: float) -> bool:
        """Whether the peer is over a limit."""
        limits, association = self._limits, self._association
        if now > self._end or (self._reading_since is not None and now > self._reading_since + limits.pdu_s):
            return True
        if self._message is not None and self._message is association.dimse.message:
            received = self._received - self._message_from
            if now > self._message_since + limits.message_s + received / limits.slowest:
                return True
        if not association.is_established:
            if not (association._kill or association.is_aborted or association.is_released or association.is_rejected):
                return now > self._opened + limits.opening_s
            self._ending_since = self._ending_since or now
            return now > self._ending_since + limits.ending_s
        if association._reactor_checkpoint.is_set():  # nobody waits for an answer
            self._asked_since = None
            return False
        if self._asked_since is None:  # the release
            self._asked_since, self._asked_from = now, self._sent
        taken = self._sent - self._asked_from
        return now > self._asked_since + 2 * (association.dimse_timeout or math.inf) + taken / limits.slowest

    def cut(self) -> None:
        """End it from another thread; pynetdicom notices by itself."""
        self._connection.condyle_cut = True
        opened = self._connection.socket
        if opened is not None:
            with suppress(OSError):
                # not SSLSocket.shutdown, which takes the TLS state away from under the reading thread
                socket.socket.shutdown(opened, socket.SHUT_RDWR)


def leave(association: Association, *, abort: bool = False) -> None:
    """Release an association, or abort it, if it is open.

    Parameters
    ----------
    abort
        Where there is nothing more to wait for: a peer that has been asked to release may go on talking.
    """
    if association.is_established:
        if abort:
            association.abort()
        else:
            association.release()
