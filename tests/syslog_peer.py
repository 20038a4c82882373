"""A syslog server on a real socket: datagrams, or connections with octet counting, in clear or by TLS."""

from __future__ import annotations

import re
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.waiting import until

_MESSAGE = re.compile(
    rb"<(?P<priority>\d+)>1 (?P<at>\S+) (?P<host>\S+) (?P<application>\S+) (?P<process>\S+) (?P<kind>\S+) - "
    rb"\xef\xbb\xbf(?P<text>.*)",
    re.DOTALL,
)


class SyslogPeer:
    """Keeps what it is sent, taken apart as RFC 5424 has it."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    @property
    def messages(self) -> list[dict[str, str]]:
        found = [_MESSAGE.fullmatch(raw) for raw in self.raw]
        return [{name: value.decode() for name, value in one.groupdict().items()} for one in found if one is not None]

    def wait_for(self, count: int) -> list[dict[str, str]]:
        until(lambda: len(self.raw) >= count, f"{count} messages", 10)
        return self.messages


@contextmanager
def syslog_server(transport: str, context: ssl.SSLContext | None = None) -> Iterator[tuple[SyslogPeer, int]]:
    """The server and its port, until the end of the block."""
    peer = SyslogPeer()

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            peer.raw.append(self.request[0])

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(1):
                while not head.endswith(b" "):
                    head += self.rfile.read(1)
                peer.raw.append(self.rfile.read(int(head)))

    class Quiet(socketserver.ThreadingTCPServer):
        def get_request(self) -> Any:
            plain, address = super().get_request()
            if context is None:
                return plain, address
            try:
                return context.wrap_socket(plain, server_side=True), address
            except OSError:  # one of the two does not trust the other
                plain.close()
                raise

    server: socketserver.BaseServer
    if transport == "udp":
        server = socketserver.UDPServer(("127.0.0.1", 0), Datagram)
    else:
        server = Quiet(("127.0.0.1", 0), Stream)
        server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield peer, int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
