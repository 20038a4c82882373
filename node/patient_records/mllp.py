"""HL7 v2 over MLLP: one TCP port, an acknowledgement for every message, nothing acknowledged before it is on disk."""

from __future__ import annotations

import ipaddress
import logging
import socket
import socketserver
import threading
from collections.abc import Sequence
from types import TracebackType

from dicom_sr.errors import UnsuitableInput
from node.errors import NodeError
from node.patient_records.intake import Intake
from pipelines.records.hl7 import Incoming, acknowledgement, read_message
from pipelines.records.record import IdentityMismatch

log = logging.getLogger(__name__)

START, END = b"\x0b", b"\x1c\r"
MAXIMUM_BYTES = 16 * 2**20  # of one message
IDLE_S = 300.0


class _Handler(socketserver.BaseRequestHandler):
    """One connection: messages one after another until the sender closes it."""

    server: MllpServer
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(IDLE_S)
        buffer = bytearray()
        try:
            while (frame := self._frame(buffer)) is not None:
                self.request.sendall(START + self.server.answer(frame).encode("utf-8") + END)
        except OSError as error:
            log.info("record connection ended", extra={"reason": type(error).__name__})

    def _frame(self, buffer: bytearray) -> bytes | None:
        """The next message without its framing; None when the sender is done or sends more than a message may hold."""
        while (end := buffer.find(END)) < 0:
            if len(buffer) > MAXIMUM_BYTES:
                log.warning("record message too long", extra={"bytes": len(buffer)})
                return None
            received = self.request.recv(65536)
            if not received:
                return None
            buffer += received
        frame = bytes(buffer[:end])
        del buffer[: end + len(END)]
        return frame[frame.find(START) + 1 :]  # what stands before the start is no message


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

    def answer(self, frame: bytes) -> str:
        """Take one message in and acknowledge it: AA stored, AE wrong content, AR not a message."""
        text = _decoded(frame)
        try:
            incoming: Incoming = read_message(text, *self._intake.issuers)
            self._intake.message(incoming)
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


def _decoded(frame: bytes) -> str:
    """The text of a message: UTF-8, or Latin 1 where it is not (MSH-18 is often left empty or wrong)."""
    try:
        return frame.decode("utf-8")
    except UnicodeDecodeError:
        return frame.decode("latin-1")
