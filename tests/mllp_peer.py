"""An MLLP listener on a real socket that answers as it is told."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dicom_sr.write.hl7 import control_id

START, END = b"\x0b", b"\x1c\r"


class MllpPeer:
    """Keeps what it is sent, and acknowledges it.

    Parameters
    ----------
    answers
        What it answers the first times in place of AA: MSA with ``{}`` for the control ID, e.g. ``AE|{}|no``; empty for
        nothing at all, and None to close the connection.
    """

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.received: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()

    def answer(self, message: bytes) -> bytes | None:
        """The acknowledgement of a message; None to close the connection."""
        self.received.append(message)
        said = self.answers.pop(0) if self.answers else "AA|{}"
        if said is None:
            return None
        if not said:
            self.stopped.wait(30)
            return None
        header = "MSH|^~\\&|RIS|NORTH|CONDYLE||20260101||ACK^R01^ACK|1|P|2.5.1"
        return f"{header}\rMSA|{said.format(control_id(message))}\r".encode()

    def serve(self, connection: socket.socket) -> None:
        """Answer the messages of one connection."""
        buffer = b""
        while received := connection.recv(65536):
            buffer += received
            while END in buffer:
                message, _, buffer = buffer.partition(END)
                if (answer := self.answer(message.removeprefix(START))) is None:
                    return
                connection.sendall(START + answer + END)

    @contextmanager
    def listen(self, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
        """Accept connections on a free port of the loopback; yields it."""
        peer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                peer.connections += 1
                try:
                    with tls.wrap_socket(self.request, server_side=True) if tls else self.request as connection:
                        peer.serve(connection)
                except OSError:  # the sender has gone
                    return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        with Server(("127.0.0.1", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                yield server.server_address[1]
            finally:
                self.stopped.set()
                server.shutdown()
                thread.join()
