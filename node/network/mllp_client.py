"""An HL7 v2 message to an MLLP listener, and what it acknowledges."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from dicom_sr.errors import UnsuitableInput
from node.config import Tls
from node.errors import PeerUnavailable
from node.network.tls import destination_context
from pipelines.records.hl7_text import Segment, Separators, decoded

START, END = b"\x0b", b"\x1c\r"
LARGEST = 2**20  # bytes of an acknowledgement
CONNECT_S = 10.0  # at most, for a connection


@dataclass(frozen=True)
class Acknowledgement:
    """What MSA says."""

    code: str  # AA, AE, AR, or CA, CE, CR (HL7 table 0008)
    control_id: str  # of the message that is acknowledged
    text: str = ""  # of MSA-3, or of ERR; may quote the message


class MllpClient:
    """Connections to one listener, one for each message: what comes late of one is not taken for the next one's answer.

    Parameters
    ----------
    host, port
        Where it listens.
    timeout_s
        Without an acknowledgement for so long the listener counts as away.
    tls
        Certificates, where it speaks TLS.
    name
        Of the destination, for messages.
    """

    def __init__(self, host: str, port: int, timeout_s: float, tls: Tls | None, name: str) -> None:
        self._host, self._port, self._timeout_s, self._tls, self._name = host, port, timeout_s, tls, name
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Open the connection, if it is not open.

        Raises
        ------
        PeerUnavailable
            If nobody listens there, or a certificate cannot be used.
        """
        if self._socket is not None:
            return
        try:
            context = destination_context(self._tls) if self._tls else None
            made = socket.create_connection((self._host, self._port), min(self._timeout_s, CONNECT_S))
            self._socket = context.wrap_socket(made, server_hostname=self._host) if context else made
        except OSError as error:  # an ssl.SSLError is one
            raise self._away(error) from error

    def ask(self, message: bytes) -> Acknowledgement:
        """Send a message and wait until it is acknowledged.

        Raises
        ------
        PeerUnavailable
            If the listener is away, goes away, or says nothing, or nothing that is an acknowledgement.
        """
        self.connect()
        connection = self._socket
        assert connection is not None
        try:
            connection.settimeout(self._timeout_s)
            connection.sendall(START + message + END)
            return read_acknowledgement(self._answer(connection))
        except OSError as error:
            raise self._away(error) from error
        except UnsuitableInput as error:
            raise PeerUnavailable(f"{self._name}: the answer is no acknowledgement") from error
        finally:
            self.close()

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, connection: socket.socket) -> bytes:
        """The next frame without its start and end."""
        buffer, end_by = bytearray(), time.monotonic() + self._timeout_s
        while (end := buffer.find(END[:1])) < 0:
            left_s = end_by - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out")
            connection.settimeout(left_s)
            received = connection.recv(65536)
            if not received:
                raise ConnectionError("closed without an acknowledgement")
            buffer += received
            if len(buffer) > LARGEST:
                raise ConnectionError("the answer is too long")
        return bytes(buffer[buffer.find(START) + 1 : end])

    def _away(self, error: OSError) -> PeerUnavailable:
        reason = error.strerror or str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = "no answer in time"
        return PeerUnavailable(f"{self._name}: {self._host}:{self._port}: {reason}")


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """What an acknowledgement says.

    Raises
    ------
    UnsuitableInput
        If it is none.
    """
    lines = [line for line in re.split(r"[\r\n]+", decoded(message)) if line]
    if not lines or not lines[0].startswith("MSH"):
        raise UnsuitableInput("does not begin with MSH")
    separators = Separators.of(lines[0])
    segments = [Segment(line, separators) for line in lines]
    found = next((segment for segment in segments if segment.name == "MSA"), None)
    if found is None:
        raise UnsuitableInput("has no MSA segment")
    texts = [found.component(3)]
    texts += [segment.component(8) or segment.component(7) for segment in segments if segment.name == "ERR"]
    return Acknowledgement(found.component(1).upper(), found.component(2), next(filter(None, texts), ""))
