"""The fast server: listens, starts a thread per association, and ends what is silent or slow."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time

from node.background import Loop
from node.config import DimseSettings
from node.errors import ConfigurationError
from node.receive.dimse.fast_association import Association
from node.receive.dimse.presentation_contexts import is_storage
from node.receive.dimse.services import Services

log = logging.getLogger(__name__)

WATCH_S = 0.25
BACKLOG = 256
STOP_S = 5.0
WAITING_CONNECTIONS = 256  # before their A-ASSOCIATE-RQ; the one that has waited longest makes room


class FastServer:
    """Listens, starts an association per connection, and ends what is silent or slow.

    Parameters
    ----------
    settings
        Limits and timeouts.
    services
        What the node does for a peer.
    tls
        For a TLS port; None: plain.
    port
        Where to listen; 0: any that is free.
    """

    def __init__(self, settings: DimseSettings, services: Services, tls: ssl.SSLContext | None, port: int) -> None:
        self.settings = settings
        self.services = services
        self.tls = tls
        self._storage_classes: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._associations: dict[Association, None] = {}  # in the order they came
        self._stopping = threading.Event()
        self._watchdog = Loop("end of silent associations", self._end_late, every_s=WATCH_S)
        self._listener = listen(settings.host, port, shared=settings.processes > 1)
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        self._acceptor.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Accept no more, end what is open, and wait for it."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        with self._lock:
            open_now = list(self._associations)
        for association in open_now:
            association.cut("The node stops")
        deadline = time.monotonic() + STOP_S
        for thread in (*open_now, self._acceptor):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._watchdog.stop(max(0.0, deadline - time.monotonic()))

    def problem(self) -> str | None:
        """Why it does not accept, or does not end what is silent; None if it does."""
        return self._watchdog.problem() if self._acceptor.is_alive() else "no association is accepted"

    def stores(self, abstract_syntax: str) -> bool:
        """Whether C-STORE belongs to that class; asked once per class, for it is a search in pynetdicom."""
        known = self._storage_classes.get(abstract_syntax)
        if known is None:
            known = self._storage_classes[abstract_syntax] = is_storage(abstract_syntax)
        return known

    def ended(self, association: Association) -> None:
        """An association is over."""
        with self._lock:
            self._associations.pop(association, None)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, address = self._listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                log.error("cannot accept", extra={"error": type(error).__name__})
                self._stopping.wait(0.1)  # out of descriptors: some come back when associations end
                continue
            association = Association(self, sock, str(address[0]))
            with self._lock:
                waiting = [one for one in self._associations if not one.established]
                self._associations[association] = None
            if len(waiting) >= WAITING_CONNECTIONS:
                waiting[0].cut("Too many connections wait to associate")
            try:
                association.start()
            except RuntimeError:  # no more threads
                self.ended(association)
                sock.close()

    def _end_late(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [one for one in self._associations if one.deadline < now]
        for association in late:
            association.cut("Silent for too long" if association.established else "No A-ASSOCIATE-RQ in time")


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """A listening socket; with `shared` other processes of the node may listen on the same port.

    Parameters
    ----------
    host
        Address to listen on.
    port
        0: any that is free.
    shared
        Whether other processes listen there too (SO_REUSEPORT).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"receive.dimse: cannot listen on {host} port {port}: {error.strerror}") from error
    return listener
