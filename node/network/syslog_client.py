"""Messages to a syslog server: RFC 5424, in datagrams (RFC 5426), over TCP (RFC 6587) or over TLS (RFC 5425)."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from node.config import Tls
from node.errors import PeerUnavailable
from node.network.tls import destination_context, server_trust

FACILITIES = {  # RFC 5424 6.2.1
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    **{f"local{number}": 16 + number for number in range(8)},
}
PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
LONGEST_DATAGRAM = 2048  # bytes, which a receiver should take (RFC 5426 3.2)
OBJECTION_S = 0.3  # for the server to object to our certificate
FAREWELL_S = 2.0  # for the server to end its side; one that does not has the message all the same
APPLICATION = "condyle"
_BOM = b"\xef\xbb\xbf"  # says that what follows is UTF-8, RFC 5424 6.4


class Severity(IntEnum):
    """RFC 5424 6.2.1."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFORMATIONAL = 6


@dataclass(frozen=True)
class Line:
    """One message."""

    text: str  # what could begin another line is replaced
    severity: Severity
    at: datetime  # when it happened, timezone aware
    kind: str = "-"  # for whoever sorts them (MSGID): ASCII without blanks


class SyslogServer(Protocol):
    """What a section of the configuration says of a syslog server."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def port(self) -> int | None:
        """Its port; None: the usual one of the transport."""

    @property
    def transport(self) -> str:
        """``udp``, ``tcp`` or ``tls``."""

    @property
    def facility(self) -> str:
        """One of `FACILITIES`."""

    @property
    def trusted(self) -> Path | None:
        """Authorities of its certificate; None: the system's."""

    @property
    def tls(self) -> Tls | None:
        """A client certificate."""

    @property
    def timeout_s(self) -> float:
        """How long connecting and sending may take, each."""


class SyslogClient:
    """Sends messages to one server, over a connection each time.

    Parameters
    ----------
    name
        Of the server; messages begin with it.
    server
        Its section of the configuration.
    """

    def __init__(self, name: str, server: SyslogServer) -> None:
        self._name, self._server = name, server

    @property
    def _place(self) -> tuple[str, int]:
        return self._server.host, self._server.port or PORTS[self._server.transport]

    def ping(self) -> str:
        """Connect, and send nothing; by UDP there is nobody who could answer.

        Raises
        ------
        PeerUnavailable
            If that cannot be done.
        """
        with self._away():
            if self._server.transport == "udp":
                _, address = self._datagram_address()
                return f"has the address {address[0]}; whether anybody listens there, UDP does not say"
            with self._connected() as connection:
                _farewell(connection)
        return "answers"

    def send(self, *lines: Line) -> str:
        """Send lines, one after the other.

        Returns
        -------
        str
            How they were sent. A syslog server answers nothing.

        Raises
        ------
        PeerUnavailable
            If they could not be sent; some of them may have been.
        """
        messages = [self._message(line) for line in lines]
        with self._away():
            if self._server.transport == "udp":
                self._send_datagrams(messages)
                return "sent by UDP, which gives no answer"
            with self._connected() as connection:
                for message in messages:  # octet counting, RFC 5425 4.3, RFC 6587 3.4.1
                    connection.sendall(b"%d %s" % (len(message), message))
                _farewell(connection)
        return f"sent by {self._server.transport.upper()}; syslog gives no answer"

    def _message(self, line: Line) -> bytes:
        priority = 8 * FACILITIES[self._server.facility] + line.severity
        moment = line.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        host = re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"
        head = f"<{priority}>1 {moment} {host} {APPLICATION} {os.getpid()} {line.kind[:32] or '-'} - "
        return head.encode("ascii") + _BOM + " ".join(line.text.split()).encode(errors="replace")

    # ---- ways
    def _datagram_address(self) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
        host, port = self._place
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        return family, address

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        family, address = self._datagram_address()
        with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
            for message in messages:  # of a long one the end is lost, and no half of a character stays
                short = message[:LONGEST_DATAGRAM].decode(errors="ignore").encode()
                datagrams.sendto(short, address)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        host, _ = self._place
        with socket.create_connection(self._place, timeout=self._server.timeout_s) as plain:
            if self._server.transport != "tls":
                yield plain
                return
            with self._context().wrap_socket(plain, server_hostname=host) as secure:
                yield secure

    def _context(self) -> ssl.SSLContext:
        context = destination_context(self._server.tls) if self._server.tls else server_trust(self._server.trusted)
        if self._server.tls and self._server.trusted:
            context.load_verify_locations(self._server.trusted)
        return context

    @contextmanager
    def _away(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise PeerUnavailable(f"{self._name}: its certificate is not trusted: {error.verify_message}") from error
        except (OSError, ValueError) as error:  # ValueError: a name that is none
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise PeerUnavailable(f"{self._name}: {why}") from error


def _farewell(connection: socket.socket) -> None:
    """End our side and see how the server takes it.

    Raises
    ------
    OSError
        If it has cut the connection: by TLS 1.3 one that turns us away says so only now.
    """
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(OBJECTION_S)
        with suppress(TimeoutError):
            connection.recv(1)  # it has nothing to say; whatever comes is an objection, or its end
            raise ConnectionAbortedError(None, "the server ended the connection")
        with suppress(OSError):
            connection.unwrap()
        return
    connection.settimeout(FAREWELL_S)
    connection.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError):
        while connection.recv(1024):
            pass
