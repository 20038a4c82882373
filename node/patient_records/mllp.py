"""HL7 v2 over MLLP: one TCP port, an acknowledgement for every message, nothing acknowledged before it is on disk."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import socketserver
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from dicom_sr.errors import UnsuitableInput
from node.errors import NodeError
from node.patient_records.intake import Intake
from pipelines.records.hl7 import acknowledgement, read_message
from pipelines.records.hl7_text import decoded
from pipelines.records.record import IdentityMismatch

log = logging.getLogger(__name__)

START, FS, END = b"\x0b", b"\x1c", b"\x1c\r"
# how senders end messages, or begin the next one without an end
_ENDS = re.compile(rb"\x1c(?:\r|\n|(?=\x0b))|(?=\x0bMSH)")
MAXIMUM_BYTES = 16 * 2**20  # of one message
IDLE_S = 300.0
QUIET_S = 3.0  # within a message; a sender that falls silent there waits for an answer, and gets one


@dataclass(frozen=True)
class _Frame:
    """What came between a start and an end, or without an end before a pause."""

    content: bytes
    ended: bool


class _Handler(socketserver.BaseRequestHandler):
    """One connection: messages one after another until the sender closes it."""

    server: MllpServer
    request: socket.socket

    def handle(self) -> None:
        buffer = bytearray()
        try:
            while (frame := self._frame(buffer)) is not None:
                self.request.sendall(START + self.server.answer(frame.content, frame.ended).encode("utf-8") + END)
        except OSError as error:
            log.info("record connection ended", extra={"reason": type(error).__name__})

    def _frame(self, buffer: bytearray) -> _Frame | None:
        """The next message without its framing; None when the sender is done or sends more than a message may hold."""
        scanned = 0
        while True:
            _drop_what_is_between(buffer)
            if (end := _ENDS.search(buffer, max(1, scanned - 4))) is not None:
                return _cut(buffer, end)
            scanned = len(buffer)
            if len(buffer) > MAXIMUM_BYTES:
                log.warning("record message too long", extra={"bytes": len(buffer)})
                return None
            self.request.settimeout(QUIET_S if buffer else IDLE_S)
            try:
                received = self.request.recv(65536)
            except TimeoutError:
                if not buffer:
                    raise
                received = b""
            if not received:  # the sender has gone, or waits for an answer to what it takes for a whole message
                return _rest(buffer) if buffer else None
            buffer += received


def _drop_what_is_between(buffer: bytearray) -> None:
    """What stands before a start is no message: blanks after the last end, or what came late of one given up."""
    start = buffer.find(START)
    if start > 0 and not buffer.lstrip(b" \r\n").startswith(b"MSH"):
        del buffer[:start]
    if not buffer.strip(b" \r\n\x1c\0"):
        buffer.clear()


def _cut(buffer: bytearray, end: re.Match[bytes]) -> _Frame:
    """Take the message before `end` out of the buffer; without a mark of its end the next one has begun."""
    content = bytes(buffer[: end.start()])
    if end[0] and end[0] != END:
        log.warning("record message ended otherwise than by FS and CR", extra={"bytes": len(content)})
    ended = bool(end[0])
    del buffer[: end.end()]
    return _Frame(content[content.find(START) + 1 :], ended)


def _rest(buffer: bytearray) -> _Frame:
    """All that has come; FS alone ends a message too."""
    content = bytes(buffer)
    buffer.clear()
    ended = content.endswith(FS)
    log.warning(
        "record message ended otherwise than by FS and CR" if ended else "record message not ended",
        extra={"bytes": len(content)},
    )
    return _Frame(content[content.find(START) + 1 :].removesuffix(FS), ended)


class MllpServer(socketserver.ThreadingTCPServer):
    """Listens until `stop`.

    Parameters
    ----------
    host, port
        Where; port 0: any that is free.
    intake
        Takes the messages in.
    networks
        From where connections are taken; empty: anywhere.

    Raises
    ------
    OSError
        If the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        intake: Intake,
        networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
    ) -> None:
        self._intake, self._networks = intake, tuple(networks)
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="mllp", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens; chosen by the system where 0 was asked for."""
        return int(self.server_address[1])

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether the sender's address is in one of the networks."""
        address = ipaddress.ip_address(str(client_address[0]))  # type: ignore[index]
        allowed = not self._networks or any(address in network for network in self._networks)
        if not allowed:
            log.warning("record connection refused", extra={"peer_address": str(address)})
        return allowed

    def answer(self, frame: bytes, ended: bool = True) -> str:
        """Take one message in and acknowledge it: AA stored, AE wrong content, AR not a message.

        A message whose end did not come may lack its last segments, and is not taken.
        """
        text = frame.decode("latin-1")  # enough for the acknowledgement of what cannot be decoded
        try:
            text = decoded(frame)
            if not ended:
                raise UnsuitableInput("the end of the message did not come (FS and CR); nothing of it is stored")
            self._intake.message(read_message(text, *self._intake.issuers))
        except (UnsuitableInput, IdentityMismatch) as error:
            log.warning("record message refused", extra={"reason": str(error)})
            return acknowledgement(text, "AE" if text.lstrip("\ufeff").startswith("MSH") else "AR", str(error))
        except (OSError, NodeError) as error:
            log.error("record message not stored", extra={"reason": getattr(error, "strerror", None) or str(error)})
            return acknowledgement(text, "AE", "cannot be stored now, send again")
        return acknowledgement(text, "AA")

    def start(self) -> None:
        """Take connections, in threads of their own."""
        self._thread.start()

    def problem(self) -> str | None:
        """Why no connection is taken, or None."""
        return None if self._thread.is_alive() else "no HL7 connection is taken"

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
