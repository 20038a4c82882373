"""HL7 v2 over MLLP: one TCP port, an acknowledgement for every message, nothing acknowledged before it is on disk."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dicom_sr.errors import UnsuitableInput
from node.errors import NodeError, ReadingFailed
from node.network.room import Room, Share
from node.patient_records.intake import Intake
from node.patient_records.patient_changes import ChangeRefused
from node.patient_records.reading import HEADER, header_of
from node.patient_records.refused import RefusedRecords
from pipelines.records.hl7 import acknowledgement
from pipelines.records.record import IdentityMismatch

log = logging.getLogger(__name__)

START, FS, END = b"\x0b", b"\x1c", b"\x1c\r"
REFUSED = "record message refused"
ODD_END, NO_END = "record message ended otherwise than by FS and CR", "record message not ended"
# how senders end messages, or begin the next one without an end
_ENDS = re.compile(rb"\x1c(?:\r|\n|(?=\x0b))|(?=\x0bMSH)")
_SOMETHING = re.compile(rb"[^ \r\n\x1c\0]")
MAXIMUM_BYTES = 16 * 2**20  # of one message
FIRST_S = 30.0  # for a connection to begin its first message
IDLE_S = 300.0  # for the next one to begin
MESSAGE_S = 60.0  # for a message to end
QUIET_S = 3.0  # within a message; a sender that falls silent there waits for an answer, and gets one
LINGER_S, LINGER_BYTES = 5.0, 2 * MAXIMUM_BYTES  # for the rest of what is not taken, before its sender looks why
CONNECTIONS = 128  # in all; each has a thread
CONNECTIONS_OF_ONE = 32  # address


@dataclass(frozen=True)
class _Frame:
    """What came between a start and an end, or without an end before a pause."""

    content: bytes
    ended: bool
    given_up: str = ""  # why nothing more is taken on this connection
    odd_end: str = ""  # how it ended otherwise than MLLP says


class _Handler(socketserver.BaseRequestHandler):
    """One connection: messages one after another until the sender closes it."""

    server: MllpServer
    request: socket.socket
    client_address: tuple[str, int]

    def setup(self) -> None:
        """Nothing has come yet."""
        self._buffer, self._share, self._wait_s = bytearray(), Share(self.server.room), FIRST_S

    def handle(self) -> None:
        """Answer messages."""
        try:
            while self._goes_on():
                self._share.hold(len(self._buffer))
                self._wait_s = IDLE_S
        except OSError as error:
            log.info("record connection ended", extra={"reason": type(error).__name__})

    def _goes_on(self) -> bool:
        """Answer the next message, which is not kept after that; whether there may be another one."""
        if (frame := self._frame()) is None:
            return False
        self.request.sendall(START + self._answer(frame).encode("utf-8", "replace") + END)
        if frame.given_up:
            self._linger()
        return not frame.given_up

    def _linger(self) -> None:
        """Let the sender read why: closing with bytes of its unread would reset the connection under the answer."""
        end_by, left = time.monotonic() + LINGER_S, LINGER_BYTES
        self.request.shutdown(socket.SHUT_WR)
        scratch = bytearray(65536)
        while left > 0 and (left_s := end_by - time.monotonic()) > 0:
            self.request.settimeout(left_s)
            if not (count := self.request.recv_into(scratch)):
                return
            left -= count

    @property
    def _sender(self) -> str:
        return _address(self.client_address)

    def _noted(self, frame: _Frame) -> _Frame:
        """The same; the log tells of an end that is not MLLP's."""
        if frame.odd_end:
            self.server.refused.add(frame.odd_end, self._sender, "MLLP ends a message by FS and CR")
        return frame

    def finish(self) -> None:
        """Give back what was taken for what came."""
        self._share.hold(0)

    def _answer(self, frame: _Frame) -> str:
        if not frame.given_up:
            return self.server.answer(frame.content, frame.ended, self._sender)
        self.server.refused.add(REFUSED, self._sender, frame.given_up)
        return acknowledgement(header_of(frame.content), "AR", frame.given_up)

    def _frame(self) -> _Frame | None:
        """The next message without its framing; None when the sender is done."""
        buffer, scanned = self._buffer, 0
        begin_by, end_by = time.monotonic() + self._wait_s, 0.0
        while True:
            scanned = _drop_what_is_between(buffer, scanned)
            if (end := _ENDS.search(buffer, max(1, scanned - 4))) is not None:
                return self._noted(_cut(buffer, end))
            if len(buffer) > MAXIMUM_BYTES:
                return self._given_up(f"the message is longer than {MAXIMUM_BYTES // 2**20} MB")
            if not self._share.hold(len(buffer)):
                return self._given_up("too much is sent at the same time, send again")
            scanned = len(buffer)
            end_by = (end_by or time.monotonic() + MESSAGE_S) if buffer else 0.0
            left_s = (end_by or begin_by) - time.monotonic()
            if left_s <= 0:
                return self._given_up(f"the message did not end within {MESSAGE_S:g} s") if buffer else None
            self.request.settimeout(min(QUIET_S, left_s) if buffer else left_s)
            try:
                received = self.request.recv(65536)
            except TimeoutError:
                if not buffer:
                    raise
                if left_s <= QUIET_S:  # it was not silent for that long: its time is over
                    continue
                received = b""
            if not received:  # the sender has gone, or waits for an answer to what it takes for a whole message
                return self._noted(_rest(buffer)) if buffer else None
            buffer += received

    def _given_up(self, why: str) -> _Frame:
        begin = self._buffer.find(START) + 1
        header = bytes(self._buffer[begin : begin + HEADER])
        self._buffer.clear()
        self._share.hold(0)
        return _Frame(header, False, why)


def _drop_what_is_between(buffer: bytearray, scanned: int) -> int:
    """Drop what stands before a start and is no message: blanks after the last end, what came late of one given up.

    Looks at nothing twice; how much of the rest was looked at before.
    """
    if buffer.startswith(START):
        return scanned
    first = _SOMETHING.search(buffer)
    if first is None:
        buffer.clear()
        return 0
    if not buffer.startswith(b"MSH", first.start()) and (start := buffer.find(START, scanned)) > 0:
        del buffer[:start]
        return 0
    return scanned


def _cut(buffer: bytearray, end: re.Match[bytes]) -> _Frame:
    """Take the message before `end` out of the buffer; without a mark of its end the next one has begun."""
    ended, odd_end = bool(end[0]), ODD_END if end[0] not in (b"", END) else ""
    return _Frame(_taken(buffer, *end.span()), ended, odd_end=odd_end)


def _rest(buffer: bytearray) -> _Frame:
    """All that has come; FS alone ends a message too."""
    ended = buffer.endswith(FS)
    odd_end = ODD_END if ended else NO_END
    return _Frame(_taken(buffer, len(buffer) - ended, len(buffer)), ended, odd_end=odd_end)


def _taken(buffer: bytearray, end: int, after: int) -> bytes:
    """What stands between a start and `end`; all before `after` is gone from the buffer, so that it is there once."""
    with memoryview(buffer) as view:
        content = bytes(view[buffer.find(START, 0, end) + 1 : end])
    del buffer[:after]
    return content


def _address(client_address: object) -> str:
    return str(client_address[0])  # type: ignore[index]


class MllpServer(socketserver.ThreadingTCPServer):
    """Listens until `stop`; has so many connections at a time, in all and of one address, and closes further ones.

    Parameters
    ----------
    host, port
        Where; port 0: any that is free.
    intake
        Takes the messages in.
    networks
        From where connections are taken; empty: anywhere.
    refused
        Told of what is not taken.
    room
        For what is being received; None: of its own.

    Raises
    ------
    OSError
        If the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        host: str,
        port: int,
        intake: Intake,
        networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
        refused: RefusedRecords | None = None,
        room: Room | None = None,
    ) -> None:
        self._intake, self._networks = intake, tuple(networks)
        self.refused = refused or RefusedRecords()
        self.room = room or Room()
        self._lock = threading.Lock()
        self._connected: Counter[str] = Counter()  # connections by address
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="mllp", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens; chosen by the system where 0 was asked for."""
        return int(self.server_address[1])

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether the sender's address is in one of the networks, and has not too many connections."""
        address = _address(client_address)
        known = ipaddress.ip_address(address)
        with self._lock:
            if self._networks and not any(known in network for network in self._networks):
                why = "the address is in none of records.mllp.networks"
            elif self._connected.total() >= CONNECTIONS:
                why = f"there are {CONNECTIONS} connections"
            elif self._connected[address] >= CONNECTIONS_OF_ONE:
                why = f"there are {CONNECTIONS_OF_ONE} connections of that address"
            else:
                self._connected[address] += 1
                return True
        self.refused.add("record connection refused", address, why)
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, counted until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(client_address)

    def _forget(self, client_address: object) -> None:
        address = _address(client_address)
        with self._lock:
            self._connected[address] -= 1
            if not self._connected[address]:
                del self._connected[address]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a connection; without one it is not counted."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._forget(client_address)
            raise

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error that nobody foresaw, without what it says, which may be a value; the connection is closed."""
        error = sys.exception()
        where = "".join(traceback.format_tb(error.__traceback__)) if error else ""
        log.error("record connection failed: %s\n%s", type(error).__name__, where)

    def answer(self, frame: bytes, ended: bool = True, sender: str = "") -> str:
        """Take one message in and acknowledge it: AA stored, AE wrong content, AR not a message.

        A message whose end did not come may lack its last segments, and is not taken. `sender` is an address.
        """
        header = header_of(frame)
        try:
            read = self._intake.read(frame, ended)
            header = read.header
            if read.incoming is None:
                raise UnsuitableInput(read.refused)
            self._intake.message(read.incoming, sender)
        except (UnsuitableInput, IdentityMismatch) as error:
            self.refused.add(REFUSED, sender, str(error))
            if isinstance(error, ChangeRefused):
                self.refused.not_changed(sender, str(error))
            return acknowledgement(header, "AE" if header.lstrip("\ufeff").startswith("MSH") else "AR", str(error))
        except ReadingFailed as error:
            self.refused.not_read("HL7", sender, error)
            return acknowledgement(header, "AR", str(error))
        except (OSError, NodeError) as error:
            log.error("record message not stored", extra={"reason": getattr(error, "strerror", None) or str(error)})
            return acknowledgement(header, "AE", "cannot be stored now, send again")
        return acknowledgement(header, "AA")

    def start(self) -> None:
        """Take connections, in threads of their own."""
        self._thread.start()

    def problem(self) -> str | None:
        """Why no connection is taken, or None."""
        if not self._thread.is_alive():
            return "no HL7 connection is taken"
        with self._lock:
            full = self._connected.total() >= CONNECTIONS
        return f"there are {CONNECTIONS} HL7 connections, and further ones are closed" if full else None

    def stop(self) -> None:
        """Take no more."""
        self.shutdown()
        self.server_close()

    def __enter__(self) -> MllpServer:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
